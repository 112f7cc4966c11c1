"""Paired differences of two methods with crossed effects of client, seed, search and draw.

The question. Clients of one federation share a model, so what a seed, a search or a draw of the
clients does, it does to all of them at once. A mean difference therefore scatters by seeds, by
searches and by clients, and a test that counts clients alone errs the more often, the more clients
there are.

The analysis. Differences are a table (searches, seeds, clients); with several draws of clients the
unit is the draw, (searches, seeds, draws), since its clients are nested in it. Each factor's
margin, its levels' means over all else, has a sample variance; divided by the number of levels it
is what this factor adds to the variance of the mean. The sum of them is taken for the variance of
the mean. What two factors do together is in the margin of each and so counted twice, where the mean
has it once: the sum is too large in expectation, never too small. (Owen's pigeonhole bootstrap,
2007, arXiv 0712.1111, counts it a third time, and has populations' variances for samples'.) In a
balanced table the margins' variances are independent multiples of χ², and mean minus truth is
judged by a sum of independent t's, each with its factor's standard error and
degrees of freedom: the test of Behrens and Fisher, for more than two variances. A factor with few
levels so pays for them by itself: Satterthwaite's one number of degrees of freedom does not hold
the rate with two or three seeds, where a variance is small by chance
(tests/benchmarks/error_rates.py, docs/protocol.md).

What is generalised over is what has several levels. One search of each method: then the difference
is one of the configurations that were found. One draw: of clients like those of this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan, sqrt
from typing import Literal

import numpy as np
from scipy import optimize, special

from pfltune.text import count
from pfltune.ties import settled

Factor = Literal["searches", "seeds", "clients", "draws"]

FEWEST_SEEDS = 2
FEWEST_CLIENTS = 4
NARROW, WIDE = -7.0, 12.0
"""Logarithms of margins in standard errors between which those of most rates lie."""
# Where the densities of t's are summed: sinh(v), which reaches their tails in even steps of v.
_NODES = np.linspace(-13, 13, 175)
_PLACES = np.sinh(_NODES)


@dataclass(frozen=True)
class Part:
    """What one factor adds to the variance of a mean.

    Attributes:
        factor: what has the levels.
        variance: of the mean, by this factor.
        freedom: degrees of freedom that it is known with.
    """

    factor: Factor
    variance: float
    freedom: int


@dataclass(frozen=True)
class Crossed:
    """A mean over crossed factors and how sure it is.

    Attributes:
        mean: over all levels, each draw counting the same; NaN without any.
        parts: of its variance, of each factor with several levels.
        untested: why there is no p-value; empty if there is one.
    """

    mean: float
    parts: tuple[Part, ...]
    untested: str = ""

    @property
    def over(self) -> tuple[Factor, ...]:
        """What is generalised over."""
        return tuple(part.factor for part in self.parts)

    @property
    def standard_error(self) -> float:
        """Of the mean; NaN where nothing was repeated."""
        return sqrt(sum(part.variance for part in self.parts)) if self.parts else nan

    @cached_property
    def p(self) -> float:
        """Two-sided, that the mean is 0, for this mean by itself; NaN where nothing is tested."""
        if self.untested:
            return nan
        return float(tail(np.array([abs(self.mean)]), self._scales, self._freedoms)[0])

    def margin(self, alpha: float) -> float:
        """Half the width of the interval of the mean that misses with probability ``alpha``.

        It leaves 0 out if and only if ``p`` is below ``alpha``. 0 where nothing scatters; NaN where
        nothing was repeated.
        """
        error = self.standard_error
        if not error:
            return 0.0
        if not self.parts:
            return nan

        def excess(log: float) -> float:
            at = np.array([np.exp(log) * error])
            return float(tail(at, self._scales, self._freedoms)[0]) - alpha

        wide = WIDE
        while excess(wide) > 0:  # with one degree of freedom a quantile grows as 1/alpha
            wide *= 2
        return float(np.exp(optimize.brentq(excess, NARROW, wide, xtol=1e-10)) * error)

    @property
    def _scales(self) -> np.ndarray:
        return np.sqrt([[part.variance for part in self.parts]])

    @property
    def _freedoms(self) -> tuple[int, ...]:
        return tuple(part.freedom for part in self.parts)


def crossed(tables: Sequence[np.ndarray], *, searched_each: bool = False) -> Crossed:
    """The mean of paired differences, or of accuracies, and its parts.

    Args:
        tables: float64 (searches, seeds, clients), one per draw of the clients; as many searches
            and seeds in each, in the same order. Numbers of clients may differ.
        searched_each: whether each draw has searches of its own. They are then nested in draws,
            whose scatter holds theirs; otherwise a search is the same one in every draw.
    """
    whole = [table for table in tables if table.size]
    if not whole:
        return Crossed(nan, (), "no seed in common yet")
    cube = _cube(whole)
    units: Factor = "clients" if len(whole) == 1 else "draws"
    factors: tuple[Factor, ...] = ("searches", "seeds", units)
    nested = searched_each and len(whole) > 1
    parts = tuple(
        Part(factor, float(variance), freedom)
        for factor, (variance, freedom) in zip(factors, margins(cube), strict=True)
        if freedom and not (nested and factor == "searches")
    )
    mean = settled(float(cube.mean()))
    return Crossed(mean, parts, _obstacle(cube, units, parts))


def tail(distances: np.ndarray, scales: np.ndarray, freedoms: Sequence[int]) -> np.ndarray:
    """Probability that |s₁t₁ + s₂t₂ + …| is at least a distance, the t's being independent.

    Args:
        distances: (n,), not negative.
        scales: s, not negative, (n, parts); where all are 0, the sum is 0.
        freedoms: of each part's t.

    Returns:
        (n,).
    """
    # The t with the largest scale has its distribution function, which is flat beside the others.
    order = np.argsort(-scales, axis=1, kind="stable")
    ordered = np.take_along_axis(scales, order, 1)
    weights = np.stack([_weights(freedom) for freedom in freedoms])[order]
    shift, weight = np.zeros((len(distances), 1)), np.ones((len(distances), 1))
    for k in range(1, len(freedoms)):
        moved = ordered[:, k, None, None] * _PLACES
        size = (len(distances), shift.shape[1] * len(_PLACES))
        shift = (shift[:, :, None] + moved).reshape(size)
        weight = (weight[:, :, None] * weights[:, k, None, :]).reshape(size)
    largest = np.where(ordered[:, :1] > 0, ordered[:, :1], 1.0)
    freedom = np.asarray(freedoms)[order[:, :1]]
    below = special.stdtr(freedom, (shift - distances[:, None]) / largest)
    found = np.minimum(2 * (below * weight).sum(1), 1.0)
    return np.where(ordered[:, 0] > 0, found, distances == 0)


def _weights(freedom: int) -> np.ndarray:
    """What t's density weighs at each of the places; they sum to 1."""
    log = -(freedom + 1) / 2 * np.log1p(_PLACES**2 / freedom)
    weights = np.exp(log) * np.cosh(_NODES)
    return weights / weights.sum()


