"""Configurations that were trained with the same seeds, held against one of them.

What a seed does to all of them alike, by its start weights and its order of clients, does not
count: differences are taken seed by seed. Three seeds say little of how one difference scatters,
all configurations together say much. So the scatter of a difference is what is left of all figures
when the means of configurations and of seeds are taken out (the residual of a randomised block
design), or the pair's own scatter where that is larger, as for a configuration whose training is
unstable. Of two configurations this is the paired t-test.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy import stats

from pfltune.report.statistics import ALPHA
from pfltune.ties import settled

Scores = Mapping[int, float]
"""An accuracy in [0, 1] by seed."""


@dataclass(frozen=True)
class Gap:
    """A configuration minus the best one, paired by seed; accuracies are in [0, 1].

    Attributes:
        mean: over the seeds that both have; NaN without any.
        standard_error: of this mean; NaN where nothing could be tested.
        seeds: that both have.
        p: p-value after Holm's correction; NaN where nothing could be tested.
        raw_p: before it.
    """

    mean: float
    standard_error: float
    seeds: int
    p: float
    raw_p: float

    @property
    def is_tested(self) -> bool:
        """Whether there were seeds enough."""
        return not np.isnan(self.p)

    @property
    def is_apart(self) -> bool:
        """Whether it is told apart from the best one."""
        return self.p < ALPHA


@dataclass(frozen=True)
class Scatter:
    """How differences of two configurations scatter from seed to seed.

    Attributes:
        deviation: standard deviation of one difference.
        freedom: degrees of freedom that it is known with.
    """

    deviation: float
    freedom: int


def gaps(best: Scores, others: Sequence[Scores]) -> list[Gap]:
    """Each of ``others`` against the best; p-values hold for all together."""
    scatter = pooled([best, *others])
    raw = [_test(best, other, scatter) for other in others]
    corrected = holm([1.0 if np.isnan(gap.raw_p) else gap.raw_p for gap in raw])
    return [
        Gap(g.mean, g.standard_error, g.seeds, p if not np.isnan(g.raw_p) else nan, g.raw_p)
        for g, p in zip(raw, corrected, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that hold for all comparisons together, by Holm's step-down rule (1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    stepped = np.maximum.accumulate(np.asarray(p_values)[order] * factors).clip(max=1.0)
    corrected = np.empty(len(order))
    corrected[order] = stepped
    return [float(p) for p in corrected]


def pooled(every: Iterable[Scores]) -> Scatter | None:
    """The scatter of all that have the most seeds; None for one seed or one configuration."""
    several = list(every)
    most = max(map(len, several), default=0)
    seeds = next((sorted(scores) for scores in several if len(scores) == most), [])
    table = np.array([[scores[s] for s in seeds] for scores in several if sorted(scores) == seeds])
    if len(table) < 2 or most < 2:
        return None
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return Scatter(float(np.sqrt(2 * (rest**2).sum() / freedom)), freedom)


def _test(best: Scores, other: Scores, scatter: Scatter | None) -> Gap:
    """Before the correction."""
    differences = settled(np.array([other[seed] - best[seed] for seed in best if seed in other]))
    number = len(differences)
    average = float(differences.mean()) if number else nan
    if number < 2:
        return Gap(average, nan, number, nan, nan)
    own = Scatter(float(differences.std(ddof=1)), number - 1)
    deviation = settled(max(own.deviation, scatter.deviation if scatter else 0.0))
    freedom = scatter.freedom if scatter else own.freedom
    error = deviation / sqrt(number)
    return Gap(average, error, number, nan, _p(settled(average), error, freedom))


def _p(average: float, error: float, freedom: int) -> float:
    """Two-sided; figures that do not scatter at all differ for certain, or not."""
    if not error:
        return float(average == 0)
    return float(2 * stats.t.sf(abs(average) / error, freedom))
