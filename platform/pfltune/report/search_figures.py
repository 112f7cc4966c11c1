"""Figures of the search: best so far under equal budget, and accuracy over the knobs."""

import math
from collections import Counter
from typing import Any

import numpy as np

from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, dress, legend, panels
from pfltune.report.results import MethodResult, SearchedRun

PANELS = 4
FEWEST_FOR_CONTOUR = 6


def best_so_far(analysis: Analysis) -> Drawing | None:
    """Best validation accuracy after each trial of the search."""
    searches = [each for each in analysis.searches.values() if each.best_so_far]
    if not searches:
        return None
    figure, axes = canvas("search trials", "best validation accuracy so far, %")
    for each in searches:
        values = 100 * np.array(each.best_so_far)
        style = analysis.styles[each.method.name]
        axes.step(
            range(1, len(values) + 1),
            values,
            where="post",
            label=each.method.title,
            markersize=4,
            **style.curve,
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend(figure, axes)
    caption = (
        "Best validation accuracy so far by search trial; every method has the same number of "
        "trials. The published values are the first."
    )
    return Drawing("search-best-so-far", caption, figure)


def knob_slices(analysis: Analysis) -> Drawing | None:
    """Validation accuracy of every search trial over each knob that most methods search."""
    names = _shared_knobs(analysis.result.methods)[:PANELS]
    if not names:
        return None
    figure, grid = panels(1, len(names), (2.2 + 2.1 * len(names), 3.4), sharey=True)
    for axes, name in zip(grid[0], names, strict=True):
        dress(axes, name)
        for method in analysis.result.methods:
            _points(axes, name, method, analysis.styles[method.name].points)
        if _spans_decades(name, analysis.result.methods):
            axes.set_xscale("log")
    grid[0, 0].set_ylabel("validation accuracy, %")
    handles = {
        label: handle
        for axes in grid[0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize=8
    )
    caption = (
        "Validation accuracy of each search trial over its knobs. Hollow: stopped early, so read "
        "after fewer rounds."
    )
    return Drawing("search-slices", caption, figure)


def knob_contour(analysis: Analysis) -> Drawing | None:
    """Validation accuracy over two numeric knobs of the method with most trials that have both."""
    found = [pair for pair in map(_plane, analysis.result.methods) if pair is not None]
    if not found:
        return None
    method, (first, second), runs = max(found, key=lambda pair: len(pair[2]))
    figure, axes = canvas(first, second)
    x, y = (np.array([float(run.knobs[name]) for run in runs]) for name in (first, second))
    z = 100 * np.array([run.value for run in runs])
    shown = [_log_if_wide(values) for values in (x, y)]
    if len(runs) >= FEWEST_FOR_CONTOUR and _spans_a_plane(*shown):
        axes.tricontourf(x, y, z, levels=8, cmap="cividis", alpha=0.6)
    points = axes.scatter(x, y, c=z, cmap="cividis", edgecolors="black", linewidths=0.6)
    for values, rescale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        if values.min() > 0 and values.max() / values.min() >= 10:
            rescale("log")
    figure.colorbar(points, ax=axes, label="validation accuracy, %")
    caption = (
        f"{method.title}: validation accuracy over {first} and {second}, one point per search "
        "trial that was not stopped early or, with fewer than three, per trial."
    )
    return Drawing("search-contour", caption, figure)


def _points(axes: Any, name: str, method: MethodResult, style: dict[str, Any]) -> None:
    runs = [run for run in _ran(method) if _is_number(run.knobs.get(name))]
    for stopped in (False, True):
        shown = [run for run in runs if (run.outcome == "stopped early") == stopped]
        if shown:
            axes.plot(
                [run.knobs[name] for run in shown],
                [100 * run.value for run in shown],
                linestyle="none",
                markersize=5,
                markerfacecolor="white" if stopped else style["color"],
                label=method.title,
                **style,
            )


def _shared_knobs(methods: tuple[MethodResult, ...]) -> list[str]:
    """Numeric knobs with more than one value, those of most methods first."""
    counted: Counter[str] = Counter()
    for method in methods:
        counted.update(_varied(_ran(method)))
    return [name for name, _ in counted.most_common()]


def _plane(method: MethodResult) -> tuple[MethodResult, tuple[str, str], list[SearchedRun]] | None:
    """A method's two numeric knobs that most of its trials have, and those trials."""
    whole = [run for run in _ran(method) if run.outcome == "finished"]
    runs = whole if len(whole) >= 3 else _ran(method)
    names = sorted(_varied(runs), key=lambda name: -sum(name in run.knobs for run in runs))
    if len(names) < 2:
        return None
    with_both = [run for run in runs if all(_is_number(run.knobs.get(n)) for n in names[:2])]
    return (method, (names[0], names[1]), with_both) if len(with_both) >= 3 else None


def _varied(runs: list[SearchedRun]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.knobs)
    return [
        name
        for name in names
        if len({run.knobs[name] for run in runs if _is_number(run.knobs.get(name))}) > 1
    ]


def _ran(method: MethodResult) -> list[SearchedRun]:
    return [r for r in method.searched if r.outcome != "failed" and not math.isnan(r.value)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _spans_decades(name: str, methods: tuple[MethodResult, ...]) -> bool:
    values = [
        run.knobs[name] for m in methods for run in _ran(m) if _is_number(run.knobs.get(name))
    ]
    numbers = [float(value) for value in values]
    return min(numbers) > 0 and max(numbers) / min(numbers) >= 10


def _log_if_wide(values: np.ndarray) -> np.ndarray:
    wide = values.min() > 0 and values.max() / values.min() >= 10
    return np.log(values) if wide else values


def _spans_a_plane(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether the points do not lie on a line, without which there are no triangles."""
    return np.linalg.matrix_rank(np.stack([x - x.mean(), y - y.mean()]), tol=1e-9) == 2