def _cube(tables: Sequence[np.ndarray]) -> np.ndarray:
    """(searches, seeds, units): clients of the only draw, or the means of several draws."""
    if len(tables) == 1:
        return settled(tables[0])
    return settled(np.stack([table.mean(-1) for table in tables], axis=-1))


def margins(cubes: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """What searches, seeds and units each add to the variance of the mean of whole tables.

    Args:
        cubes: (…, searches, seeds, units).

    Returns:
        Of each of the three, the variances (…), 0 for a single level, and degrees of freedom.
    """
    found = []
    for way in (-3, -2, -1):
        levels = cubes.shape[way]
        if levels == 1:
            found.append((np.zeros(cubes.shape[:-3]), 0))
            continue
        rest = tuple(axis for axis in (-3, -2, -1) if axis != way)
        # A difference that is none on paper has a variance of 0, not of 1e-33.
        deviations = settled(np.asarray(cubes.mean(rest).std(-1, ddof=1)))
        found.append((deviations**2 / levels, levels - 1))
    return found


def _obstacle(cube: np.ndarray, units: Factor, parts: Sequence[Part]) -> str:
    """Why nothing can be tested; empty if it can."""
    seeds, several = cube.shape[1], cube.shape[2]
    if units == "clients" and several < FEWEST_CLIENTS:
        are = "is" if several == 1 else "are"
        return f"{count(several, 'client')} {are} too few, {FEWEST_CLIENTS} are needed"
    if seeds < FEWEST_SEEDS:
        return "one seed does not tell what a seed does to all clients"
    if not any(part.variance for part in parts):
        return f"no {units[:-1]} differs" if not cube.any() else "all differences are the same"
    return ""
