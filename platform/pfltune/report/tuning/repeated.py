"""What each of several independent searches of a method chose, and how far they agree."""

from collections.abc import Iterator, Sequence
from typing import Any

from pfltune import figures
from pfltune.knobs import Value
from pfltune.report.analysis import Analysis
from pfltune.report.columns import NO_FIGURE, mean_test
from pfltune.report.dimensions import is_number
from pfltune.report.results import MethodResult
from pfltune.report.searching import Searching
from pfltune.report.tuning.words import figure, shown, winner_value
from pfltune.text import count


def study_lines(searches: Sequence[Searching]) -> list[list[str]]:
    """A row per study of a method, headings first; empty for a single one."""
    if len(searches) < 2:
        return []
    unit = searches[0].method.goal.unit
    heads = ["study", "chosen", *(f"{what}{unit}" for what in ("search", "validation", "test"))]
    return [heads, *(_row(number, each) for number, each in enumerate(searches))]


def study_rows(method: MethodResult, searches: Sequence[Searching]) -> Iterator[dict[str, Any]]:
    """The same with all digits; of a single study, too."""
    for number, each in enumerate(searches):
        own, goal = each.method, each.method.goal
        found = goal.score(each.winner.value) if each.winner and own.best else float("nan")
        knobs = {f"knobs/{name}": value for name, value in own.best.items()}
        yield {
            "method": method.name,
            "study": number,
            "seeds": len(own.runs),
            f"search/val_{goal.name}": found,
            goal.of("val").name: goal.score(own.val),
            goal.of("test").name: goal.score(own.test),
            goal.of_table(figures.TEST_STD_SEEDS).name: own.score_std(),
        } | knobs


def repeated(analysis: Analysis) -> list[str]:
    """How far the studies of each method agree, a line each."""
    return [told for each in analysis.studies.values() if (told := agreement(each))]


def agreement(searches: Sequence[Searching]) -> str:
    """How far the studies of a method agree, in a sentence or two; empty for a single one."""
    if len(searches) < 2:
        return ""
    method = searches[0].method
    chosen = [each.method.best for each in searches if each.method.best]
    if len(chosen) < 2:
        return f"{method.title}: {count(len(chosen), 'study')} of {len(searches)} chose anything."
    kinds = {tuple(sorted(knobs.items())) for knobs in chosen}
    told = f"{method.title}: {count(len(chosen), 'study')} chose "
    told += "the same configuration" if len(kinds) == 1 else count(len(kinds), "configuration")
    if len(kinds) == 1:
        return f"{told}."
    apart = [text for name in searches[0].space if (text := _knob(name, chosen, searches[0]))]
    return f"{told}: {'; '.join(apart)}." if apart else f"{told}."


def _knob(name: str, chosen: Sequence[dict[str, Value]], search: Searching) -> str:
    """``lr 0.01 to 0.05 (35 % of its range)``, ``prefix tokens in 2 of 3``."""
    values = [knobs[name] for knobs in chosen if name in knobs]
    if not values:
        return ""
    dimension = search.space[name]
    numbers = [value for value in values if is_number(value)]
    if dimension.is_number and len(numbers) == len(chosen) and len(set(numbers)) > 1:
        low, high = min(numbers), max(numbers)
        share = dimension.place(high) - dimension.place(low)
        return f"{name} {shown(low)} to {shown(high)} ({100 * share:.0f} % of its range)"
    most = max(values, key=values.count)
    return f"{name} {shown(most)} in {values.count(most)} of {len(chosen)}"


def _row(number: int, search: Searching) -> list[str]:
    own = search.method
    if not own.best:
        return [str(number), "nothing", *[NO_FIGURE] * 3]
    return [
        str(number),
        ", ".join(f"{name} = {shown(value)}" for name, value in own.best.items()),
        winner_value(search),
        figure(own.goal, own.val),
        mean_test(own) if own.runs else NO_FIGURE,
    ]
