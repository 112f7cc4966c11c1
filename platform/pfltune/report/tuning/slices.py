"""The validation figure over each searched knob, with what the surrogate says."""

from typing import Any

import numpy as np

from pfltune.report.canvas import Drawing, dress, outside_legend, panels
from pfltune.report.learned import Slice
from pfltune.report.tuning.axes import KnobAxis, axes_of
from pfltune.report.tuning.points import Read, mark, readings, scatter
from pfltune.report.tuning.tuned import Tuned

MOST = 8
IN_A_ROW = 4
BAND = 0.15


def slices(tuned: Tuned) -> Drawing | None:
    """A panel per searched knob; None where no knob has two values among trials with a figure."""
    read = readings(tuned)
    names = _ordered(tuned)
    shown = axes_of(names, [each.run.knobs for each in read.points])[:MOST]
    if not shown:
        return None
    rows = -(-len(shown) // IN_A_ROW)
    columns = -(-len(shown) // rows)
    size = (2.2 + 2.4 * columns, 3.4 if rows == 1 else 2.7 * rows)
    figure, grid = panels(rows, columns, size, sharey=True)
    for axes, axis in zip(grid.flat, shown, strict=False):
        _panel(axes, axis, tuned, read)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel(tuned.goal.axis("validation"))
    outside_legend(figure, grid.flat[: len(shown)])
    return Drawing("tuning-slices", f"{_caption(tuned)} {read.note}", figure)


def _panel(axes: Any, axis: KnobAxis, tuned: Tuned, read: Read) -> None:
    dress(axes, axis.name)
    points = [each for each in read.points if axis.name in each.run.knobs]
    places = axis.places([each.run.knobs[axis.name] for each in points])
    scatter(axes, places, points, tuned.style)
    mark(axes, np.stack([places, [each.value for each in points]]), points, tuned)
    surrogate = tuned.learned.surrogate
    if surrogate is not None and axis.name in surrogate.knobs:
        _surrogate(axes, axis, surrogate.slice(axis.name), tuned.goal.of_hundredfold)
    axis.draw(axes, "x")


def _surrogate(axes: Any, axis: KnobAxis, found: Slice, scale: float) -> None:
    """The best over all other knobs, as a line over numbers and as a bar for each category."""
    label, grey = "surrogate, 95 %", {"color": "0.35", "linewidth": 1.2}
    mean, *ends = (scale * np.asarray(each) for each in (found.mean, found.low, found.high))
    low, high = np.minimum(*ends), np.maximum(*ends)
    if axis.is_number:
        axes.plot(found.x, mean, label="surrogate", zorder=1, **grey)
        band = {"color": "0.35", "alpha": BAND, "linewidth": 0, "zorder": 0}
        known = ~np.isnan(mean)
        axes.fill_between(found.x, low, high, known, label="95 %", **band)
        return
    drawn = [i for i, value in enumerate(found.x) if value in axis.values]
    places = [axis.place(found.x[i]) for i in drawn]
    bars = [(mean - low)[drawn], (high - mean)[drawn]]
    axes.errorbar(places, mean[drawn], bars, fmt="_", capsize=4, zorder=1, label=label, **grey)


def _ordered(tuned: Tuned) -> list[str]:
    """The pair first, then by importance, then as in the space."""
    ranked = [each.knob for each in tuned.learned.importances]
    known = dict.fromkeys([*(tuned.pair or ()), *ranked, *tuned.knobs])
    return [name for name in known if name in tuned.knobs]


def _caption(tuned: Tuned) -> str:
    learned = tuned.learned
    goal = tuned.goal
    told = f"Validation {goal.noun} of each search trial over its knobs."
    if learned.surrogate is None:
        return f"{told} No surrogate: {learned.why_none}" if learned.why_none else told
    errors = (learned.surrogate.error, learned.surrogate.error_of_mean)
    error, of_mean = map(goal.margin_text, errors)
    return (
        f"{told} The line is a Gaussian process over all trials {tuned.after(learned.rounds)}, the "
        "best over the other knobs, with its 95 % band; left out in cross-validation it errs by "
        f"{error}{goal.points}, the mean by {of_mean}."
    )
