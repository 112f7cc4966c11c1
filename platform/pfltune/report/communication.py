"""Scores against bytes: what a method costs, when it reaches a target, and who is on the front.

MB are 10^6 bytes up and down; scores are of the goal, of accuracy in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from pfltune import figures
from pfltune.dominance import Point, fronts
from pfltune.errors import UserError
from pfltune.federation.federation import Rounds
from pfltune.federation.searched_settings import settings_of
from pfltune.goal import Goal
from pfltune.report.results import Curve, MethodResult
from pfltune.ties import settled

SHARE_OF_BEST = 0.95
"""What is minimised is to be at most that much the other way round: 1/0.95 of the lowest."""


@dataclass(frozen=True)
class Reached:
    """When a method first reached a target, by its validation score averaged over seeds.

    Attributes:
        round: the evaluated round.
        mb: MB that all sampled clients together had exchanged by then, mean over seeds.
    """

    round: int
    mb: float


def mean_curve(method: MethodResult, metric: str) -> Curve:
    """(round, mean over seeds) at the rounds that all seeds have."""
    return _mean([run.curves[metric] for run in method.runs])


def score_curve(method: MethodResult) -> Curve:
    """The same of the validation score."""
    return _mean([run.course("val") for run in method.runs])


def _mean(found: Sequence[Curve]) -> Curve:
    curves = list(map(dict, found))
    common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    return [(step, float(np.mean([curve[step] for curve in curves]))) for step in common]


def score_by_mb(method: MethodResult) -> list[tuple[float, float]]:
    """(MB so far, validation score) at the evaluated rounds, both mean over seeds."""
    spent = dict(mean_curve(method, figures.TOTAL.name))
    return [(spent[r], value) for r, value in score_curve(method) if r in spent]


def default_target(methods: Sequence[MethodResult]) -> float:
    """95 % of the best validation score, averaged over seeds, of any method in any round."""
    values = [value for method in methods for _, value in score_curve(method)]
    best = max(values, default=float("nan"))
    return SHARE_OF_BEST * best if best >= 0 else best / SHARE_OF_BEST


def checked_target(target: float, goal: Goal) -> float:
    """The score of a target figure; a share, such as an accuracy, is in (0, 1].

    Raises:
        UserError: it is none.
    """
    if goal.unit and not 0 < target <= 1:
        raise UserError(f"--target {target:g} is no {goal.noun}; give a share, e.g. 0.7 for 70 %")
    if not isfinite(target):
        raise UserError(f"--target {target:g} is no {goal.noun}; give a number")
    return goal.score(target)


def reach(method: MethodResult, target: float) -> Reached | None:
    """When the method first reached the target; None if it never did."""
    spent = dict(mean_curve(method, figures.TOTAL.name))
    for step, value in score_curve(method):
        if settled(value) >= settled(target):
            return Reached(step, spent.get(step, float("nan")))
    return None


def per_client(method: MethodResult, protocol: Rounds) -> float:
    """MB that one sampled client exchanges in a round."""
    own = {**settings_of(protocol), **method.best}
    return method.per_round(figures.TOTAL) / float(own["protocol.sampled_clients"])


def pareto_front(methods: Sequence[MethodResult]) -> tuple[MethodResult, ...]:
    """The methods that no other beats in test score for as many MB or fewer, by MB.

    Among equals in both all are on the front.
    """
    points = [point_of(method) for method in methods]
    best = fronts(points)[0] if points else []
    return tuple(methods[n] for n in sorted(best, key=lambda n: (points[n][1], points[n][0])))


def point_of(method: MethodResult) -> Point:
    """Test score and total MB, both mean over seeds; NaN without a figure."""
    return method.test, method.mean(figures.TOTAL.name)
