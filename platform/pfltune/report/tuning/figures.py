"""The pictures of the search of one method."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pfltune.errors import UserError, unknown
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, styled
from pfltune.report.clients import client_accuracies
from pfltune.report.confusion import confusion_matrices
from pfltune.report.curves import learning_curves
from pfltune.report.figures import written
from pfltune.report.tuning.contour import contour
from pfltune.report.tuning.cost import accuracy_vs_mb
from pfltune.report.tuning.course import best_so_far
from pfltune.report.tuning.effort import best_after as of_methods
from pfltune.report.tuning.parallel import parallel
from pfltune.report.tuning.slices import slices
from pfltune.report.tuning.tuned import Tuned


def best_after(tuned: Tuned) -> Drawing | None:
    """The best of n trials; None where it is that of one search in its order, shown otherwise."""
    effort = tuned.analysis.efforts.get(tuned.method.name)
    return of_methods(tuned.analysis) if effort and effort.is_expected else None


SEARCH: dict[str, Callable[[Tuned], Drawing | None]] = {
    make.__name__: make
    for make in (slices, contour, parallel, best_so_far, best_after, accuracy_vs_mb)
}
"""Of the search trials, by name, in the order in which a page shows them."""


def _tested(make: Callable[[Analysis], Drawing | None], tuned: Tuned) -> Drawing | None:
    return make(tuned.analysis) if tuned.method.runs else None


CONFIRMATION: dict[str, Callable[[Tuned], Drawing | None]] = {
    make.__name__: partial(_tested, make)
    for make in (learning_curves, client_accuracies, confusion_matrices)
}
"""Of the chosen configuration with fresh seeds."""

CONFIRMATION_NAMES = {name.replace("_", "-") for name in CONFIRMATION}
"""Of their files."""

MAKERS = SEARCH | CONFIRMATION


def drawn(name: str, tuned: Tuned) -> Drawing | None:
    """One picture; None where there is nothing that it could show.

    Raises:
        UserError: there is no such picture.
    """
    if name not in MAKERS:
        raise unknown("figure", name, MAKERS)
    with styled():
        return MAKERS[name](tuned)


def draw(name: str, tuned: Tuned) -> Drawing:
    """One picture.

    Raises:
        UserError: there is no such picture, or nothing that it could show.
    """
    drawing = drawn(name, tuned)
    if drawing is None:
        raise UserError(f"{tuned.result.name} has nothing that the figure {name!r} could show")
    return drawing


def write_figures(tuned: Tuned, folder: Path) -> list[Drawing]:
    """Draw every picture that there are figures for, as PNG, PDF and SVG, in their order."""
    return written([(name, partial(make, tuned)) for name, make in MAKERS.items()], folder)
