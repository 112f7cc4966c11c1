"""What each view of MLflow's pages shows: runs in an order, their columns, charts of them.

Scores are drawn at equal rounds, or with the rounds as an axis of their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pfltune import figures
from pfltune.figures import Figure, Part, best_at
from pfltune.goal import ACCURACY, Goal
from pfltune.knobs import Knob, condition
from pfltune.tracking.charts import (
    Chart,
    Section,
    arranged,
    bar,
    contour,
    line,
    parallel,
    scatter,
)

PLANE = ("prefix_length", "lr")
"""Knobs over which people want to see the score, if both are searched."""
OF_METHODS = (figures.TEST_STD_SEEDS, figures.TEST_WORST)
COSTS = (figures.MB_PER_ROUND, figures.TOTAL, figures.STEPS, figures.SECONDS)
RUN_COLUMNS = {"attributes.`Run Name`": 240, "runDateAndNestInfo": 140}
"""What MLflow shows of every run, by its own names of them, in pixels."""
Layout = dict[str, Any]


def methods(goal: Goal) -> Layout:
    """The table of a comparison."""
    shown = (goal.of("test"), *map(goal.of_table, OF_METHODS), *COSTS)
    return _layout("tags.stage = 'summary'", _metrics(shown), goal)


def trials(spaces: Iterable[tuple[Knob, ...]], goal: Goal) -> Layout:
    """All of a comparison, whatever they are for."""
    knobs = _params(_names(spaces) or ("lr",))
    shown = (goal.best, figures.ROUNDS, figures.TOTAL, figures.SECONDS)
    columns = (*_metrics(shown), *knobs, *_tags("stage", "outcome"))
    return _layout("tags.stage != 'summary' and tags.stage != 'comparison'", columns, goal)


def curves(goal: Goal) -> Layout:
    """What the chosen configurations learn, the mean of each method over its seeds with a band."""
    val, test = goal.of("val"), goal.selected("test")
    shown = (test, goal.selected("val"), figures.TOTAL)
    sections = (
        Section(f"Validation {goal.noun}", (line(val), line(val, by=figures.TOTAL))),
        Section(f"Test {goal.noun} and MB", (scatter(figures.TOTAL, test), bar(test))),
    )
    grouped = _grouped("tag", ("method",))
    return _layout("tags.stage = 'confirm'", _metrics(shown), goal, arranged(sections), grouped)


def tuning(
    method: str, knobs: tuple[Knob, ...], rungs: tuple[int, ...], goal: Goal = ACCURACY
) -> Layout:
    """The search trials of a method; what compares scores does it at equal rounds."""
    # Only a trial that ran all rounds has the first: MLflow puts those without it to the end.
    shown = (goal.selected("val"), figures.ROUNDS, goal.best)
    columns = (*_metrics(shown), *_params(k.name for k in knobs), *_tags("outcome"))
    return _layout(
        f"tags.stage = 'search' and tags.method = '{method}'",
        (*columns, *_metrics((figures.TOTAL,))),
        goal,
        arranged(_search_sections(knobs, rungs, goal)),
    )


def _search_sections(
    knobs: tuple[Knob, ...], rungs: tuple[int, ...], goal: Goal
) -> Iterator[Section]:
    last, best = goal.selected("val"), goal.best
    equal = best_at(best, rungs[0]) if rungs else last
    for title, beside in _branches(knobs):
        planes = (contour(x, y, equal) for x, y in _plane(beside))
        yield Section(title, (_all_rounds(beside, rungs, best), *planes))
    when = f" at round {rungs[0]}" if rungs else ""
    yield Section(f"Each knob{when}", tuple(scatter(k.name, equal) for k in knobs))
    if rungs:
        slices = (scatter(k.name, last) for k in knobs)
        yield Section("Each knob, full trials", tuple(slices))
    yield Section("Best so far, and MB", (line(best), scatter(figures.TOTAL, best)))


def _all_rounds(knobs: Iterable[Knob], rungs: tuple[int, ...], best: Figure) -> Chart:
    """Every trial at the rounds that it reached, which are an axis unless they are all the same."""
    reached = (figures.ROUNDS,) if rungs else ()
    return parallel((knob.name for knob in knobs), (*reached, best))


def _branches(knobs: tuple[Knob, ...]) -> Iterator[tuple[str, list[Knob]]]:
    """The knobs that stand beside each other, with the name of the trials that have them.

    MLflow draws a run only if it has them all.
    """
    always = [knob for knob in knobs if not knob.when]
    yield "All trials", always
    for when in {tuple(knob.when.items()): knob.when for knob in knobs if knob.when}.values():
        own = [k for k in knobs if k.when and k.when.items() <= when.items()]
        values = ", ".join(condition(name, wanted) for name, wanted in when.items())
        yield values, [*own, *(k for k in always if k.name not in when)]


def _plane(knobs: Iterable[Knob]) -> Iterator[tuple[str, str]]:
    """The two knobs to draw the score over; none if there are no two numbers."""
    numbers = [k.name for k in knobs if k.type in (int, float)]
    two = PLANE if set(numbers).issuperset(PLANE) else tuple(numbers[:2])
    if len(two) == 2:
        yield two[0], two[1]


def cells(stage: str, method: str, knobs: tuple[Knob, ...], goal: Goal, part: Part) -> Layout:
    """A row for each cell of a grid: the mean over its seeds."""
    figure = goal.selected(part)
    names = [knob.name for knob in knobs]
    numbers = [knob.name for knob in knobs if knob.type in (int, float)]
    slices = tuple(scatter(name, figure) for name in numbers)
    planes = tuple(contour(x, y, figure) for x, y in _plane(knobs))
    sections = (
        Section("Means over seeds", (*planes, bar(figure))),
        Section("Each knob", slices),
        Section("By round, and MB", (line(goal.of("val")), scatter(figures.TOTAL, figure))),
    )
    columns = (*_metrics((figure, figures.ROUNDS, figures.TOTAL)), *_params([*names, "seed"]))
    search = f"tags.stage = '{stage}' and tags.method = '{method}'"
    return _layout(search, columns, goal, arranged(sections), _grouped("param", names))


def _names(spaces: Iterable[tuple[Knob, ...]]) -> tuple[str, ...]:
    """The names of all knobs, each once."""
    return tuple(dict.fromkeys(knob.name for knobs in spaces for knob in knobs))


def _metrics(shown: Iterable[Figure]) -> tuple[str, ...]:
    return tuple(f"metrics.`{figure.name}`" for figure in shown)


def _params(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"params.`{name}`" for name in names)


def _tags(*names: str) -> tuple[str, ...]:
    return tuple(f"tags.`{name}`" for name in names)


def _grouped(mode: str, by: Iterable[str]) -> Layout:
    keys = [{"mode": mode, "groupByData": name} for name in by]
    return {"groupBy": {"aggregateFunction": "average", "groupByKeys": keys}}


def _width(column: str) -> int:
    """Pixels in which the heading can be read whole; MLflow's own are the same for all."""
    return max(90, 40 + 7 * len(column.split("`")[1]))


def _layout(
    search: str,
    columns: tuple[str, ...],
    goal: Goal,
    charts: Mapping[str, Any] = {},
    grouped: Mapping[str, Any] = {},
) -> Layout:
    """Sorted by the first column, the best first; with all runs in its charts."""
    return {
        "searchFilter": search,
        "orderByKey": columns[0],
        "orderByAsc": goal.is_minimised,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(columns),
        "columnOrder": [*RUN_COLUMNS, *columns],
        "columnWidths": RUN_COLUMNS | {column: _width(column) for column in columns},
        "runsHiddenMode": "SHOW_ALL",
        **charts,
        **grouped,
    }
