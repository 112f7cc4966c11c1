"""Two comparisons that differ in their sampler alone: what the one gained over the other."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from pfltune.report.analysis import Analysis
from pfltune.report.gains import Gain
from pfltune.report.results import MethodResult
from pfltune.report.tuning.gained import points, seeds_of
from pfltune.report.tuning.words import figure

CONTROL = "random"


def sampler_lines(analyses: Sequence[Analysis]) -> list[list[str]]:
    """A row per method and pair of comparisons on one footing, headings first; empty without any.

    On one footing are comparisons whose records differ in the sampler and in nothing that decides a
    figure: the same data, rounds, trials, spaces and seeds. Of a pair with random search that is
    the one which the other is held against.
    """
    rows = [row for pair in combinations(analyses, 2) if _alike(*pair) for row in _rows(*pair)]
    test = f"test{analyses[0].result.goal.unit}"
    heads = ["method", "sampler", test, "beside", test, "gain", "over", "ahead in"]
    return [heads, *rows] if rows else []


def sampler_note(analyses: Sequence[Analysis]) -> str:
    """What stands there, or why no number does; empty where all have one sampler."""
    budgets = {analysis.result.budget.sampler for analysis in analyses}
    if sampler_lines(analyses):
        return (
            f"Test {analyses[0].result.goal.noun} of what each sampler's search chose, with the "
            "same start values, "
            "trials, rounds and fresh seeds; ± is the standard deviation of a difference. A "
            "search of one study is one draw of its sampler: with --studies there are several."
        )
    if len(budgets) > 1:
        return (
            "Samplers are not held against each other: these comparisons differ in more than that."
        )
    return ""


def sampler_text(analyses: Sequence[Analysis]) -> list[str]:
    """The table as lines of text."""
    return [
        f"{title}: {gain}{analyses[0].result.goal.points} by {ours} over {theirs}, {over}, ahead "
        f"in {ahead}"
        for title, ours, _, theirs, _, gain, over, ahead in sampler_lines(analyses)[1:]
    ]


def _alike(one: Analysis, other: Analysis) -> bool:
    first, second = one.result.record, other.result.record
    mine, theirs = one.result.budget, other.result.budget
    if mine.sampler == theirs.sampler:
        return False
    same = mine.model_copy(update={"sampler": theirs.sampler}) == theirs
    return same and all(
        getattr(first, part) == getattr(second, part)
        for part in ("scenario", "data", "computing", "fixed", "spaces")
    )


def _rows(one: Analysis, other: Analysis) -> Iterator[list[str]]:
    if one.result.budget.sampler == CONTROL:
        one, other = other, one
    theirs = {method.name: method for method in other.result.confirmed}
    for method in one.result.confirmed:
        gain = _gain(method, theirs[method.name]) if method.name in theirs else None
        if gain is not None:
            yield [
                method.title,
                one.result.budget.sampler,
                figure(method.goal, method.test),
                other.result.budget.sampler,
                figure(method.goal, theirs[method.name].test),
                points(method.goal, gain),
                seeds_of(gain),
                f"{gain.above} of {gain.seeds * gain.studies}",
            ]


def _gain(method: MethodResult, other: MethodResult) -> Gain | None:
    """By the seeds and studies that both have; None without any."""
    seeds = [seed for seed in method.seeds if seed in other.seeds]
    studies = [study for study in method.studies if study in other.studies]
    if not seeds or not studies:
        return None
    mine, theirs = (each.crossed(seeds, studies).mean(2) for each in (method, other))
    return Gain(np.asarray(mine - theirs), "test", method.best == other.best)
