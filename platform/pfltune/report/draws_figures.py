"""The figures of a comparison over draws: a point for each draw and method."""

from typing import Any

import numpy as np

from pfltune.report.canvas import Drawing, canvas, label_rows, legend, rows_height
from pfltune.report.draws import DrawsResult
from pfltune.report.styles import COLOURS, MARKERS
from pfltune.text import plain

SPREAD = 0.3  # of a row, in which draws stand one above the other
MOST_NAMED = len(MARKERS)
"""Draws that have a marker each; of more, all points look alike."""


def accuracies(found: DrawsResult) -> Drawing | None:
    """Each method's test figure on each draw, their mean and its spread; None without any."""
    shown, goal = found.confirmed, found.goal
    if not shown:
        return None
    figure, axes = canvas(goal.axis("test"), "", max(rows_height(len(shown)), 1.8))
    _points(axes, found, [[goal.scale * mean for mean in method.means] for method in shown])
    for row, method in enumerate(shown):
        spread = np.nan_to_num(abs(goal.scale) * method.std_draws)
        _mean(axes, row, goal.scale * method.test, (spread, spread))
    label_rows(axes, [plain(method.title) for method in shown])
    legend(figure, axes)
    caption = (
        f"Test {goal.noun} on each draw of clients, mean over clients and seeds; diamonds are "
        "means "
        "over draws, bars ± their standard deviation over draws."
    )
    return Drawing("accuracy-over-draws", caption, figure)


def differences(found: DrawsResult) -> Drawing | None:
    """Each method minus the reference on each draw; None where nothing is compared."""
    shown = [method for method in found.methods if method.name in found.against]
    if found.reference is None or not shown:
        return None
    title = plain(found.reference.title)
    goal = found.goal
    label = f"difference to {title}{goal.points and ', points'}"
    figure, axes = canvas(label, "", max(rows_height(len(shown)), 1.8))
    axes.axvline(0, color="0.3", linewidth=1)
    against = [found.against[method.name] for method in shown]
    _points(axes, found, [[goal.scale * each for each in one.of_draws] for one in against])
    for row, one in enumerate(against):
        low, high = goal.span(one.interval.low, one.interval.high)
        mean = goal.scale * one.mean
        bars = np.nan_to_num(np.array([mean - low, high - mean]))
        _mean(axes, row, mean, (bars[0], bars[1]))
    label_rows(axes, [plain(method.title) for method in shown])
    legend(figure, axes)
    caption = (
        f"Test {goal.noun} minus that of {title} on each draw of clients, paired by seed and "
        "client; "
        "diamonds are means over draws, bars their 95 % intervals where there are any."
    )
    return Drawing("difference-over-draws", caption, figure)


def _points(axes: Any, found: DrawsResult, values: list[list[float]]) -> None:
    """Of each draw, a row for each method."""
    offsets = np.linspace(-SPREAD, SPREAD, len(found.seeds) + 2)[1:-1]
    told = len(found.seeds) <= MOST_NAMED
    for place, (name, offset) in enumerate(zip(found.labels, offsets, strict=True)):
        style = place if told else 0
        axes.plot(
            [of_draws[place] for of_draws in values],
            np.arange(len(values)) + offset,
            linestyle="none",
            marker=MARKERS[style],
            markersize=5,
            color=COLOURS[style % len(COLOURS)],
            label=name if told else None,
        )


def _mean(axes: Any, row: int, value: float, bars: tuple[float, float]) -> None:
    axes.errorbar(
        value,
        row,
        xerr=np.array(bars).reshape(2, 1),
        marker="D",
        markersize=6,
        markerfacecolor="white",
        color="0.15",
        capsize=3,
        elinewidth=1.2,
        zorder=4,
    )
