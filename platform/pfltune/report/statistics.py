"""Intervals of accuracies, and paired tests of methods against one reference.

The units. A comparison has the same clients and the same seeds for every method, so that accuracies
are crossed: a table of seeds × clients. Intervals resample both ways. Tests take the client as the
unit and average a client's accuracy over the seeds first, since the same client with another seed
is no further client; counting it again would make p-values too small by far.

What a test does not say. Clients of one federation share models, so a p-value speaks of these
clients under these seeds. What a seed does to all clients of a method at once is not in it: where
the means of a method's seeds scatter by a standard deviation of 1 point, 5 equal methods with 20
clients and 3 seeds differ "significantly" somewhere in about a quarter of simulated comparisons
instead of 5 %, and in a third if the reference is the one that was best on validation data
(tests/test_statistics.py). No test over three seeds can repair that. So the report says beside p in
how many seeds the difference has the same direction, and gives its interval over seeds and clients;
more seeds help.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from pfltune.report.results import VAL, MethodResult
from pfltune.ties import settled

ALPHA = 0.05
LEVEL = 0.95
RESAMPLES = 9_999
# The least two-sided p of n clients is 2 / 2^n, which is above 0.05 for fewer.
FEWEST_CLIENTS = 6


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A method minus the reference, paired by client and seed. Accuracies are in [0, 1].

    Attributes:
        mean: of the test accuracies, over clients and common seeds; NaN without such seeds.
        interval: of the mean, 95 %, for this difference by itself: not corrected as ``p`` is.
        seeds: seeds that both have.
        agreeing: of these, seeds whose own mean difference has the direction of ``mean``; one
            without a difference has none.
        clients: number of clients.
        higher, lower: clients on which the method is above and below the reference.
        p: p-value after Holm's correction; NaN where nothing could be tested.
        raw_p: before it.
        untested: why nothing could be tested; empty otherwise.
        sign: 1 if the signed ranks speak for the method, -1 if for the reference.
    """

    mean: float
    interval: Interval
    seeds: int
    agreeing: int
    clients: int
    higher: int
    lower: int
    p: float
    raw_p: float
    untested: str
    sign: int

    @property
    def is_significant(self) -> bool:
        """Whether p is below 0.05 after the correction."""
        return self.p < ALPHA

    @property
    def is_at_odds(self) -> bool:
        """Whether the interval and the test, which ask different questions, answer differently."""
        leaves_out_0 = self.interval.low > 0 or self.interval.high < 0
        return not self.untested and leaves_out_0 != self.is_significant

    @property
    def verdict(self) -> str:
        """In words, as a reviewer accepts them: what was not found may still be there."""
        if self.untested:
            return f"no test: {self.untested}"
        if not self.is_significant:
            return "no difference was found"
        if np.sign(self.mean) != self.sign:
            return "different"  # on most clients one way, on average the other
        return "better" if self.sign > 0 else "worse"


def bootstrap(values: np.ndarray) -> Interval:
    """The 95 % bootstrap interval of the mean of ``values``, (seeds, clients).

    Seeds and clients are drawn with replacement independently of each other, and the mean of the
    table that they span is taken (the "pigeonhole" bootstrap of crossed factors, Owen 2007, arXiv
    0712.1111); the interval goes from the 2.5 % to the 97.5 % quantile. Drawing clients anew within
    each seed would treat a client that recurs as several and give too narrow an interval. With
    three seeds an interval says little about seeds, whatever the method; with one seed it is about
    clients alone. The same values always give the same interval.
    """
    seeds, clients = (_weights(size, way, RESAMPLES) for way, size in enumerate(values.shape))
    means = ((seeds @ values) * clients).sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


@lru_cache(maxsize=2)  # all methods of a comparison have as many seeds and clients
def _weights(size: int, way: int, resamples: int) -> np.ndarray:
    """How often each of ``size`` things is drawn, by its share, (resamples, size)."""
    rng = np.random.default_rng(way)
    return rng.multinomial(size, np.full(size, 1 / size), resamples) / size


