"""Figures of the search: best so far under equal budget, and scores over the knobs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.tri import Triangulation

from pfltune.federation.federation import Rounds
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import (
    Drawing,
    canvas,
    dress,
    is_wide,
    legend,
    outside_legend,
    panels,
    scale,
    whole_numbers,
)
from pfltune.report.dimensions import is_number
from pfltune.report.moments import after
from pfltune.report.searching import Searching
from pfltune.report.tuning.axes import KnobAxis, axes_of
from pfltune.report.tuning.tuned import varied
from pfltune.text import listed

MOST_SLICES = 8
SLICES_IN_A_ROW = 4
MOST_CONTOURS = 3
FEWEST_FOR_CONTOUR = 6


@dataclass(frozen=True)
class Plane:
    """A method's trials over two knobs.

    Attributes:
        first, second: names of the knobs.
        x, y: their values, (trials,).
        z: figure at one round as it is shown, (trials,).
    """

    first: str
    second: str
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @property
    def can_be_drawn(self) -> bool:
        """Whether there are triangles enough to say something: not on a line, not a handful."""
        if len(self.x) < FEWEST_FOR_CONTOUR:
            return False
        points = np.stack([_straight(self.x), _straight(self.y)])
        centred = points - points.mean(1, keepdims=True)
        return np.linalg.matrix_rank(centred, tol=1e-9) == 2

    @property
    def triangles(self) -> Triangulation:
        """Between neighbours as the axes show them."""
        seen = Triangulation(_straight(self.x), _straight(self.y))
        return Triangulation(self.x, self.y, seen.triangles)


def best_so_far(analysis: Analysis) -> Drawing | None:
    """Best validation figure of whole trials, after each trial of the search."""
    searches = [s for s in analysis.searches.values() if not np.isnan(s.best_so_far).all()]
    if max((len(each.best_so_far) for each in searches), default=0) < 2:
        return None
    goal = analysis.result.goal
    figure, axes = canvas("search trials", f"best {goal.axis('validation', ' so far')}")
    for each in searches:
        values = goal.scale * np.array(each.best_so_far)
        style = analysis.styles[each.method.name]
        axes.step(
            range(1, len(values) + 1),
            values,
            where="post",
            label=each.method.title,
            markersize=4,
            **style.curve,
        )
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    same = len({len(each.best_so_far) for each in searches}) == 1 < len(searches)
    caption = (
        f"Best validation {goal.noun} so far by search trial, among trials that ran all rounds"
    )
    caption += "; every method has the same number of trials." if same else "."
    return Drawing("search-best-so-far", caption, figure)


def knob_slices(analysis: Analysis) -> Drawing | None:
    """The validation figure of every search trial over each knob, those of most methods first."""
    searches = list(analysis.searches.values())
    shown = _shared_knobs(searches)[:MOST_SLICES]
    if not shown:
        return None
    rows = -(-len(shown) // SLICES_IN_A_ROW)
    columns = -(-len(shown) // rows)
    size = (2.2 + 2.1 * columns, 3.4 if rows == 1 else 2.6 * rows)
    figure, grid = panels(rows, columns, size, sharey=True)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    for axes, knob in zip(grid.flat, shown, strict=False):
        dress(axes, knob.name)
        for search in searches:
            _points(axes, knob, search, analysis.styles[search.method.name].points)
        knob.draw(axes, "x")
    for axes in grid[:, 0]:
        axes.set_ylabel(analysis.result.goal.axis("validation"))
    outside_legend(figure, grid.flat[: len(shown)])
    caption = (
        f"Validation {analysis.result.goal.noun} of each search trial over its knobs, read "
        f"{_moments(analysis)}. "
        "Hollow: stopped early."
    )
    return Drawing("search-slices", caption, figure)


def knob_contour(analysis: Analysis) -> Drawing | None:
    """The validation figure over the first knob and each other, of the method with most trials.

    None where no method has trials enough.
    """
    found = [(search, _planes(search)) for search in analysis.searches.values()]
    search, planes = max(found, key=lambda pair: sum(len(p.x) for p in pair[1]), default=(None, []))
    if search is None or not planes:
        return None
    figure, grid = panels(1, len(planes), (1.2 + 3.2 * len(planes), 3.4))
    every = np.concatenate([plane.z for plane in planes])
    limits = {"vmin": every.min(), "vmax": every.max(), "cmap": "cividis"}
    for axes, plane in zip(grid[0], planes, strict=True):
        dress(axes, plane.first, plane.second)
        if len(set(plane.z)) > 1:
            axes.tricontourf(plane.triangles, plane.z, levels=8, alpha=0.6, **limits)
        dots = {"edgecolors": "black", "linewidths": 0.6, "clip_on": False, "zorder": 3}
        points = axes.scatter(plane.x, plane.y, c=plane.z, **dots, **limits)
        scale(axes, "x", plane.x)
        scale(axes, "y", plane.y)
    goal = analysis.result.goal
    figure.colorbar(points, ax=grid[0].tolist(), label=goal.axis("validation"))
    caption = (
        f"{search.method.title}: validation {goal.noun} over {planes[0].first} and "
        f"{listed([plane.second for plane in planes], 'or')}, one point per search trial, all read "
        f"{after(search.round, _rules(analysis))}."
    )
    return Drawing("search-contour", caption, figure)


def _points(axes: Any, knob: KnobAxis, search: Searching, style: dict[str, Any]) -> None:
    pairs = [(run, value) for run, value in search.compared if knob.name in run.knobs]
    places = knob.places([run.knobs[knob.name] for run, _ in pairs])
    for stopped in (False, True):
        here = [
            i for i, (run, _) in enumerate(pairs) if (run.outcome == "stopped early") == stopped
        ]
        if here:
            axes.plot(
                places[here],
                [search.method.goal.scale * pairs[i][1] for i in here],
                linestyle="none",
                markersize=5,
                markerfacecolor="white" if stopped else style["color"],
                label=search.method.title,
                **style,
            )


def _shared_knobs(searches: Sequence[Searching]) -> list[KnobAxis]:
    """Knobs with more than one value within a method, those of most methods first."""
    counted: Counter[str] = Counter()
    for search in searches:
        runs = [run for run, _ in search.compared]
        counted.update(varied(runs, search.space))
    every = [run.knobs for search in searches for run, _ in search.compared]
    return axes_of([name for name, _ in counted.most_common()], every)


def _planes(search: Searching) -> list[Plane]:
    """The knob that most trials have with each of the others, as far as it can be drawn."""
    names = _varied(search)
    if not names:
        return []
    first = max(names, key=lambda name: len(_values([search], name)))
    planes = [_plane(search, first, other) for other in names if other != first]
    return [plane for plane in planes if plane.can_be_drawn][:MOST_CONTOURS]


def _plane(search: Searching, first: str, second: str) -> Plane:
    both = [
        (float(run.knobs[first]), float(run.knobs[second]), search.method.goal.scale * value)
        for run, value in search.compared
        if is_number(run.knobs.get(first)) and is_number(run.knobs.get(second))
    ]
    return Plane(first, second, *np.array(both, dtype=np.float64).reshape(-1, 3).T)


def _varied(search: Searching) -> list[str]:
    """Its numeric knobs with more than one value, in their order."""
    names = dict.fromkeys(name for run, _ in search.compared for name in run.knobs)
    return [name for name in names if len(set(_values([search], name))) > 1]


def _values(searches: Iterable[Searching], name: str) -> list[float]:
    """What numeric values the trials have of a knob; whole numbers stay whole."""
    found = (run.knobs.get(name) for search in searches for run, _ in search.compared)
    return [value for value in found if is_number(value)]


def _moments(analysis: Analysis) -> str:
    """When the trials of each method are read, in words."""
    found = {search.round for search in analysis.searches.values() if search.compared}
    if len(found) == 1:
        return f"{after(found.pop(), _rules(analysis))}, to which all of them came"
    last = "round" if _rules(analysis).budget is None else "share of the budget"
    return f"after the last {last} that all trials of its method came to"


def _rules(analysis: Analysis) -> Rounds:
    return analysis.result.record.scenario.protocol


def _straight(values: np.ndarray) -> np.ndarray:
    """As they stand on their axis."""
    return np.log(values) if is_wide(values) else values
