"""What has to be known of a comparison's table, below it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfltune.report.analysis import Analysis


def said(analysis: "Analysis") -> Iterator[str]:
    """A line each: configurations of fronts, what was found and what not, failures, searches."""
    from pfltune.report.fronts_shown import front_lines
    from pfltune.report.power_words import power
    from pfltune.report.tuning.gained import gained
    from pfltune.report.tuning.repeated import repeated
    from pfltune.report.words import finding, origin_note

    yield from front_lines(analysis)
    yield from filter(None, (finding(analysis), power(analysis), origin_note(analysis.result)))
    for method in analysis.result.methods:
        for reason in method.failures:
            yield f"{method.title}: failed trials: {reason}"
        if method.unfit:
            yield f"{method.title}: {method.unfit}"
    yield from (*repeated(analysis), *gained(analysis))
