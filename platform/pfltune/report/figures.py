"""The figures of a report; one style per method in all of them."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from pfltune.errors import UserError, unknown
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, styled
from pfltune.report.client_confusion import client_confusion
from pfltune.report.clients import client_accuracies, gain_over_local, paired_clients
from pfltune.report.confusion import confusion_matrices
from pfltune.report.curves import (
    accuracy_over_bytes,
    accuracy_vs_communication,
    accuracy_within,
    learning_curves,
    to_target,
)
from pfltune.report.fronts_shown import search_fronts
from pfltune.report.race_figure import course_of_the_race
from pfltune.report.tuning.effort import best_after
from pfltune.report.tuning.of_methods import best_so_far, knob_contour, knob_slices
from pfltune.text import plain

log = logging.getLogger(__name__)

FIGURES = (
    accuracy_vs_communication,
    search_fronts,
    learning_curves,
    accuracy_over_bytes,
    accuracy_within,
    to_target,
    client_accuracies,
    gain_over_local,
    paired_clients,
    confusion_matrices,
    client_confusion,
    best_so_far,
    best_after,
    knob_slices,
    knob_contour,
    course_of_the_race,
)


MAKERS: dict[str, Callable[[Analysis], Drawing | None]] = {make.__name__: make for make in FIGURES}
"""By name, in the order in which a report shows them."""


def draw(name: str, analysis: Analysis) -> Drawing:
    """One figure of a comparison.

    Raises:
        UserError: there is no such figure, or nothing that it could show.
    """
    if name not in MAKERS:
        raise unknown("figure", name, MAKERS)
    with styled():
        drawing = MAKERS[name](analysis) if analysis.result.confirmed else None
    if drawing is None:
        raise UserError(f"{analysis.result.name} has nothing that the figure {name!r} could show")
    return drawing


def write_figures(analysis: Analysis, folder: Path) -> list[Drawing]:
    """Draw every figure that the comparison has figures for, as PNG, PDF and SVG.

    Returns:
        The figures in the order in which a report shows them; none without a confirmed method.
    """
    if not analysis.result.confirmed:
        return []
    return written([(name, partial(make, analysis)) for name, make in MAKERS.items()], folder)


def written(
    makers: Iterable[tuple[str, Callable[[], Drawing | None]]], folder: Path
) -> list[Drawing]:
    """Make and write figures; one that fails is told of in a line and missing, and that is all.

    Args:
        makers: name and function of each; a function that returns None has nothing to show.
        folder: where to.

    Raises:
        OSError: the folder cannot be written.
    """
    drawings = []
    for name, make in makers:
        drawing = None
        try:
            with styled():
                drawing = make()
                if drawing is not None:
                    drawing.write(folder)
                    drawings.append(drawing)
        except OSError:
            raise
        except Exception as error:  # of whatever kind: the tables do not depend on a picture
            if drawing is not None:
                drawing.remove(folder)
            log.warning("figure %s is missing: %s", name, plain(f"{type(error).__name__}: {error}"))
    return drawings
