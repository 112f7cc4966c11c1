"""Trials as points: which round each is read at, and how that is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pfltune.report.results import SearchedRun
from pfltune.report.styles import Style
from pfltune.report.tuning.tuned import Tuned

FEWEST_FULL = 3
"""Trials that ran all rounds without which all are read at an earlier one."""


@dataclass(frozen=True)
class Point:
    """A trial as it is drawn.

    Attributes:
        run: the trial.
        value: its figure as it is shown.
        round: after which it was read, or at which share of its budget.
        is_short: whether others are read at a later one.
    """

    run: SearchedRun
    value: float
    round: float
    is_short: bool


@dataclass(frozen=True)
class Read:
    """All trials, each read at a round.

    Attributes:
        points: those with a figure.
        note: at which rounds, and how one tells.
        is_equal: whether all are read at one.
    """

    points: tuple[Point, ...]
    note: str
    is_equal: bool


def readings(tuned: Tuned) -> Read:
    """Each trial at its last round where enough came to the end; else all at one round.

    What was stopped early is told from the others, so that different rounds are no equals.
    """
    if tuned.learned.surrogate is None and len(tuned.full) < max(FEWEST_FULL, len(tuned.short)):
        return at_one_round(tuned)
    last = tuned.learned.rounds
    points = tuple(
        Point(run, tuned.goal.scale * run.value, run.course[-1][0], run.course[-1][0] < last)
        for run in tuned.shown
    )
    if not any(point.is_short for point in points):
        return Read(points, f"Every trial is read {tuned.after(last)}.", True)
    note = (
        f"Filled: {tuned.after(last)}. Hollow: stopped early, read when the "
        "number beside it says, and so no equal of the others."
    )
    return Read(points, note, False)


def at_one_round(tuned: Tuned) -> Read:
    """All trials after the last round that all of them came to."""
    search = tuned.search
    points = tuple(
        Point(run, tuned.goal.scale * value, search.round, run.course[-1][0] < tuned.learned.rounds)
        for run, value in search.compared
    )
    note = f"Every trial is read {tuned.after(search.round)}, to which all came."
    if any(point.is_short for point in points):
        note += " Hollow: stopped early afterwards."
    return Read(points, note, True)


def scatter(axes: Any, places: np.ndarray, points: Sequence[Point], style: Style) -> None:
    """Trials over a knob, hollow where they were stopped early."""
    for short in (True, False):
        here = [i for i, point in enumerate(points) if point.is_short == short]
        if here:
            axes.plot(
                places[here],
                [points[i].value for i in here],
                linestyle="none",
                marker="o",
                markersize=5,
                color=style.colour,
                markerfacecolor="white" if short else style.colour,
                label="stopped early" if short else "ran to the end",
                zorder=3,
            )


def mark(axes: Any, places: np.ndarray, points: Sequence[Point], tuned: Tuned) -> None:
    """A ring round the chosen one, and the round beside what was read earlier than others.

    Args:
        axes: where the points are.
        places: of each point, (2, points).
        points: the trials.
        tuned: says which is chosen.
    """
    for place, point in zip(places.T, points, strict=True):
        if dict(point.run.knobs) == dict(tuned.method.best):
            ring(axes, *place)
    for place, point in zip(places.T, points, strict=True):
        if point.round < max(each.round for each in points):
            near = {"xytext": (4, 3), "textcoords": "offset points"}
            axes.annotate(tuned.beside(point.round), place, color="0.35", **near)


def ring(axes: Any, x: float, y: float) -> None:
    """Round the chosen one."""
    ring = {"markerfacecolor": "none", "markeredgecolor": "black", "markersize": 11, "marker": "o"}
    axes.plot([x], [y], linestyle="none", label="chosen", zorder=4, clip_on=False, **ring)
