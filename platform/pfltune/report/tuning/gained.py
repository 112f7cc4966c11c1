"""What searches gained, in words that say what each number rests on."""

import math
from collections.abc import Iterable

from pfltune.goal import Goal
from pfltune.report.analysis import Analysis
from pfltune.report.columns import NO_FIGURE, PLUS_MINUS
from pfltune.report.gains import Gain, gain_of
from pfltune.report.results import MethodResult
from pfltune.report.searching import Searching
from pfltune.text import count

NO_FOOTING = (
    "no number: what it began with did not run as far as what it chose (--control tests both with "
    "the same seeds)"
)


def gain_cell(search: Searching) -> str:
    """``+1.20 (test, 3 seeds)``; of the search alone the number by itself, a dash for none."""
    gain = gain_of(search)
    if gain is None:
        return NO_FIGURE
    told = search.method.goal.signed(gain.mean)
    return told if gain.footing == "search" else f"{told} ({gain.footing}, {seeds_of(gain)})"


def seeds_of(gain: Gain) -> str:
    """``3 seeds``, or ``2 studies × 3 seeds``."""
    seeds = count(gain.seeds, "seed")
    return f"{count(gain.studies, 'study')} × {seeds}" if gain.studies > 1 else seeds


def points(goal: Goal, gain: Gain) -> str:
    """``+1.20 ± 0.50``."""
    told = goal.signed(gain.mean)
    return told if math.isnan(gain.std) else f"{told}{PLUS_MINUS}{goal.spread(gain.std)}"


def gain_lines(analysis: Analysis) -> list[list[str]]:
    """A row per method that has a control, headings first: on test data, with the same seeds."""
    found = [(method, analysis.gains.get(method.name)) for method in analysis.result.methods]
    rows = [_row(method, gain) for method, gain in found if gain is not None]
    unit = analysis.result.goal.unit
    heads = ["method", f"start values{unit}", f"chosen{unit}", "gain", "over", "ahead in"]
    return [heads, *rows] if rows else []


def gain_note(analysis: Analysis) -> str:
    """What stands in that table, or why there is none."""
    lines = gain_lines(analysis)
    if lines:
        return (
            f"Test {analysis.result.goal.noun} of what each search began with and of what it "
            "chose, after the same "
            "rounds and with the same fresh seeds, which the search never used; ± is the standard "
            "deviation of a difference."
        )
    return ""


def gained(analysis: Analysis) -> list[str]:
    """The same as lines of text."""
    found = [(method, analysis.gains.get(method.name)) for method in analysis.result.methods]
    return [
        f"{method.title}: {_told(method.goal, gain)}." for method, gain in found if gain is not None
    ]


def _told(goal: Goal, gain: Gain) -> str:
    if gain.is_start:
        return "the start values were chosen"
    return f"{points(goal, gain)}{goal.points} over its start values, {_where(gain)}"


def _where(gain: Gain) -> str:
    return f"over {seeds_of(gain)}, ahead in {gain.above} of {gain.seeds * gain.studies}"


def no_footing(searches: Iterable[Searching]) -> str:
    """Of which methods nothing is on one footing; empty where all have something."""
    without = dict.fromkeys(
        search.method.title
        for search in searches
        if search.winner is not None and search.first is not None and gain_of(search) is None
    )
    return f"Gain of {', '.join(without)}: {NO_FOOTING}." if without else ""


def _row(method: MethodResult, gain: Gain) -> list[str]:
    goal = method.goal
    started = [goal.scale * sum(run.test) / len(run.test) for run in method.controls]
    shared = [
        value
        for run, value in zip(method.controls, started, strict=True)
        if run.seed in method.seeds
    ]
    start = sum(shared) / len(shared)
    return [
        method.title,
        goal.written_as(start),
        goal.written_as(start + goal.scale * gain.mean),
        "start values chosen" if gain.is_start else points(goal, gain),
        seeds_of(gain),
        f"{gain.above} of {gain.seeds * gain.studies}",
    ]
