"""What is said of methods over several scenarios together, in a report's tables."""

from collections.abc import Mapping

import numpy as np

from pfltune.goal import ACCURACY, Goal
from pfltune.report.aggregates import Aggregates, Estimate
from pfltune.report.columns import NO_FIGURE, Column
from pfltune.report.results import MethodResult
from pfltune.report.spreadsheet import digits
from pfltune.text import count

AGGREGATE_HEADS = tuple(
    f"{name}{end}" for name in ("iqm", "improvement") for end in ("", "_low", "_high")
)
"""Of the columns of a CSV."""


def aggregate_columns(
    found: Aggregates | None, titles: Mapping[str, str], goal: Goal
) -> tuple[Column, ...]:
    """Of a table; none of a single scenario."""
    if found is None:
        return ()
    return (
        _column(f"interquartile mean{goal.unit}", found.iqm, goal),
        _column(f"P(improvement over {titles[found.first]}) %", found.improvement, ACCURACY),
    )


def aggregate_note(found: Aggregates | None, titles: Mapping[str, str], goal: Goal) -> str:
    """What these figures are; empty of a single scenario."""
    if found is None:
        return ""
    return (
        f"Over {found.scenarios} scenarios together, with {count(found.runs, 'run')} of each "
        "method in each (Agarwal et al. 2021): the mean of the middle half of a method's "
        f"{'accuracies' if goal.is_accuracy else 'figures'}; the probability that a run of a "
        f"method is {'below' if goal.is_minimised else 'above'} one of "
        f"{titles[found.first]}, ties half, mean over scenarios. In brackets a 95 % stratified "
        "bootstrap, which draws runs within scenarios: it is about these scenarios and, with few "
        "runs, too narrow for a test."
    )


def aggregate_cells(found: Aggregates | None, method: MethodResult, goal: Goal) -> list[str]:
    """A method's figures under ``AGGREGATE_HEADS``; nothing of a single scenario."""
    if found is None:
        return []
    both = ((found.iqm.get(method.name), goal), (found.improvement.get(method.name), ACCURACY))
    return [digits(number) for each, of in both for number in _three(each, of)]


def _three(found: Estimate | None, goal: Goal) -> tuple[float | None, ...]:
    """The figure and the ends of its interval, the lower first."""
    if found is None:
        return (None, None, None)
    value, *ends = map(goal.score, (found.value, found.low, found.high))
    return (value, *sorted(ends))


def _column(title: str, found: Mapping[str, Estimate], goal: Goal) -> Column:
    def text(method: MethodResult) -> str:
        if method.name not in found:
            return NO_FIGURE
        each = found[method.name]
        ends = " to ".join(map(goal.written_as, goal.span(each.low, each.high)))
        return f"{goal.text(each.value)} ({ends})"

    def value(method: MethodResult) -> float:
        return found[method.name].value if method.name in found else np.nan

    return Column(title, text, value)