def default_reference(methods: Iterable[MethodResult]) -> MethodResult | None:
    """The method with the best mean validation accuracy at its chosen rounds, by name among equals.

    So the winner is named without a look at test data, and every other method is held against it.
    None if no method has a confirmation trial.
    """
    shown = [method for method in methods if method.runs]
    ordered = sorted(shown, key=lambda m: (-settled(m.mean(VAL)), m.name))
    return ordered[0] if ordered else None


def common_seeds(method: MethodResult, other: MethodResult) -> list[int]:
    """The seeds of which both have a finished trial; while a comparison runs, these may be few."""
    return [seed for seed in other.seeds if seed in method.seeds]


def paired(method: MethodResult, other: MethodResult) -> np.ndarray:
    """Differences of test accuracy, method minus other, (common seeds, clients)."""
    seeds = common_seeds(method, other)
    return settled(method.clients(seeds) - other.clients(seeds))


def over_seeds(table: np.ndarray) -> np.ndarray:
    """One difference per client, of a table with at least one seed."""
    return settled(table.mean(0))


def compare(reference: MethodResult, others: Sequence[MethodResult]) -> dict[str, Difference]:
    """Each of ``others`` against the reference, by short name; p-values hold for all together."""
    tables = [paired(method, reference) for method in others]
    tested = [_test(table) for table in tables]
    # What could not be tested counts as a comparison all the same.
    corrected = holm([1.0 if np.isnan(p) else p for p, _ in tested])
    return {
        method.name: _difference(table, p, raw, reason)
        for method, table, p, (raw, reason) in zip(others, tables, corrected, tested, strict=True)
    }


def signed_rank(differences: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test that differences are symmetric about 0.

    Zeros are ranked with the others and their ranks dropped (Pratt 1959): on small test sets many
    clients do not change, and to drop them beforehand would reward a method for that. The null
    distribution is exact up to 13 clients, and up to 50 if there are neither zeros nor ties; beyond
    that it is normal with a correction for continuity.

    Args:
        differences: one per client, at least one of them not 0.
    """
    result = stats.wilcoxon(differences, zero_method="pratt", correction=True, method="auto")
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that hold for all comparisons together, by Holm's step-down rule (1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    stepped = np.maximum.accumulate(np.asarray(p_values)[order] * factors).clip(max=1.0)
    corrected = np.empty(len(order))
    corrected[order] = stepped
    return [float(p) for p in corrected]


def _test(table: np.ndarray) -> tuple[float, str]:
    """The p-value of a table of differences, or NaN and why there is none."""
    if not len(table):
        return float("nan"), "no seed in common yet"
    clients = table.shape[1]
    if clients < FEWEST_CLIENTS:
        return float("nan"), f"{clients} clients cannot reach p < {ALPHA}, {FEWEST_CLIENTS} could"
    differences = over_seeds(table)
    changed = np.count_nonzero(differences)
    if changed < FEWEST_CLIENTS:
        return float("nan"), f"only {changed} of {clients} clients differ"
    return signed_rank(differences), ""


def _difference(table: np.ndarray, p: float, raw: float, reason: str) -> Difference:
    if not len(table):
        nothing = Interval(float("nan"), float("nan"))
        return Difference(float("nan"), nothing, 0, 0, 0, 0, 0, float("nan"), raw, reason, 0)
    differences, mean = over_seeds(table), settled(float(table.mean()))
    ranks = np.sign(differences) * stats.rankdata(np.abs(differences))
    return Difference(
        mean=mean,
        interval=bootstrap(table),
        seeds=len(table),
        agreeing=int((settled(table.mean(1)) * mean > 0).sum()),
        clients=len(differences),
        higher=int((differences > 0).sum()),
        lower=int((differences < 0).sum()),
        p=float("nan") if reason else p,
        raw_p=raw,
        untested=reason,
        sign=int(np.sign(ranks.sum())),
    )
