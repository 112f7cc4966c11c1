"""Whether what a paper says is ahead is ahead: one verdict for each ordering and footing.

A footing gives one table of methods, or one for each draw of the clients. An ordering of test
accuracies is decided by the paired analysis of every report (:mod:`pfltune.report.crossed`),
two-sided, its p-value corrected by Holm for all orderings of the footing together. It *holds* where
the difference is told from 0 and has the direction that is claimed, and is *reversed* where it has
the other one. Everything else is *not told apart*, which is no equality, or *not tested*, with the
reason.

Another figure, such as bytes or memory, has one value for each seed. There the direction must be
the same in every seed; nothing is tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Literal

import numpy as np

from pfltune.claim import Footing
from pfltune.figures import TEST
from pfltune.orderings import Ordering
from pfltune.report.crossed import Crossed, crossed
from pfltune.report.results import MethodResult
from pfltune.report.statistics import ALPHA, Interval, common_seeds, holm, paired
from pfltune.text import count
from pfltune.ties import settled

Word = Literal["holds", "reversed", "not told apart", "not tested"]
Rows = Mapping[str, MethodResult]
"""What was found on one draw of the clients, by what a claim calls it."""
NOWHERE = Interval(nan, nan)


@dataclass(frozen=True)
class Verdict:
    """What a footing says of an ordering.

    Attributes:
        pair: the ordering.
        footing: on which.
        word: the verdict.
        difference: the first one's figure minus the second one's, accuracies in [0, 1]; NaN where
            there is none.
        interval: of the difference, 95 %, by itself; NaN where there is none.
        p: two-sided, after the correction for all orderings of the footing; NaN without a test.
        draws, seeds, clients: over which the difference was taken; clients are those of all draws,
            and 0 for figures that clients do not have.
        agreeing: draws, or of a single draw seeds, whose own difference has the direction of
            ``difference``.
        reason: why nothing was tested, or what was counted instead of a test.
    """

    pair: Ordering
    footing: Footing
    word: Word
    difference: float = nan
    interval: Interval = NOWHERE
    p: float = nan
    draws: int = 0
    seeds: int = 0
    clients: int = 0
    agreeing: int = 0
    reason: str = ""


def verdicts(
    footing: Footing, draws: Sequence[Rows], pairs: Sequence[Ordering]
) -> tuple[Verdict, ...]:
    """What a footing says of each ordering.

    Args:
        footing: which one.
        draws: the methods, or the kinds of layers, on each draw of the clients.
        pairs: the orderings.
    """
    found = [verdict(footing, draws, pair) for pair in pairs]
    places = [place for place, each in enumerate(found) if each.pair.figure == TEST.name]
    # What could not be tested counts as a comparison all the same.
    corrected = holm([1.0 if isnan(found[place].p) else found[place].p for place in places])
    for place, p in zip(places, corrected, strict=True):
        found[place] = _corrected(found[place], p)
    return tuple(found)


def untested(footing: Footing, pairs: Sequence[Ordering], reason: str) -> tuple[Verdict, ...]:
    """The verdicts of a footing that has nothing to say."""
    return tuple(Verdict(pair, footing, "not tested", reason=reason) for pair in pairs)


def verdict(footing: Footing, draws: Sequence[Rows], pair: Ordering) -> Verdict:
    """The verdict on one ordering by itself: ``p`` is not corrected for others."""
    for name in (pair.first, pair.second):
        if not all(name in rows and rows[name].runs for rows in draws):
            return Verdict(pair, footing, "not tested", reason=f"{name} has no figure")
    both = [(rows[pair.first], rows[pair.second]) for rows in draws]
    if pair.figure != TEST.name:
        return _counted(Verdict(pair, footing, "not tested"), *both[0])
    tables = [paired(first, second) for first, second in both]
    if not all(len(table) for table in tables):
        return Verdict(pair, footing, "not tested", reason="no seed in common yet")
    fewest = min(len(table) for table in tables)  # of draws that are not all tested yet
    same = [table[:fewest] for table in tables]
    found = crossed([table[None] for table in same])
    return _worded(
        Verdict(
            pair=pair,
            footing=footing,
            word="not tested",
            difference=found.mean,
            interval=_interval(found),
            p=found.p,
            draws=len(same),
            seeds=fewest,
            clients=sum(table.shape[1] for table in same),
            agreeing=_agreeing(same, found.mean),
            reason=found.untested,
        )
    )


def _worded(verdict: Verdict) -> Verdict:
    """The word of what was tested."""
    if isnan(verdict.p):
        return verdict
    word: Word = "not told apart"
    if verdict.p < ALPHA:
        word = _direction(verdict)
    return replace(verdict, word=word)


def _corrected(verdict: Verdict, p: float) -> Verdict:
    return verdict if isnan(verdict.p) else _worded(replace(verdict, p=p))


def _direction(verdict: Verdict) -> Word:
    return "holds" if verdict.difference * verdict.pair.direction > 0 else "reversed"


def _interval(found: Crossed) -> Interval:
    margin = found.margin(ALPHA)
    return Interval(found.mean - margin, found.mean + margin)


def _agreeing(tables: Sequence[np.ndarray], mean: float) -> int:
    """Draws, or of a single one seeds, that have the direction of the mean."""
    own = [t.mean() for t in tables] if len(tables) > 1 else tables[0].mean(1)
    return int((settled(np.asarray(own)) * mean > 0).sum())


def _counted(verdict: Verdict, first: MethodResult, second: MethodResult) -> Verdict:
    """The verdict on a figure that a trial has once, from the seeds that agree."""
    figure, seeds = verdict.pair.figure, common_seeds(first, second)
    values = [
        {run.seed: run.metrics.get(figure, nan) for run in method.runs}
        for method in (first, second)
    ]
    gaps = settled(np.array([values[0][seed] - values[1][seed] for seed in seeds]))
    if not len(gaps) or np.isnan(gaps).any():
        return replace(verdict, reason=f"no {figure} of both")
    mean = float(gaps.mean())
    agreeing = int((gaps * mean > 0).sum())
    told = f"measured, not tested: {agreeing} of {count(len(gaps), 'seed')} that way"
    found = replace(
        verdict, difference=mean, draws=1, seeds=len(gaps), agreeing=agreeing, reason=told
    )
    word: Word = _direction(found) if agreeing == len(gaps) else "not told apart"
    return replace(found, word=word)
