"""Whether what a paper says is ahead is ahead: one verdict for each ordering and footing.

A footing gives one table of methods, or one for each draw of the clients. An ordering of test
accuracies is decided by the same paired test as in every report, two-sided, its p-value corrected
by Holm for all orderings of the footing together. It *holds* where the difference is told from 0
and has the direction that is claimed, and is *reversed* where it has the other one. Everything else
is *not told apart*, which is no equality, or *not tested*, with the reason.

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
from pfltune.report.results import MethodResult
from pfltune.report.statistics import (
    ALPHA,
    Difference,
    Interval,
    common_seeds,
    compare,
    holm,
)
from pfltune.text import count
from pfltune.ties import settled

Word = Literal["holds", "reversed", "not told apart", "not tested"]
NOWHERE = Interval(nan, nan)
Rows = Mapping[str, MethodResult]
"""What was found, by what a claim calls it."""


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
        seeds: that both have.
        agreeing: of these, those whose own difference has the direction of ``difference``.
        clients: number of clients; 0 for figures that clients do not have.
        reason: why nothing was tested, or what was counted instead of a test.
    """

    pair: Ordering
    footing: Footing
    word: Word
    difference: float = nan
    interval: Interval = NOWHERE
    p: float = nan
    seeds: int = 0
    agreeing: int = 0
    clients: int = 0
    reason: str = ""


def verdicts(footing: Footing, rows: Rows, pairs: Sequence[Ordering]) -> tuple[Verdict, ...]:
    """What one table of methods, or of personal layers, says of each ordering."""
    found = [_verdict(footing, rows, pair) for pair in pairs]
    tested = [place for place, verdict in enumerate(found) if not isnan(verdict.p)]
    # What could not be tested counts as a comparison all the same.
    raw = [1.0 if isnan(v.p) else v.p for v in found if v.pair.figure == TEST.name]
    places = [place for place, v in enumerate(found) if v.pair.figure == TEST.name]
    for place, p in zip(places, holm(raw), strict=True):
        if place in tested:
            found[place] = _decided(replace(found[place], p=p))
    return tuple(found)


def untested(footing: Footing, pairs: Sequence[Ordering], reason: str) -> tuple[Verdict, ...]:
    """The verdicts of a footing that has nothing to say."""
    return tuple(Verdict(pair, footing, "not tested", reason=reason) for pair in pairs)


def _verdict(footing: Footing, rows: Rows, pair: Ordering) -> Verdict:
    """The same before the correction; ``p`` is the pair's own."""
    for name in (pair.first, pair.second):
        if name not in rows or not rows[name].runs:
            return Verdict(pair, footing, "not tested", reason=f"{name} has no figure")
    first, second = rows[pair.first], rows[pair.second]
    if pair.figure != TEST.name:
        return _counted(footing, first, second, pair)
    return _of(footing, pair, compare(second, [first])[first.name])


def _of(footing: Footing, pair: Ordering, found: Difference) -> Verdict:
    """A difference of test accuracies as a verdict that waits for its correction."""
    return Verdict(
        pair=pair,
        footing=footing,
        word="not tested" if found.untested else "not told apart",
        difference=found.mean,
        interval=found.interval,
        p=nan if found.untested else found.raw_p,
        seeds=found.seeds,
        agreeing=found.agreeing,
        clients=found.clients,
        reason=found.untested or ("" if found.sign * found.mean >= 0 else AT_ODDS),
    )


AT_ODDS = "on most clients one way, on average the other"


def _decided(verdict: Verdict) -> Verdict:
    """The word of what was tested."""
    if not verdict.p < ALPHA or verdict.reason:
        return verdict
    ahead = verdict.difference * verdict.pair.direction > 0
    return replace(verdict, word="holds" if ahead else "reversed")


def _counted(
    footing: Footing, first: MethodResult, second: MethodResult, pair: Ordering
) -> Verdict:
    """The verdict on a figure that a trial has once, from the seeds that agree."""
    seeds = common_seeds(first, second)
    values = [
        {run.seed: run.metrics.get(pair.figure, nan) for run in method.runs}
        for method in (first, second)
    ]
    gaps = settled(np.array([values[0][seed] - values[1][seed] for seed in seeds]))
    if not len(gaps) or np.isnan(gaps).any():
        return Verdict(pair, footing, "not tested", reason=f"no {pair.figure} of both")
    mean = float(gaps.mean())
    agreeing = int((gaps * mean > 0).sum())
    word: Word = "not told apart"
    if agreeing == len(gaps):
        word = "holds" if mean * pair.direction > 0 else "reversed"
    told = f"measured, not tested: {agreeing} of {count(len(gaps), 'seed')} that way"
    return Verdict(pair, footing, word, mean, seeds=len(gaps), agreeing=agreeing, reason=told)
