"""Figures of single clients: how they spread, who gains, and pairs with the reference."""

from typing import Any

import numpy as np

from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, dress, label_rows, panels, rows_height
from pfltune.report.results import MethodResult
from pfltune.report.statistics import common_seeds, over_seeds, paired
from pfltune.report.styles import Style
from pfltune.report.words import mean_over

MOST_COLUMNS = 4
PANEL = 1.75  # inches
MOST_POINTS = 200  # clients beyond which a box says more than points do
JITTER = 0.17
MARGIN = 3.0  # points round the lowest and the highest client


def client_accuracies(analysis: Analysis) -> Drawing:
    """How the test figure spreads over clients."""
    shown, goal = analysis.result.confirmed, analysis.result.goal
    figure, axes = canvas(goal.axis("test", " of a client"), "", rows_height(len(shown)))
    for place, method in enumerate(shown):
        _spread(axes, place, goal.scale * method.clients().mean(0), analysis.styles[method.name])
    label_rows(axes, [method.title for method in shown])
    caption = (
        f"Test {goal.noun} of each client{mean_over(analysis)}. Boxes hold the middle half of the "
        "clients, the line is the median, the diamond the mean."
    )
    return Drawing("client-accuracies", caption, figure)


def gain_over_local(analysis: Analysis) -> Drawing | None:
    """What each client gains by taking part, as FedPerfix's Figure 3; None if nobody is local."""
    local = analysis.local
    others = [method for method in analysis.result.confirmed if method is not local]
    if local is None or not others:
        return None
    goal = analysis.result.goal
    label = f"a client's test {goal.noun} minus that of {local.title}{goal.points and ', points'}"
    figure, axes = canvas(label, "", rows_height(len(others)))
    axes.axvline(0, color="0.3", linewidth=1)
    for place, method in enumerate(others):
        gains = _gains(method, local)
        _spread(axes, place, goal.scale * gains, analysis.styles[method.name])
        _note(axes, place, f"{np.mean(gains > 0):.0%} gain" if len(gains) else "no common seed")
    label_rows(axes, [method.title for method in others])
    caption = (
        f"What each client gains over {local.title}, which uploads nothing: difference of test "
        f"{goal.noun}{mean_over(analysis)}. On the right, the share of clients that gain."
    )
    return Drawing("gain-over-local", caption, figure)


def paired_clients(analysis: Analysis) -> Drawing | None:
    """Each method's clients against the reference's; None without another method."""
    reference = analysis.reference
    others = [m for m in analysis.result.confirmed if m is not reference]
    if reference is None or not others:
        return None
    rows = -(-len(others) // MOST_COLUMNS)
    columns = -(-len(others) // rows)
    size = (PANEL * columns + 0.5, (PANEL + 0.25) * rows + 0.4)
    figure, grid = panels(rows, columns, size, sharex=True, sharey=True)
    for axes in grid.flat[len(others) :]:
        axes.remove()
    for axes, method in zip(grid.flat, others, strict=False):
        _pairs(axes, method, reference, analysis.styles[method.name])
    shown = [method.clients() for method in analysis.result.confirmed]
    goal = analysis.result.goal
    ends = goal.span(min(map(np.min, shown)), max(map(np.max, shown)))
    margin = MARGIN if goal.unit else MARGIN / 100 * (ends[1] - ends[0])
    limits = ends[0] - margin, ends[1] + margin
    grid[0, 0].set(xlim=limits, ylim=limits)
    unit = goal.unit and f",{goal.unit}"
    figure.supxlabel(f"test {goal.noun} of a client with {reference.title}{unit}")
    figure.supylabel(f"with the method{unit}")
    caption = (
        f"Each client's test {goal.noun} with a method against that with {reference.title}"
        f"{mean_over(analysis)}. {'Below' if goal.is_minimised else 'Above'} the diagonal the "
        "method is better."
    )
    return Drawing("paired-clients", caption, figure)


def _gains(method: MethodResult, other: MethodResult) -> np.ndarray:
    """What each client's score gains, mean over common seeds; empty if there are none."""
    table = paired(method, other)
    return over_seeds(table) if len(table) else np.empty(0)


def _spread(axes: Any, place: int, values: np.ndarray, style: Style) -> None:
    """A box, and the clients as points where there are few."""
    if not len(values):
        return
    line = {"color": style.colour, "linewidth": 1.2}
    axes.boxplot(
        values,
        positions=[place],
        orientation="horizontal",
        widths=0.55,
        showfliers=len(values) > MOST_POINTS,
        flierprops={"marker": ".", "markersize": 2, "markeredgecolor": style.colour},
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={"color": style.colour, "linewidth": 2},
        manage_ticks=False,
    )
    if len(values) <= MOST_POINTS:
        heights = place + np.random.default_rng(0).uniform(-JITTER, JITTER, len(values))
        axes.scatter(values, heights, s=9, color=style.colour, alpha=0.45, linewidths=0, zorder=2)
    face = {"facecolor": "white", "edgecolor": style.colour, "linewidth": 1.2}
    axes.scatter(values.mean(), place, marker="D", s=26, zorder=4, **face)


def _note(axes: Any, place: int, text: str) -> None:
    """Beside a row, right of the axes."""
    axes.annotate(
        text,
        (1.01, place),
        xycoords=("axes fraction", "data"),
        va="center",
        annotation_clip=False,
    )


def _pairs(axes: Any, method: MethodResult, reference: MethodResult, style: Style) -> None:
    """One panel of :func:`paired_clients`."""
    dress(axes)
    axes.set_title(method.title)
    axes.axline((0, 0), slope=1, color="0.5", linewidth=0.8)
    seeds = common_seeds(method, reference)
    if not seeds:
        return
    scale = method.goal.scale
    x, y = (scale * each.clients(seeds).mean(0) for each in (reference, method))
    axes.scatter(x, y, s=14, color=style.colour, marker=style.marker, alpha=0.75, linewidths=0)
    differences = scale * _gains(method, reference)
    for share, corner, count in (
        (0.94, "left", f"{(differences > 0).sum()} above"),
        (0.06, "right", f"{(differences < 0).sum()} below"),
    ):
        place = {"ha": corner, "va": "center", "transform": axes.transAxes}
        axes.text(0.05 if corner == "left" else 0.95, share, count, **place)
    axes.set_aspect("equal")
