"""Intervals of scores, and paired tests of the methods of a comparison.

A comparison has the same clients and the same seeds for every method, so that scores and their
differences are crossed tables. :mod:`pfltune.report.crossed` says how sure a mean of one is. Here
is what is said of all methods together: intervals and p-values hold for every pair of them at once,
by Bonferroni. For every pair, since the reference and the best method are chosen by the data and
readers compare any two rows; by Bonferroni, since it corrects an interval and a p-value alike, so
that an interval leaves 0 out exactly where p is below 0.05.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, nan

import numpy as np

from pfltune.report.crossed import Crossed, Factor, crossed
from pfltune.report.results import MethodResult, ranked
from pfltune.ties import best_first, settled

ALPHA = 0.05


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``."""

    low: float
    high: float


NOWHERE = Interval(nan, nan)


@dataclass(frozen=True)
class Difference:
    """A method minus the reference, paired by client and seed, in scores: above 0 it is better.

    Attributes:
        mean: of the test scores, over clients and common seeds; NaN without such seeds.
        interval: of the mean, 95 % for all pairs of the comparison together; NaN where nothing
            could be tested.
        p: p-value for all pairs together; NaN where nothing could be tested.
        raw_p: of this pair by itself.
        effect: the mean in standard deviations of the differences of single clients and seeds
            (Cohen's d of paired samples); NaN if they do not differ, or there is a single one.
        over: what interval and p generalise over.
        seeds: seeds that both have.
        agreeing: of these, seeds whose own mean difference has the direction of ``mean``; one
            without a difference has none.
        clients: number of clients.
        higher, lower: clients on which the method is above and below the reference.
        untested: why nothing could be tested; empty otherwise.
    """

    mean: float
    interval: Interval
    p: float
    raw_p: float
    effect: float
    over: tuple[Factor, ...]
    seeds: int
    agreeing: int
    clients: int
    higher: int
    lower: int
    untested: str

    @property
    def is_significant(self) -> bool:
        """Whether p is below 0.05 after the correction; then the interval leaves 0 out."""
        return self.p < ALPHA

    @property
    def verdict(self) -> str:
        """In words, as a reviewer accepts them: what was not found may still be there."""
        if self.untested:
            return f"no test: {self.untested}"
        if not self.is_significant:
            return "no difference was found"
        return "better" if self.mean > 0 else "worse"


def interval_of(method: MethodResult) -> Interval:
    """The 95 % interval of a method's test score, for this method by itself.

    With one seed it is about clients alone. NaN for a single client and seed.
    """
    found = crossed(tables_of(method, method.seeds))
    low, high = np.clip(_around(found, ALPHA), *method.goal.limits)
    return Interval(float(low), float(high))


def default_reference(methods: Iterable[MethodResult]) -> MethodResult | None:
    """The method with the best mean validation score at its chosen rounds, by name among equals.

    So the winner is named without a look at test data, and every other method is held against it.
    None if no method has a confirmation trial.
    """
    shown = [method for method in methods if method.runs]
    ordered = sorted(shown, key=lambda m: (best_first(m.val), m.name))
    return ordered[0] if ordered else None


def common_seeds(method: MethodResult, other: MethodResult) -> list[int]:
    """The seeds of which both have a finished trial; while a comparison runs, these may be few."""
    return [seed for seed in other.seeds if seed in method.seeds]


def tables_of(
    method: MethodResult, seeds: Sequence[int], studies: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Test scores, one table (searches, seeds, clients) per draw of the clients.

    Args:
        method: with confirmation trials.
        seeds, studies: those wanted; default: all studies.
    """
    searches = method.studies if studies is None else studies
    return [method.crossed(seeds, searches)] if len(seeds) and len(searches) else []


def paired_tables(
    method: MethodResult, other: MethodResult, wanted: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Differences of test scores, method minus other, of the seeds and studies that both have.

    As :func:`tables_of`; empty without a common seed. A study of the one and that with the same
    number of the other were searched with the same seed.

    Args:
        method: what is subtracted from.
        other: what is subtracted.
        wanted: of the seeds that both have; default: all.
    """
    seeds = common_seeds(method, other) if wanted is None else wanted
    studies = [study for study in other.studies if study in method.studies]
    tables = (tables_of(each, seeds, studies) for each in (method, other))
    both = zip(*tables, strict=True)
    return [settled(mine - others) for mine, others in both]


def paired(method: MethodResult, other: MethodResult) -> np.ndarray:
    """Differences of test scores, method minus other, (common seeds, clients)."""
    seeds = common_seeds(method, other)
    return settled(method.clients(seeds) - other.clients(seeds))


def over_seeds(table: np.ndarray) -> np.ndarray:
    """One difference per client, of a table with at least one seed."""
    return settled(table.mean(0))


def compare(reference: MethodResult, others: Sequence[MethodResult]) -> dict[str, Difference]:
    """Each of ``others`` against the reference, by short name.

    Args:
        reference: what is subtracted.
        others: all other methods of the comparison; intervals and p-values hold for all pairs of
            these and the reference together.
    """
    pairs = pairs_of(len(others) + 1)
    tables = {method.name: paired_tables(method, reference) for method in others}
    return {name: difference_of(each, pairs) for name, each in tables.items()}


def pairs_of(methods: int) -> int:
    """How many pairs there are."""
    return comb(methods, 2)


def not_told_apart(methods: Sequence[MethodResult]) -> frozenset[str]:
    """Short names of the one with the best mean test score, and of all not told apart from it.

    Args:
        methods: all methods of a comparison that have a figure.
    """
    if not methods:
        return frozenset()
    best, *others = ranked(methods)
    differences = compare(best, others)
    alike = {name for name, found in differences.items() if not found.is_significant}
    return frozenset({best.name, *alike})


def _around(found: Crossed, alpha: float) -> tuple[float, float]:
    """The ends of the interval of a mean."""
    margin = found.margin(alpha)
    return found.mean - margin, found.mean + margin


def difference_of(
    tables: Sequence[np.ndarray], pairs: int, searched_each: bool = False
) -> Difference:
    """Of paired differences, as :func:`pfltune.report.crossed.crossed` takes them.

    Args:
        tables: (searches, seeds, clients), one per draw of the clients.
        pairs: that intervals and p-values are to hold for together.
        searched_each: whether each draw has searches of its own.
    """
    found = crossed(tables, searched_each=searched_each)
    # Of every client its mean over seeds and searches, of every seed its mean over all else.
    clients = settled(np.concatenate([each.mean((0, 1)) for each in tables] or [np.empty(0)]))
    seeds = np.mean([each.mean((0, 2)) for each in tables], axis=0) if tables else np.empty(0)
    single = np.concatenate([each.ravel() for each in tables] or [np.empty(0)])
    spread = float(single.std(ddof=1)) if len(single) > 1 else 0.0
    return Difference(
        mean=found.mean,
        interval=NOWHERE if found.untested else Interval(*_around(found, ALPHA / pairs)),
        p=nan if found.untested else min(1.0, found.p * pairs),
        raw_p=found.p,
        effect=found.mean / spread if settled(spread) else nan,
        over=found.over,
        seeds=len(seeds),
        agreeing=int((settled(seeds) * np.nan_to_num(found.mean) > 0).sum()),
        clients=len(clients),
        higher=int((clients > 0).sum()),
        lower=int((clients < 0).sum()),
        untested=found.untested,
    )
