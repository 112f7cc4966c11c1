"""The front of each method: of its search on validation data, and as it was confirmed on test data.

Scores are of the goal, MB are 10^6 bytes of a whole trial, up and down of all sampled clients;
what is sent once beside the rounds is not in them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pfltune.dominance import Point, fronts, hypervolume
from pfltune.report.communication import point_of
from pfltune.report.results import ComparisonResult, MethodResult, SearchedRun


@dataclass(frozen=True)
class MethodFront:
    """What is known of a method's front.

    Attributes:
        method: with all of its search, by its own name.
        searched: the search trials that ran all rounds and send no more than they may, by MB.
        front: those of them that no other is as good as for as many MB or fewer, by MB.
        rows: its configurations that were confirmed, the most accurate on validation first.
        validation: hypervolume of the front on validation data.
        test: that of the rows on test data; NaN where none has a figure.
    """

    method: MethodResult
    searched: tuple[SearchedRun, ...]
    front: tuple[SearchedRun, ...]
    rows: tuple[MethodResult, ...]
    validation: float
    test: float


@dataclass(frozen=True)
class Fronts:
    """The fronts of a comparison with several objectives.

    Attributes:
        most: MB up to which hypervolumes are taken: what a trial may send, or else the most that a
            search trial or a confirmed configuration of any method sends.
        methods: a front each, the largest hypervolume on test data first, by short name of the
            method among equals.
    """

    most: float
    methods: tuple[MethodFront, ...]

    def of(self, method: str) -> MethodFront:
        """That of a method by its short name."""
        return next(each for each in self.methods if each.method.name == method)


def fronts_of(result: ComparisonResult) -> Fronts | None:
    """The front of each method; None with one objective."""
    if not result.budget.several:
        return None
    rounds = result.record.scenario.protocol.rounds
    whole = {method.name: finishers(method, rounds) for method in result.whole}
    most = _most(result, whole)
    found = [_front(result, method, whole[method.name], most) for method in result.whole]
    order = {id(each): (math.isnan(each.test), -each.test, each.method.name) for each in found}
    return Fronts(most, tuple(sorted(found, key=lambda each: order[id(each)])))


def finishers(method: MethodResult, rounds: int) -> tuple[SearchedRun, ...]:
    """The search trials that a front is of: of others the figures are of fewer rounds."""
    ran = (run for run in method.searched if run.curve and run.fits and run.rounds == rounds)
    return tuple(sorted((run for run in ran if run.outcome != "failed"), key=lambda r: r.needs_mb))


def searched_point(run: SearchedRun) -> Point:
    """Validation score and MB of a search trial that ran all rounds."""
    return run.value, run.needs_mb


def _front(
    result: ComparisonResult, method: MethodResult, searched: tuple[SearchedRun, ...], most: float
) -> MethodFront:
    points = [searched_point(run) for run in searched]
    best = tuple(searched[n] for n in fronts(points)[0]) if points else ()
    rows = sorted((r for r in result.methods if r.method == method.name), key=lambda r: r.place)
    tested = [point_of(row) for row in rows if row.runs]
    return MethodFront(
        method=method,
        searched=searched,
        front=best,
        rows=tuple(rows),
        validation=hypervolume(_covered(points, method), most),
        test=hypervolume(_covered(tested, method), most) if tested else math.nan,
    )


def _covered(points: Sequence[Point], method: MethodResult) -> list[Point]:
    """With scores as shares of the best there can be, see :meth:`Goal.covered`."""
    return [(method.goal.covered(score), mb) for score, mb in points]


def _most(result: ComparisonResult, searched: Mapping[str, Sequence[SearchedRun]]) -> float:
    if result.budget.max_mb is not None:
        return result.budget.max_mb
    sent = [run.needs_mb for runs in searched.values() for run in runs]
    sent += [point_of(row)[1] for row in result.confirmed]
    return max(sent, default=0.0)
