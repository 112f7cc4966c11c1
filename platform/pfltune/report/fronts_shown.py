"""The fronts of a comparison in words, as a table and as a picture of the search."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pfltune.dominance import Point
from pfltune.figures import SEARCH_HYPERVOLUME, TEST_HYPERVOLUME, TOTAL
from pfltune.goal import Goal
from pfltune.knobs import Value
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, legend, scale_mb
from pfltune.report.columns import NO_FIGURE
from pfltune.report.communication import pareto_front, point_of
from pfltune.report.fronts import Fronts, MethodFront, searched_point
from pfltune.report.results import ComparisonResult, SearchedRun
from pfltune.report.spreadsheet import cell_text, text
from pfltune.text import in_short

HEADS = (
    *("method", "search trials on the front", "hypervolume %, validation"),
    *("configurations confirmed", "hypervolume %, test"),
)


def lines(found: Fronts | None) -> list[list[str]]:
    """A row for each method's front, the headings first; nothing with one objective."""
    if found is None:
        return []
    rows = [
        [
            each.method.title,
            f"{len(each.front)} of {len(each.searched)}",
            percent(each.validation) if each.searched else NO_FIGURE,
            str(sum(bool(row.runs) for row in each.rows)),
            percent(each.test),
        ]
        for each in found.methods
    ]
    return [list(HEADS), *rows]


def note(result: ComparisonResult, found: Fronts | None) -> str:
    """What a front and its hypervolume are; empty with one objective."""
    if found is None:
        return ""
    most, goal = f"{found.most:,.4g} MB", result.goal
    covered = f", of which e to the minus {goal.noun} is taken" if goal.is_minimised else ""
    is_limit = result.budget.max_mb is not None
    why = "what a trial may send" if is_limit else "the most that any of these trials sent"
    return (
        "A front has the search trials that ran all rounds and that no other of the method beats "
        f"in validation {goal.noun} for as many MB or fewer. {_confirmed(result.budget.front)} "
        "The hypervolume is the mean, over budgets from 0 to "
        f"{most} ({why}), of the best {goal.noun} within the budget{covered}; a budget that "
        f"nothing fits counts as 0. Its reference point is 0 at {most}, the same for all "
        "methods; on "
        "test data it is that of the confirmed configurations alone. MB are those of the rounds: "
        "what is sent once before them is told apart."
    )


def _confirmed(most: int) -> str:
    """What of a front was trained with fresh seeds, of at most so many configurations."""
    if most == 1:
        return "The best of each on validation data was confirmed with fresh seeds."
    further = ", then what lies furthest from the others" if most > 2 else ""
    return (
        f"Up to {most} configurations of each were confirmed with fresh seeds: its two ends"
        f"{further}; (a) is the best on validation data."
    )


def sentence(found: Fronts) -> str:
    """The hypervolumes on test data, the largest first; empty without any."""
    told = [f"{e.method.title} {percent(e.test)}" for e in found.methods if e.test == e.test]
    if not told:
        return ""
    most = f"{found.most:,.4g} MB"
    goal = found.methods[0].method.goal
    best = f"e to the minus lowest {goal.noun}" if goal.is_minimised else f"the best {goal.noun}"
    return f"Hypervolume %, the mean of {best} within 0 to {most}: {', '.join(told)}"


def front_lines(analysis: Analysis) -> Iterator[str]:
    """What is confirmed of each front, and the hypervolumes; nothing with one objective."""
    if analysis.fronts is not None:
        for each in analysis.fronts.methods:
            yield from configurations(analysis.result, each)
        yield from filter(None, [sentence(analysis.fronts)])


def front_facts(analysis: Analysis) -> dict[str, Any]:
    """The fronts for scripts; nothing with one objective."""
    if analysis.fronts is None:
        return {}
    methods = {
        each.method.name: {
            SEARCH_HYPERVOLUME.name: number(each.validation),
            TEST_HYPERVOLUME.name: number(each.test),
            "front": [
                {
                    "trial": run.index,
                    **_figure(each.method.goal, run.value),
                    TOTAL.name: run.needs_mb,
                }
                for run in each.front
            ],
            "confirmed": [row.name for row in each.rows if row.runs],
        }
        for each in analysis.fronts.methods
    }
    return {"fronts": {"up_to_mb": analysis.fronts.most, "methods": methods}}


