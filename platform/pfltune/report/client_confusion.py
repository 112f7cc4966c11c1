"""Which classes are taken for which by single clients: the worst and the best, and a table."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, panels
from pfltune.report.confusion import class_names, panel
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.words import mean_over
from pfltune.text import count

ENDS = 3
"""So many of the worst clients of a method are drawn, and of the best."""
MOST_METHODS = 8
"""Of which single clients are drawn."""
MOST_ROWS = 200_000
"""Of the table, which then has no more than the clients that are drawn."""
PANEL = 1.7  # inches
CLIENT_HEADS = ("method", "client", "right", "predicted", "samples")
Cells = Mapping[tuple[int, int], int]
"""Samples by right and by predicted class."""


def client_cells(method: MethodResult) -> dict[int, Cells]:
    """The confusion matrix of each client, seeds and studies together; empty where nobody asked.

    Args:
        method: that has been confirmed.
    """
    found: dict[int, Counter[tuple[int, int]]] = {}
    for run in method.runs:
        pooled = run.selected.get("pooled") if run.selected else None
        each = pooled.get("by_client", ()) if pooled else ()
        clients = run.selected.get("clients") if run.selected else None
        for client, cells in zip(clients or range(len(each)), each, strict=False):
            here = found.setdefault(client, Counter())
            for right, predicted, samples in cells:
                here[right, predicted] += samples
    return {client: cells for client, cells in sorted(found.items()) if cells}


def ends_of(clients: Mapping[int, Cells]) -> list[int]:
    """The clients of whose samples the fewest are right and the most, the worst first.

    Args:
        clients: the cells of each.
    """
    worst_first = sorted(clients, key=lambda client: (_share(clients[client]), client))
    if len(worst_first) <= 2 * ENDS:
        return worst_first
    return [*worst_first[:ENDS], *worst_first[-ENDS:]]


def client_confusion(analysis: Analysis) -> Drawing | None:
    """A row for each method, a panel for each of its worst and best clients; None without any."""
    result = analysis.result
    names = class_names(result)
    every = [(method, client_cells(method)) for method in result.confirmed]
    found = [(method, clients) for method, clients in every if clients]
    if not found:
        return None
    shown = found[:MOST_METHODS]
    ends = [ends_of(clients) for _, clients in shown]
    columns = max(map(len, ends))
    size = (PANEL * columns + 1.2, (PANEL + 0.3) * len(shown) + 0.6)
    figure, grid = panels(len(shown), columns, size, sharex=True, sharey=True)
    for row, (method, clients), drawn in zip(grid, shown, ends, strict=True):
        for axes in row[len(drawn) :]:
            axes.remove()
        for axes, client in zip(row, drawn, strict=False):
            cells = clients[client]
            title = f"client {client}: {100 * _share(cells):.0f} %"
            image = panel(axes, title, _matrix(cells, len(names)), names)
        row[0].set_ylabel(method.title)
    figure.supxlabel("predicted class")
    figure.supylabel("right class")
    figure.colorbar(image, ax=list(grid[:, : min(map(len, ends))].flat), label="share, %")
    return Drawing("client-confusion", _caption(analysis, found), figure)


def client_rows(result: ComparisonResult) -> list[tuple[str | int, ...]]:
    """Method, client, right class, predicted class and samples over all seeds, of cells with any.

    Where that would be too long a table, it is of the clients alone that are drawn.

    Args:
        result: a comparison.
    """
    names = class_names(result)
    every = {method.name: client_cells(method) for method in result.confirmed}
    if sum(len(cells) for clients in every.values() for cells in clients.values()) > MOST_ROWS:
        every = {
            method: {client: clients[client] for client in sorted(ends_of(clients))}
            for method, clients in list(every.items())[:MOST_METHODS]
        }
    return [
        (method, client, names[right], names[predicted], samples)
        for method, clients in every.items()
        for client, cells in clients.items()
        for (right, predicted), samples in sorted(cells.items())
    ]


def _caption(analysis: Analysis, found: Sequence[tuple[MethodResult, Mapping[int, Cells]]]) -> str:
    most = max(len(clients) for _, clients in found)
    which = (
        "of all clients"
        if most <= 2 * ENDS
        else f"of the {ENDS} of {count(most, 'client')} of whose test samples the fewest are right "
        f"and of the {ENDS} of whose the most are"
    )
    more = len(found) - MOST_METHODS
    rest = f" {count(more, 'method')} more have none here." if more > 0 else ""
    return (
        f"Confusion matrices {which}, for each method, with the share that is right"
        f"{mean_over(analysis)}. A class without a test sample of the client is empty.{rest}"
    )


def _share(cells: Cells) -> float:
    return sum(n for (right, said), n in cells.items() if right == said) / sum(cells.values())


def _matrix(cells: Cells, classes: int) -> np.ndarray:
    counted = np.zeros((classes, classes), dtype=np.int64)
    for place, samples in cells.items():
        counted[place] = samples
    return counted
