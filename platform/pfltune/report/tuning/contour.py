"""The validation figure over two knobs at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from pfltune.report.canvas import Drawing, canvas
from pfltune.report.tuning.axes import KnobAxis, axes_of
from pfltune.report.tuning.points import Point, at_one_round, mark, readings
from pfltune.report.tuning.tuned import Tuned

COLOURS = "cividis"
LEVELS = 12
RING = "The ring is round the chosen one."
FEWEST = 4
"""Points without which nothing is drawn."""


def contour(tuned: Tuned) -> Drawing | None:
    """The surrogate over the pair of knobs, and all trials; None where there are too few.

    Without a surrogate only the trials, all read after one round.
    """
    surrogate = tuned.learned.surrogate
    read = readings(tuned) if surrogate is not None else at_one_round(tuned)
    pair = tuned.pair or ()
    points = [each for each in read.points if all(name in each.run.knobs for name in pair)]
    found = axes_of(pair, [each.run.knobs for each in points])
    if len(found) < 2 or len(points) < FEWEST:
        return None
    x, y = found
    places = np.stack([axis.places([p.run.knobs[axis.name] for p in points]) for axis in (x, y)])
    figure, axes = canvas(x.name, y.name, height=4.4)
    plane = None if surrogate is None else _plane(tuned, x, y)
    values = [each.value for each in points if read.is_equal or not each.is_short]
    norm = _norm([*values, *([] if plane is None else plane[np.isfinite(plane)])])
    if plane is not None:
        _surface(axes, tuned, x, y, plane, norm)
    _dots(axes, places, points, norm, coloured=read.is_equal)
    mark(axes, places, points, tuned)
    x.draw(axes, "x")
    y.draw(axes, "y")
    label = tuned.goal.axis("validation", f" {tuned.after(_round(tuned, points))}")
    figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes, label=label)
    caption = (
        f"Validation {tuned.goal.noun} over {x.name} and {y.name}. {_what(tuned, plane)} "
        f"{read.note} {RING}"
    )
    return Drawing("tuning-contour", caption, figure)


def _plane(tuned: Tuned, x: KnobAxis, y: KnobAxis) -> np.ndarray | None:
    """What the surrogate says of the two, (len(y), len(x)); None where it says nothing."""
    assert tuned.learned.surrogate is not None
    found = tuned.learned.surrogate.plane(x.name, y.name).mean
    mean = tuned.goal.of_hundredfold * np.asarray(found, dtype=np.float64)
    return mean if np.isfinite(mean).any() else None


def _surface(
    axes: Any, tuned: Tuned, x: KnobAxis, y: KnobAxis, plane: np.ndarray, norm: Normalize
) -> None:
    """Contours over two scales; a field for each where one of them is no scale."""
    assert tuned.learned.surrogate is not None
    grid = tuned.learned.surrogate.plane(x.name, y.name)
    across, up = ([a.place(v) for v in vs] for a, vs in ((x, grid.x), (y, grid.y)))
    masked = np.ma.masked_invalid(plane)
    if x.is_number and y.is_number and masked.min() < masked.max():
        levels = np.linspace(masked.min(), masked.max(), LEVELS)
        axes.contourf(across, up, masked, levels=levels, cmap=COLOURS, norm=norm, alpha=0.75)
        return
    axes.pcolormesh(across, up, masked, cmap=COLOURS, norm=norm, alpha=0.75, shading="nearest")


def _dots(
    axes: Any, places: np.ndarray, points: Sequence[Point], norm: Normalize, *, coloured: bool
) -> None:
    """In the colour of their figure, if it was read after the same round as the others'."""
    look = {"edgecolors": "black", "linewidths": 0.8, "zorder": 3, "clip_on": False}
    for short in (True, False):
        here = [i for i, point in enumerate(points) if point.is_short == short]
        if not here:
            continue
        filled = coloured or not short
        fill = {"c": [points[i].value for i in here], "norm": norm, "cmap": COLOURS}
        label = "stopped early" if short else "ran to the end"
        colours = fill if filled else {"c": "white"}
        size = 18 if short else 42
        axes.scatter(*places[:, here], s=size, label=label, **colours, **look)


def _norm(values: Sequence[float]) -> Normalize:
    return Normalize(min(values), max(values)) if values else Normalize(0.0, 100.0)


def _round(tuned: Tuned, points: Sequence[Point]) -> float:
    return tuned.learned.rounds if tuned.learned.surrogate is not None else points[0].round


def _what(tuned: Tuned, plane: np.ndarray | None) -> str:
    if plane is None:
        why = tuned.learned.why_none
        return f"The trials alone. No surrogate: {why}" if why else "The trials alone."
    return (
        f"The surface is a Gaussian process over all trials, {tuned.after(tuned.learned.rounds)} "
        "and the best over the other knobs; where it says nothing, there is none."
    )
