"""Figures of the course of training: the goal's figure by round, by bytes, and within budgets."""

from typing import Any

import numpy as np

from pfltune import figures
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import (
    Drawing,
    canvas,
    dress,
    label_rows,
    legend,
    outside_legend,
    panels,
    rows_height,
    scale_mb,
    whole_numbers,
)
from pfltune.report.communication import pareto_front, score_by_mb
from pfltune.report.results import ConfirmedRun, MethodResult
from pfltune.report.spending import NOUNS, SPENT, axis_of, curve
from pfltune.report.words import mean_over

BAND = 0.12
MARKS = 8  # markers on a curve


def learning_curves(analysis: Analysis) -> Drawing:
    """The validation figure by round."""
    goal = analysis.result.goal
    figure, axes = canvas("round", goal.axis("validation"))
    for method in analysis.result.confirmed:
        style = analysis.styles[method.name]
        rounds, values = _by_seed(method.runs)
        axes.plot(rounds, values.mean(0), label=method.title, **style.curve, **_marks(len(rounds)))
        band = (values.min(0), values.max(0))
        axes.fill_between(rounds, *band, color=style.colour, alpha=BAND, linewidth=0)
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    caption = f"Validation {goal.noun} by round{mean_over(analysis, 'clients')}"
    caption += "; bands from the lowest seed to the highest." if _has_spread(analysis) else "."
    return Drawing("learning-curves", caption, figure)


def accuracy_over_bytes(analysis: Analysis) -> Drawing:
    """The validation figure by MB exchanged so far."""
    goal = analysis.result.goal
    figure, axes = canvas("MB so far, up and down, all sampled clients", goal.axis("validation"))
    shown = analysis.result.confirmed
    scale_mb(axes, _most(shown))
    for method in shown:
        points = np.array(score_by_mb(method)).reshape(-1, 2)
        style = analysis.styles[method.name].curve
        axes.plot(
            points[:, 0],
            goal.scale * points[:, 1],
            label=method.title,
            **style,
            **_marks(len(points)),
        )
    if shown:
        axes.axhline(
            goal.scale * analysis.target, color="0.4", linewidth=0.8, linestyle=(0, (5, 3))
        )
    legend(figure, axes)
    caption = (
        f"Validation {goal.noun} against the MB exchanged so far{mean_over(analysis)}. The dashed "
        f"line is the target, {goal.text(analysis.target)}{goal.unit}."
    )
    return Drawing("accuracy-by-bytes", caption, figure)


def accuracy_within(analysis: Analysis) -> Drawing:
    """The test figure within a budget of MB, local steps, operations and seconds."""
    shown, goal = analysis.result.confirmed, analysis.result.goal
    figure, grid = panels(2, 2, (7.2, 5.6), sharey=True)
    for axes, spent in zip(grid.flat, SPENT, strict=True):
        most = max((place for m in shown for place, _ in curve(m, spent)), default=0.0)
        unit, factor = axis_of(spent, most)
        dress(axes, f"{NOUNS[spent]}, {unit}" if unit != "steps" else NOUNS[spent])
        for method in shown:
            found = curve(method, spent)
            held = [(most, found[-1][1])] if found else []  # what has ended stays as it is
            points = np.array([*found, *held]).reshape(-1, 2)
            style = analysis.styles[method.name].curve
            axes.plot(
                factor * points[:, 0],
                goal.scale * points[:, 1],
                label=method.title,
                drawstyle="steps-post",
                **style,
                **{**_marks(len(points)), "markevery": slice(0, len(found))},
            )
        if spent is figures.TOTAL:
            scale_mb(axes, _most(shown))
    for row in grid:
        row[0].set_ylabel(goal.axis("test"))
    outside_legend(figure, grid.flat)
    caption = (
        f"Test {goal.noun} within a budget of each kind{mean_over(analysis)}: of the rounds that "
        f"it holds, that with the best validation {goal.noun}."
    )
    return Drawing("accuracy-within", caption, figure)