def _figure(goal: Goal, score: float) -> dict[str, float]:
    return {goal.name: goal.score(score)}


def hypervolumes(found: MethodFront) -> dict[str, float]:
    """Those that there are, under the names that MLflow shows."""
    both = {SEARCH_HYPERVOLUME.name: found.validation, TEST_HYPERVOLUME.name: found.test}
    return {name: value for name, value in both.items() if value == value}


def number(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if value == value else None


def configurations(result: ComparisonResult, found: MethodFront) -> Iterator[str]:
    """What was searched of each confirmed configuration of a front, a line each."""
    space = result.record.spaces.get(found.method.name, {}).get("search", {})
    for row in found.rows:
        values: Mapping[str, Value] = {k: v for k, v in row.best.items() if k in space}
        if row.of:
            yield f"{row.title}: {in_short(values)}"


def csv_fronts(found: Fronts) -> str:
    """The trials of all fronts, see :func:`front_rows`."""
    rows = front_rows(found)
    heads = list(rows[0]) if rows else []
    return text(heads, [[cell_text(value) for value in row.values()] for row in rows])


def front_rows(found: Fronts) -> list[dict[str, object]]:
    """One row per search trial that ran all rounds, and one per confirmed configuration.

    ``part`` says whether the figure is of validation or of test data.
    """
    rows = []
    for each in found.methods:
        goal = each.method.goal
        name, confirmed = each.method.name, [row for row in each.rows if row.runs]
        best = pareto_front(confirmed)
        for run in each.searched:
            point = searched_point(run)
            rows.append(_point_row(goal, name, "val", run.index, point, run in each.front))
        for row in confirmed:
            rows.append(_point_row(goal, row.name, "test", None, point_of(row), row in best))
    return rows


def _point_row(
    goal: Goal, method: str, part: str, trial: int | None, point: Point, on_front: bool
) -> dict[str, object]:
    score, mb = point
    told = {"method": method, "part": part, "trial": trial, **_figure(goal, score)}
    return {**told, TOTAL.name: mb, "on_front": on_front}


def search_fronts(analysis: Analysis) -> Drawing | None:
    """The validation figure against MB of the search trials, with each method's front."""
    found = analysis.fronts
    if found is None or not any(each.searched for each in found.methods):
        return None
    goal = analysis.result.goal
    figure, axes = canvas("MB in all rounds, all sampled clients", goal.axis("validation"))
    scale_mb(axes, found.most)
    for each in sorted(found.methods, key=lambda each: each.method.name):
        if each.searched:
            _draw(axes, each, analysis)
    legend(figure, axes)
    caption = (
        f"Search trials that ran all rounds: validation {goal.noun} against MB. Filled and "
        "joined: a "
        "method's front. Ringed: confirmed with fresh seeds."
    )
    return Drawing("search-fronts", caption, figure)


def percent(share: float) -> str:
    """With two digits; a dash for no figure."""
    return NO_FIGURE if share != share else f"{100 * share:.2f}"


def _draw(axes: Any, found: MethodFront, analysis: Analysis) -> None:
    style = analysis.styles[found.method.name]
    rest = [run for run in found.searched if run not in found.front]
    hollow = {"markerfacecolor": "white", "linestyle": "none", "markersize": 5}
    scale = found.method.goal.scale
    axes.plot(*_axes(rest, scale), **style.points, **hollow)
    filled = {"markersize": 6, "linewidth": 1.2, "drawstyle": "steps-post"}
    axes.plot(*_axes(found.front, scale), label=found.method.title, **style.curve, **filled)
    chosen = [run for run in found.front if any(run.knobs == row.best for row in found.rows)]
    ring = {"marker": "o", "markersize": 12, "markerfacecolor": "none", "linestyle": "none"}
    axes.plot(*_axes(chosen, scale), color=style.colour, **ring)


def _axes(runs: Sequence[SearchedRun], scale: float) -> tuple[list[float], list[float]]:
    points = [searched_point(run) for run in runs]
    return [mb for _, mb in points], [scale * score for score, _ in points]
