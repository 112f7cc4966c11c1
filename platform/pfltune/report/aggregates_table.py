"""What is said of methods over several scenarios together, in a report's tables."""

from collections.abc import Mapping

import numpy as np

from pfltune.report.aggregates import Aggregates, Estimate
from pfltune.report.columns import NO_FIGURE, Column
from pfltune.report.results import MethodResult
from pfltune.report.spreadsheet import digits
from pfltune.text import count

AGGREGATE_HEADS = tuple(
    f"{name}{end}" for name in ("iqm", "improvement") for end in ("", "_low", "_high")
)
"""Of the columns of a CSV."""


def aggregate_columns(found: Aggregates | None, titles: Mapping[str, str]) -> tuple[Column, ...]:
    """Of a table; none of a single scenario."""
    if found is None:
        return ()
    return (
        _column("interquartile mean %", found.iqm),
        _column(f"P(improvement over {titles[found.first]}) %", found.improvement),
    )


def aggregate_note(found: Aggregates | None, titles: Mapping[str, str]) -> str:
    """What these figures are; empty of a single scenario."""
    if found is None:
        return ""
    return (
        f"Over {found.scenarios} scenarios together, with {count(found.runs, 'run')} of each "
        "method in each (Agarwal et al. 2021): the mean of the middle half of a method's "
        "accuracies; the probability that a run of a method is above one of "
        f"{titles[found.first]}, ties half, mean over scenarios. In brackets a 95 % stratified "
        "bootstrap, which draws runs within scenarios: it is about these scenarios and, with few "
        "runs, too narrow for a test."
    )


def aggregate_cells(found: Aggregates | None, method: MethodResult) -> list[str]:
    """A method's figures under ``AGGREGATE_HEADS``; nothing of a single scenario."""
    if found is None:
        return []
    both = (found.iqm.get(method.name), found.improvement.get(method.name))
    return [digits(getattr(each, end, None)) for each in both for end in ("value", "low", "high")]


def _column(title: str, found: Mapping[str, Estimate]) -> Column:
    def text(method: MethodResult) -> str:
        if method.name not in found:
            return NO_FIGURE
        each = found[method.name]
        low, high = 100 * each.low, 100 * each.high
        return f"{100 * each.value:.2f} ({low:.2f} to {high:.2f})"

    def value(method: MethodResult) -> float:
        return found[method.name].value if method.name in found else np.nan

    return Column(title, text, value)
