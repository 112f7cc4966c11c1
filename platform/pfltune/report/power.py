"""How large a difference of two methods must be to be told apart, and how many seeds that takes.

It follows from how differences scatter, and not from how large those are that were found: of these
the largest are too large, and a plan that is made of them promises too much.

Three things scatter: what a seed does to all clients, what a client does with all seeds, and what
is left. Analysis of variance takes them apart, and their means over all pairs of methods are those
of a *typical* pair; methods that are alike in all but a knob scatter less. With them the means
that any number of seeds would find, and the margins of error that they would be given
(:mod:`pfltune.report.crossed`), can be drawn. Four of five of these are told from 0 by what is said
here. Seeds do not help against what clients do: with ever more of them, clients alone are left.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import pi, sqrt

import numpy as np
from scipy import stats

from pfltune.report.crossed import FEWEST_CLIENTS, FEWEST_SEEDS, Crossed, Part, margins
from pfltune.report.results import MethodResult
from pfltune.report.statistics import ALPHA, paired_tables
from pfltune.ties import settled

POWER = 0.8
"""Share of comparisons in which a difference is to be told apart."""
MOST_SEEDS = 50
"""Beyond which no number is said."""
COMPARISONS = 8_000
"""That are drawn, always the same."""
ANGLES = np.linspace(0, pi / 2, 11)
"""Between which margins are interpolated."""


@dataclass(frozen=True)
class Scatter:
    """How paired differences of two methods scatter; accuracies are in [0, 1].

    Attributes:
        seed, client, rest: variances of what a seed does to all clients, of what a client does with
            all seeds, and of what is left of a single client and seed.
        seeds, clients: how many there were.
    """

    seed: float
    client: float
    rest: float
    seeds: int
    clients: int

    def told_apart(self, seeds: int | None, pairs: int) -> float:
        """The true difference that is told from 0 in four of five comparisons.

        Args:
            seeds: of each method, two or more; None for as many as one likes.
            pairs: that intervals and p-values are to hold for together.
        """
        by_client = self.client / self.clients
        if seeds is None:
            return _found(by_client, (Part("clients", by_client, self.clients - 1),), pairs)
        by_seed, rest = self.seed / seeds, self.rest / (seeds * self.clients)
        parts = (
            Part("seeds", by_seed + rest, seeds - 1),
            Part("clients", by_client + rest, self.clients - 1),
        )
        return _found(by_seed + by_client + rest, parts, pairs)

    def seeds_for(self, difference: float, pairs: int) -> int | None:
        """How many seeds a true difference takes.

        Returns:
            Their number, ``MOST_SEEDS + 1`` for any above; None where no number does.
        """
        if self.told_apart(None, pairs) >= difference:
            return None
        numbers = range(FEWEST_SEEDS, MOST_SEEDS + 1)
        place = bisect_left(
            numbers, True, key=lambda seeds: self.told_apart(seeds, pairs) <= difference
        )
        return FEWEST_SEEDS + place


def scatter_of(methods: Sequence[MethodResult]) -> Scatter | None:
    """That of a typical pair of these methods.

    None with fewer than two methods, two seeds or four clients, with several searches of a method,
    or where nothing scatters.
    """
    both = combinations(methods, 2)
    tables = [table for pair in both for table in paired_tables(*pair)]
    if not tables or any(len(table) > 1 for table in tables):
        return None
    # Where a trial has failed, its pairs have fewer seeds than the others.
    most = max(table.shape for table in tables)
    _, seeds, clients = most
    if seeds < FEWEST_SEEDS or clients < FEWEST_CLIENTS:
        return None
    cubes = np.stack([table for table in tables if table.shape == most])
    _, (by_seed, _), (by_client, _) = margins(cubes)
    rest = float(_rest(cubes[:, 0]).mean())
    found = Scatter(
        seed=max(0.0, seeds * float(by_seed.mean()) - rest / clients),
        client=max(0.0, clients * float(by_client.mean()) - rest / seeds),
        rest=rest,
        seeds=seeds,
        clients=clients,
    )
    return found if settled(found.seed + found.client + found.rest) else None


def _rest(tables: np.ndarray) -> np.ndarray:
    """The mean square of what is left without the means of seeds and clients, of each table."""
    means = tables.mean((1, 2), keepdims=True)
    left = tables - tables.mean(1, keepdims=True) - tables.mean(2, keepdims=True) + means
    _, seeds, clients = tables.shape
    return np.asarray((left**2).sum((1, 2)) / ((seeds - 1) * (clients - 1)))


def _found(variance: float, parts: Sequence[Part], pairs: int) -> float:
    """The difference that is above its margin in four of five comparisons.

    Args:
        variance: of a mean.
        parts: that it is taken to have, of which a comparison sees multiples of χ².
        pairs: that intervals hold for together.
    """
    draws = np.random.default_rng(0).uniform(size=(len(parts) + 1, COMPARISONS))
    scales = [
        np.sqrt(part.variance * stats.chi2.ppf(each, part.freedom) / part.freedom)
        for part, each in zip(parts, draws, strict=False)
    ]
    aside = sqrt(variance) * stats.norm.ppf(draws[-1])
    margin = _margins(scales, tuple(part.freedom for part in parts), ALPHA / pairs)
    return float(np.quantile(margin - aside, POWER))


def _margins(scales: Sequence[np.ndarray], freedoms: tuple[int, ...], alpha: float) -> np.ndarray:
    """Of comparisons with one or two parts, whose standard errors they are, (comparisons,)."""
    if len(scales) == 1:
        return np.asarray(scales[0] * stats.t.isf(alpha / 2, *freedoms))
    first, second = scales
    along = np.interp(np.arctan2(second, first), ANGLES, _by_angle(freedoms, alpha))
    return np.asarray(np.hypot(first, second) * along)


@cache
def _by_angle(freedoms: tuple[int, ...], alpha: float) -> np.ndarray:
    """Margins of a standard error of 1 that two parts make, by how much of it is the second's."""
    both = [(np.cos(angle) ** 2, np.sin(angle) ** 2) for angle in ANGLES]
    seeds, clients = freedoms
    found = [
        Crossed(0.0, (Part("seeds", one, seeds), Part("clients", two, clients))).margin(alpha)
        for one, two in both
    ]
    return np.array(found)