def accuracy_vs_communication(analysis: Analysis) -> Drawing | None:
    """The test figure against total MB, with the Pareto front; None for a single method."""
    shown, goal = analysis.result.confirmed, analysis.result.goal
    if len(shown) < 2:
        return None
    figure, axes = canvas("total MB up and down, all sampled clients", goal.axis("test"))
    scale_mb(axes, _most(shown))
    front = [_point(method) for method in analysis.front]
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="post", color="0.5", linewidth=1, zorder=1)
    for method in shown:
        _cross(axes, method, analysis)
    _join_fronts(axes, analysis)
    legend(figure, axes)
    spread = "; bars are ± the standard deviation over seeds"
    bars = spread if _has_spread(analysis) else ""
    caption = (
        f"Test {goal.noun} against total MB{bars}. Filled: on the Pareto front (the grey line), no "
        "other method is as good for as many MB."
    )
    if any(method.of for method in shown):
        caption += " Letters: the confirmed configurations of a method's front, joined by a step."
    return Drawing("accuracy-vs-communication", caption, figure)


def to_target(analysis: Analysis) -> Drawing | None:
    """Rounds and MB to the target, one row per method; None for a single method."""
    shown, goal = analysis.result.confirmed, analysis.result.goal
    target = goal.text(analysis.target) + goal.unit
    if len(shown) < 2:
        return None
    figure, grid = panels(1, 2, (7.2, rows_height(len(shown))), sharey=True)
    for axes, label, key in zip(grid[0], ("rounds", "MB"), ("round", "mb"), strict=True):
        dress(axes, f"{label} to {target} validation {goal.noun}")
        for place, method in enumerate(shown):
            _bar(axes, place, getattr(analysis.reached[method.name], key, None))
            axes.containers[-1][0].set_color(analysis.styles[method.name].colour)
        label_rows(axes, [method.title for method in shown])
        axes.margins(x=0.18)
    whole_numbers(grid[0, 0].xaxis)
    caption = (
        f"Rounds and MB until the validation {goal.noun}{mean_over(analysis, 'clients')}, first "
        f"reached {target}."
    )
    return Drawing("to-target", caption, figure)


def _has_spread(analysis: Analysis) -> bool:
    return any(len(method.runs) > 1 for method in analysis.result.confirmed)


def _by_seed(runs: tuple[ConfirmedRun, ...]) -> tuple[list[int], np.ndarray]:
    """The rounds that all seeds have, and figures as they are shown, (seeds, rounds)."""
    curves = [dict(run.course("val")) for run in runs]
    rounds = sorted(set.intersection(*(set(curve) for curve in curves)))
    scores = np.array([[curve[step] for step in rounds] for curve in curves])
    return rounds, runs[0].goal.scale * scores


def _marks(points: int) -> dict[str, Any]:
    return {"markersize": 4, "linewidth": 1.4, "markevery": max(1, points // MARKS)}


def _most(methods: tuple[MethodResult, ...]) -> float:
    return max((method.mean(figures.TOTAL.name) for method in methods), default=1.0)


def _point(method: MethodResult) -> tuple[float, float]:
    return method.mean(figures.TOTAL.name), method.goal.scale * method.test


def _cross(axes: Any, method: MethodResult, analysis: Analysis) -> None:
    """A method's point with its spread, hollow if another one is better for as many MB."""
    style = analysis.styles[method.method]
    if method.letter:
        place = {"xytext": (6, 5), "textcoords": "offset points"}
        axes.annotate(method.letter, _point(method), color=style.colour, fontsize=8, **place)
    axes.errorbar(
        *_point(method),
        yerr=abs(method.goal.scale) * method.score_std(),
        label=method.bare_title,
        linestyle="none",
        capsize=3,
        elinewidth=1,
        markersize=7,
        markerfacecolor=style.colour if method in analysis.front else "white",
        **style.points,
    )


def _join_fronts(axes: Any, analysis: Analysis) -> None:
    """A thin step through the confirmed configurations of each method that none of them beats."""
    for each in analysis.fronts.methods if analysis.fronts else ():
        rows = pareto_front([row for row in each.rows if row.runs])
        if len(rows) > 1:
            colour = analysis.styles[each.method.name].colour
            points = zip(*map(_point, rows), strict=True)
            axes.step(*points, where="post", color=colour, linewidth=1, alpha=0.7, zorder=1)


def _bar(axes: Any, place: int, value: float | None) -> None:
    axes.barh(place, value or 0.0, height=0.62)
    text = "not reached" if value is None else f"{value:,.4g}"
    axes.annotate(
        text,
        (value or 0.0, place),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        color="0.35" if value is None else "black",
    )
