"""All searched knobs of all trials at once: an axis for each, a line per trial."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from pfltune.report.canvas import HEIGHT, WIDTH, Drawing, panels
from pfltune.report.tuning.axes import KnobAxis, axes_of
from pfltune.report.tuning.contour import COLOURS
from pfltune.report.tuning.points import Point, Read, readings
from pfltune.report.tuning.tuned import Tuned
from pfltune.report.tuning.words import shown

MOST_TICKS = 6
FEWEST = 3
"""Trials without which nothing is drawn."""


def parallel(tuned: Tuned) -> Drawing | None:
    """None for fewer than two knobs or few trials, of which it shows nothing."""
    read = readings(tuned)
    found = axes_of(tuned.knobs, [each.run.knobs for each in read.points])
    coloured = [each for each in read.points if read.is_equal or not each.is_short]
    values = {each.value for each in coloured}
    if len(found) < 2 or len(read.points) < FEWEST or len(values) < 2:
        return None
    norm = Normalize(min(values), max(values))
    figure, ((axes,),) = panels(1, 1, (max(WIDTH, 1.6 * len(found)), HEIGHT))
    for point in sorted(
        read.points, key=lambda each: (each in coloured, tuned.goal.scale * each.value)
    ):
        _line(axes, found, point, norm if point in coloured else None, tuned)
    for place, axis in enumerate(found):
        _scale(axes, place, axis)
    _names(axes, [axis.name for axis in found])
    when = tuned.after(coloured[0].round)
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes)
    bar.set_label(tuned.goal.axis("validation", f" {when}"))
    what = f"validation {tuned.goal.noun} {when}"
    return Drawing("tuning-parallel", _caption(found, read, what), figure)


def _line(
    axes: Any, found: Sequence[KnobAxis], point: Point, norm: Normalize | None, tuned: Tuned
) -> None:
    """A trial; without a place where it has not the knob, grey where no colour would be fair."""
    knobs = point.run.knobs
    places = [a.share(knobs[a.name]) if a.name in knobs else np.nan for a in found]
    chosen = dict(knobs) == dict(tuned.method.best)
    colour = "0.75" if norm is None else mpl.colormaps[COLOURS](norm(point.value))
    look = {"linewidth": 3.0 if chosen else 1.3, "linestyle": "-" if norm else (0, (4, 2))}
    axes.plot(range(len(found)), places, marker="o", markersize=3.5, color=colour, **look)


def _scale(axes: Any, place: int, axis: KnobAxis) -> None:
    """A knob's line with its values beside it."""
    axes.axvline(place, color="0.3", linewidth=0.8, zorder=0)
    for value in _ticks(axis):
        text = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        halo = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.annotate(shown(value), (place, axis.share(value)), bbox=halo, zorder=4, **text)


def _ticks(axis: KnobAxis) -> Sequence[Any]:
    """Its values, or some numbers evenly apart where they are many."""
    if not axis.is_number or len(axis.values) <= MOST_TICKS:
        return axis.values
    space = np.geomspace if axis.is_log else np.linspace
    ends = axis.numbers[0], axis.numbers[-1]
    middle = [float(f"{value:.2g}") for value in space(*ends, 4)[1:-1]]
    whole = all(isinstance(value, int) for value in axis.values)
    inner = sorted({round(value) if whole else value for value in middle})
    return [axis.values[0], *inner, axis.values[-1]]


def _names(axes: Any, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set(xlim=(-0.15, len(names) - 0.6), ylim=(-0.06, 1.06))
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _caption(found: Sequence[KnobAxis], read: Read, what: str) -> str:
    names = ", ".join(axis.name for axis in found)
    told = f"Every search trial over {names}, coloured by {what}"
    if not read.is_equal:
        told += "; grey and dashed: stopped early, and so no equal of the others"
    return f"{told}. The thick line is the chosen one."
