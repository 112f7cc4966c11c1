"""What the best of n search trials is worth, for every n: tuning as an effort that is told of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pfltune.budget import SamplerName
from pfltune.report.results import MethodResult, SearchedRun

EXCHANGEABLE: tuple[SamplerName, ...] = ("random",)
"""Samplers whose suggestions are independent draws, so that any n of them could have been first."""


@dataclass(frozen=True)
class ExpectedBest:
    """The best validation score after n trials of a method, one number for each n from 1.

    Attributes:
        mean: over studies.
        low, high: of the lowest and the highest study.
        round: at which every trial is read; the same for all.
        studies: over how many.
        drawn: trials of each study that are independent draws, whose order counts for nothing.
        failed: trials that count as the worst: without a figure, or of more MB than they may send.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    round: float
    studies: int
    drawn: int
    failed: int

    @property
    def is_expected(self) -> bool:
        """Whether it is an expectation, or only what came in the order of one search."""
        return self.studies > 1 or self.drawn > 1


def best_of(values: Sequence[float] | np.ndarray, number: int) -> float:
    """The expected highest of ``number`` of these values, drawn without replacement.

    The mean over all subsets of that size: the i-th lowest of B values is the highest of
    C(i - 1, n - 1) of the C(B, n) subsets. For independent values it estimates the expected highest
    of n new ones without bias (Tang et al. 2020, arXiv 2004.13705). Drawing with replacement, as
    Dodge et al. did (2019, arXiv 1909.03004), takes the highest of fewer than n different values,
    and is too low on average.

    Raises:
        ValueError: there are fewer values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not 1 <= number <= len(ordered):
        raise ValueError(f"{number} of {len(ordered)} values")
    # From the highest down, each share from the one before: binomials of a thousand are no floats.
    below = np.arange(len(ordered) - 1, 0, -1)
    falling = np.maximum(below - number + 1, 0) / below
    shares = number / len(ordered) * np.cumprod([1.0, *falling])
    return float(shares @ ordered[::-1])


def course(values: Sequence[float], fixed: int, drawn: bool) -> np.ndarray:
    """The best after each trial of one search.

    Args:
        values: of its trials, in their order.
        fixed: how many of them came first in any case.
        drawn: whether the others are independent draws: then it is expected over their orders.
    """
    best = np.maximum.accumulate(np.asarray(values, dtype=np.float64))
    if not drawn or fixed >= len(best):
        return best
    floor = best[fixed - 1] if fixed else -np.inf
    raised = np.maximum(values[fixed:], floor)
    after = [best_of(raised, number) for number in range(1, len(raised) + 1)]
    return np.array([*best[:fixed], *after])


def expected_best(method: MethodResult, sampler: SamplerName, starts: int) -> ExpectedBest | None:
    """The best validation score of a method after n trials; None without trials enough.

    All trials are read after one round, or share of a budget, that each of them came to, also where
    some went further: halving lets only the best go on, and their later scores, or theirs alone,
    are no sample of what a trial gives. What can never be chosen counts as 0, or where 0 is no bad
    figure as the worst of the others: a failed trial, and one that would send more than it may,
    which was stopped at once and so holds nobody back.

    Args:
        method: with its search trials.
        sampler: what suggested them.
        starts: of how many trials of each study the values were given.
    """
    ended = [run for run in method.searched if run.outcome != "running"]
    ran = [run for run in ended if _counts(run)]
    rounds = set.intersection(*({step for step, _ in run.course} for run in ran)) if ran else set()
    if not rounds:
        return None
    at = max(rounds)
    numbers = sorted({run.study for run in ended})
    worst = min(dict(run.course)[at] for run in ran) if method.goal.nothing else 0.0
    studies = [
        [_read(run, at, worst) for run in ended if run.study == number] for number in numbers
    ]
    trials = min(map(len, studies))
    drawn = sampler in EXCHANGEABLE
    courses = np.array([course(values, starts, drawn)[:trials] for values in studies])
    return ExpectedBest(
        mean=courses.mean(0),
        low=courses.min(0),
        high=courses.max(0),
        round=at,
        studies=len(studies),
        drawn=max(0, trials - starts) if drawn else 0,
        failed=len(ended) - len(ran),
    )


def _read(run: SearchedRun, at: float, worst: float) -> float:
    return dict(run.course)[at] if _counts(run) else worst


def _counts(run: SearchedRun) -> bool:
    """Whether it could be chosen, by a figure that it has."""
    return bool(run.curve) and run.fits and run.outcome != "failed"
