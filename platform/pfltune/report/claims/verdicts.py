"""Whether what a paper says is ahead is ahead: one verdict for each ordering and footing.

A footing gives one table of methods, or one for each draw of the clients. An ordering of test
accuracies is decided by the paired analysis of every report (:mod:`pfltune.report.crossed`),
two-sided. Interval and p-value hold for all orderings of the footing together, by Bonferroni;
these are as many as the claim has, and not as there are pairs, since the paper chose them. An
ordering *holds* where the difference is told from 0 and has the direction that is claimed, and is
*reversed* where it has the other one. Everything else is *not told apart*, which is no equality, or
*not tested*, with the reason.

Another figure, such as bytes or memory, has one value for each seed. There the direction must be
the same in every seed; nothing is tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Literal

import numpy as np

from pfltune.claim_file import Footing
from pfltune.figures import TEST
from pfltune.orderings import Ordering
from pfltune.report.crossed import Crossed, crossed
from pfltune.report.results import MethodResult
from pfltune.report.statistics import ALPHA, NOWHERE, Interval, common_seeds, paired_tables
from pfltune.text import count
from pfltune.ties import settled

Word = Literal["holds", "reversed", "not told apart", "not tested"]
Rows = Mapping[str, MethodResult]
"""What was found on one draw of the clients, by what a claim calls it."""


@dataclass(frozen=True)
class Verdict:
    """What a footing says of an ordering.

    Attributes:
        pair: the ordering.
        footing: on which.
        word: the verdict.
        difference: the first one's figure minus the second one's, accuracies in [0, 1]; NaN where
            there is none.
        interval: of the difference, 95 % for all orderings of the footing together; NaN without a
            test.
        p: two-sided, for all of them together; NaN without a test.
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
    together = sum(pair.figure == TEST.name for pair in pairs)
    return tuple(verdict(footing, draws, pair, together) for pair in pairs)


def untested(footing: Footing, pairs: Sequence[Ordering], reason: str) -> tuple[Verdict, ...]:
    """The verdicts of a footing that has nothing to say."""
    return tuple(Verdict(pair, footing, "not tested", reason=reason) for pair in pairs)


def verdict(footing: Footing, draws: Sequence[Rows], pair: Ordering, together: int = 1) -> Verdict:
    """The verdict on one ordering.

    Args:
        footing: on which.
        draws: as of :func:`verdicts`.
        pair: the ordering.
        together: orderings of accuracies for which interval and p-value hold.
    """
    nothing = Verdict(pair, footing, "not tested")
    for name in (pair.first, pair.second):
        lost = [rows.get(name) for rows in draws if name not in rows or not rows[name].runs]
        if lost:
            return replace(nothing, reason=_without_figure(name, lost[0]))
    both = [(rows[pair.first], rows[pair.second]) for rows in draws]
    if pair.figure != TEST.name:
        return _counted(nothing, *both[0])
    # While a comparison runs, or where a trial has failed, a draw may lack a seed of another.
    each = [common_seeds(first, second) for first, second in both]
    seeds = [seed for seed in each[0] if all(seed in others for others in each)]
    tables = [table for first, second in both for table in paired_tables(first, second, seeds)]
    if len(tables) < len(draws):
        return replace(nothing, reason="no seed in common yet")
    return _tested(nothing, tables, together)


def _tested(verdict: Verdict, tables: Sequence[np.ndarray], together: int) -> Verdict:
    """The verdict on differences (searches, seeds, clients), one table for each draw."""
    found = crossed(tables)
    told = replace(
        verdict,
        difference=found.mean,
        draws=len(tables),
        seeds=tables[0].shape[1],
        clients=sum(table.shape[2] for table in tables),
        agreeing=_agreeing(tables, found.mean),
        reason=found.untested,
    )
    if found.untested:
        return told
    p = min(1.0, found.p * together)
    told = replace(told, p=p, interval=_interval(found, ALPHA / together))
    return replace(told, word=_direction(told) if p < ALPHA else "not told apart")


def _without_figure(name: str, lost: MethodResult | None) -> str:
    failures = "; ".join(lost.failures) if lost else ""
    return f"{name} has no figure{f': {failures}' if failures else ''}"


def _direction(verdict: Verdict) -> Word:
    return "holds" if verdict.difference * verdict.pair.direction > 0 else "reversed"


def _interval(found: Crossed, alpha: float) -> Interval:
    margin = found.margin(alpha)
    return Interval(found.mean - margin, found.mean + margin)


def _agreeing(tables: Sequence[np.ndarray], mean: float) -> int:
    """Draws, or of a single one seeds, that have the direction of the mean."""
    own = [table.mean() for table in tables] if len(tables) > 1 else tables[0].mean((0, 2))
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
