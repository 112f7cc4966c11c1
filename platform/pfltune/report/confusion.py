"""Which classes are taken for which: confusion matrices of all clients' test samples together."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, dress, panels
from pfltune.report.results import ComparisonResult, ConfirmedRun, MethodResult
from pfltune.report.words import mean_over
from pfltune.text import plain

IN_A_ROW = 3
PANEL = 2.6  # inches
MOST_NAMED = 25
"""Classes of which each has its name on an axis."""
MOST_WRITTEN = 12
"""Classes up to which each cell has its share in percent."""
LONGEST = 14
HEADS = ("method", "study", "seed", "right", "predicted", "samples")


def matrix_of(run: ConfirmedRun, classes: int) -> np.ndarray | None:
    """Samples by right and by predicted class, int64 (classes, classes); None where nobody asked.

    Args:
        run: a confirmation trial.
        classes: how many there are.
    """
    pooled = run.selected.get("pooled") if run.selected else None
    if pooled is None:
        return None
    counted = np.zeros((classes, classes), dtype=np.int64)
    for right, predicted, samples in pooled["confusion"]:
        counted[right, predicted] = samples
    return counted


def class_names(result: ComparisonResult) -> tuple[str, ...]:
    """As the record has them, or numbers where it was written before it had any."""
    if result.record.classes:
        return tuple(map(plain, result.record.classes))
    cells = [cell for run in _runs(result) for cell in _cells(run)]
    return tuple(map(str, range(1 + max((max(cell[:2]) for cell in cells), default=-1))))


def confusion_matrices(analysis: Analysis) -> Drawing | None:
    """A panel for each method, shares of each right class; None where nobody asked for figures."""
    names = class_names(analysis.result)
    every = [(method, _summed(method, len(names))) for method in analysis.result.confirmed]
    found = [(method, counted) for method, counted in every if counted is not None]
    if not found:
        return None
    columns = min(len(found), IN_A_ROW)
    rows = -(-len(found) // columns)
    size = (PANEL * columns + 0.9, PANEL * rows + 0.5)
    figure, grid = panels(rows, columns, size, sharex=True, sharey=True)
    for axes in grid.flat[len(found) :]:
        axes.remove()
    shown = list(grid.flat[: len(found)])
    for axes, (method, counted) in zip(shown, found, strict=True):
        image = panel(axes, method.title, counted, names)
    for axes in shown[-columns:]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("predicted class")
    figure.supylabel("right class")
    figure.colorbar(image, ax=shown, label="share of the right class, %")
    caption = (
        "Confusion matrices: the test samples of all clients together, each with its own client's "
        f"model in the chosen round{mean_over(analysis)}. A row adds up to 100 %; a class without "
        "a test sample is empty."
    )
    return Drawing("confusion-matrices", caption, figure)


def confusion_rows(result: ComparisonResult) -> Iterator[tuple[str | int, ...]]:
    """Method, study, seed, right class, predicted class and samples, of the cells with any."""
    names = class_names(result)
    for method in result.confirmed:
        for run in method.runs:
            for right, predicted, samples in _cells(run):
                where = (method.name, run.study, run.seed)
                yield (*where, names[right], names[predicted], samples)


def _runs(result: ComparisonResult) -> Iterator[ConfirmedRun]:
    for method in result.confirmed:
        yield from method.runs


def _cells(run: ConfirmedRun) -> Sequence[Sequence[int]]:
    pooled = run.selected.get("pooled") if run.selected else None
    return pooled["confusion"] if pooled else ()


def _summed(method: MethodResult, classes: int) -> np.ndarray | None:
    each = [matrix_of(run, classes) for run in method.runs]
    known = [counted for counted in each if counted is not None]
    return np.sum(known, axis=0) if known else None


def panel(axes: Any, title: str, counted: np.ndarray, names: Sequence[str]) -> Any:
    """One matrix, shares of each right class in percent, with names and numbers where few are.

    Args:
        axes: where.
        title: of it.
        counted: samples by right and by predicted class.
        names: of the classes.
    """
    dress(axes)
    axes.grid(visible=False)
    axes.set_title(title)
    with np.errstate(invalid="ignore"):
        shares = 100 * counted / counted.sum(axis=1, keepdims=True)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    if len(names) <= MOST_NAMED:
        short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
        places = range(len(names))
        axes.set_xticks(places, short, rotation=90)
        axes.set_yticks(places, short)
    if len(names) <= MOST_WRITTEN:
        _write(axes, shares)
    return image


def _write(axes: Any, shares: np.ndarray) -> None:
    for (right, predicted), share in np.ndenumerate(shares):
        if share >= 0.5:  # nothing of a class without a sample
            ink = "black" if share > 55 else "white"
            look = {"ha": "center", "va": "center", "fontsize": 6, "color": ink}
            axes.text(predicted, right, f"{share:.0f}", **look)
