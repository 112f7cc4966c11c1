"""What a comparison over draws of clients found: each draw, and all of them together.

The units. A method is trained with the same seeds on every draw, and every method on the same
clients of a draw: seeds are crossed with draws, clients are nested in them. Each draw counts alike,
however many clients have test samples there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from pfltune.draws import Draws, label
from pfltune.errors import UserError, unknown
from pfltune.goal import Goal
from pfltune.report.analysis import Analysis, analyse
from pfltune.report.results import ComparisonResult, MethodResult, read_results
from pfltune.report.side_by_side import Scenarios, side_by_side
from pfltune.report.statistics import Difference, difference_of, pairs_of
from pfltune.report.styles import Style
from pfltune.ties import best_first, settled

NOTHING = float("nan")


@dataclass(frozen=True)
class Drawn:
    """One method on all draws, in scores.

    Attributes:
        name, title: as in each draw; of two methods with one title, the short names.
        found: its figures on each draw; None where it has no confirmed run.
        wins: draws on which no method has a better test figure.
    """

    name: str
    title: str
    found: tuple[MethodResult | None, ...]
    wins: int

    @property
    def shown(self) -> tuple[MethodResult, ...]:
        """The draws that it has a figure of."""
        return tuple(method for method in self.found if method)

    @property
    def is_whole(self) -> bool:
        """Whether it has a figure on every draw; means over others are no comparison."""
        return all(self.found)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that it has been tested with on every draw that it has a figure of."""
        first, *others = (method.seeds for method in self.shown)
        return tuple(seed for seed in first if all(seed in seeds for seeds in others))

    @property
    def means(self) -> list[float]:
        """Mean test score over seeds on each draw; NaN where it has none."""
        return [method.test if method else NOTHING for method in self.found]

    @property
    def test(self) -> float:
        """Mean over draws of these; NaN without any."""
        return _over([method.test for method in self.shown], fmean)

    @property
    def val(self) -> float:
        """The same of validation scores in the chosen rounds."""
        return _over([method.val for method in self.shown], fmean)

    def mean(self, metric: str) -> float:
        """Mean over draws of the means over seeds of a figure; NaN without any."""
        return _over([method.mean(metric) for method in self.shown], fmean)

    @property
    def std_draws(self) -> float:
        """Sample standard deviation over draws of the means over seeds; NaN for fewer than two.

        What seeds do to a mean is in it, too.
        """
        return _over([method.test for method in self.shown], stdev, fewest=2)

    @property
    def std_seeds(self) -> float:
        """Standard deviation over the seeds of a draw, root mean square over draws.

        NaN where there is one seed.
        """
        own = [method.score_std() for method in self.shown]
        return _over(
            [std**2 for std in own if not np.isnan(std)], lambda squares: sqrt(fmean(squares))
        )

    def tables(self, seeds: tuple[int, ...], searched_each: bool) -> list[np.ndarray]:
        """Test scores on each draw, float64 (searches, seeds, clients of the draw).

        Args:
            seeds: those wanted.
            searched_each: whether draws have searches of their own: then the mean over these, whose
                scatter is in that of the draws; otherwise those that have a figure on every draw.
        """
        tables = [method.crossed(seeds) for method in self.shown]
        if searched_each:
            return [table.mean(0, keepdims=True) for table in tables]
        common = set.intersection(*(set(method.studies) for method in self.shown))
        kept = [[s in common for s in method.studies] for method in self.shown]
        return [table[keep] for table, keep in zip(tables, kept, strict=True)]


@dataclass(frozen=True)
class Against(Difference):
    """A method minus another one over draws, paired by draw, seed and client.

    Attributes:
        of_draws: the mean of each draw.
    """

    of_draws: tuple[float, ...]

    @property
    def draws_agreeing(self) -> int:
        """Draws on which the difference has the direction of the mean."""
        return sum(each * self.mean > 0 for each in self.of_draws)


@dataclass(frozen=True)
class DrawsResult:
    """The draws that have begun, and why the others have not.

    Attributes:
        draws: which there are to be.
        seeds: the data seeds of those with a journal.
        table: their comparisons side by side.
        methods: one row each, the best mean first; those without a figure on some draw come last.
        reference: what the others are held against: the best mean validation score, or whom the
            user names. None while no method has a figure on every draw.
        chosen: whether the user named it.
        missing: the other draws by the name of their comparison, each with a reason in one line.
    """

    draws: Draws
    seeds: tuple[int, ...]
    table: Scenarios
    methods: tuple[Drawn, ...]
    reference: Drawn | None
    chosen: bool
    missing: Mapping[str, str]

    @cached_property
    def against(self) -> Mapping[str, Against]:
        """Each other method with a figure on every draw against the reference, by short name."""
        reference = self.reference
        if reference is None or not reference.is_whole:
            return {}
        return self._against(reference)

    @cached_property
    def leaders(self) -> frozenset[str]:
        """Short names of the best mean test score, and of all not told apart from it."""
        first = self.methods[0]
        if not first.is_whole:
            return frozenset()
        told = self._against(first)
        alike = {name for name, each in told.items() if not each.is_significant}
        return frozenset({first.name, *alike})

    @property
    def pairs(self) -> int:
        """Of methods that are compared."""
        return pairs_of(sum(method.is_whole for method in self.methods))

    def _against(self, other: Drawn) -> dict[str, Against]:
        others = [method for method in self.methods if method.is_whole and method is not other]
        return {method.name: self._minus(method, other) for method in others}

    def _minus(self, method: Drawn, other: Drawn) -> Against:
        searched_each = self.draws.tune_each
        tables = paired(method, other, searched_each)
        found = difference_of(tables, self.pairs, searched_each)
        of_draws = tuple(settled(float(t.mean())) if t.size else NOTHING for t in tables)
        return Against(**vars(found), of_draws=of_draws)

    @property
    def goal(self) -> Goal:
        """What methods are ranked by on each draw."""
        return self.results[0].goal

    @property
    def analyses(self) -> tuple[Analysis, ...]:
        """One for each draw."""
        return self.table.analyses

    @property
    def results(self) -> tuple[ComparisonResult, ...]:
        """What each draw found."""
        return tuple(analysis.result for analysis in self.analyses)

    @property
    def labels(self) -> tuple[str, ...]:
        """``data_seed=0`` and so on."""
        return tuple(map(label, self.seeds))

    @property
    def confirmed(self) -> tuple[Drawn, ...]:
        """The methods with a figure."""
        return tuple(method for method in self.methods if method.shown)

    @property
    def styles(self) -> Mapping[str, Style]:
        """By short name of a method."""
        return self.table.styles

    @cached_property
    def by_name(self) -> Mapping[str, Drawn]:
        """The rows by short name."""
        return {method.name: method for method in self.methods}


def paired(method: Drawn, other: Drawn, searched_each: bool = False) -> list[np.ndarray]:
    """Differences of test scores, method minus other, on each draw.

    Args:
        method, other: with a figure on every draw.
        searched_each: see :meth:`Drawn.tables`.

    Returns:
        (searches, common seeds, clients of the draw); as many searches as both have.
    """
    seeds = tuple(seed for seed in method.seeds if seed in other.seeds)
    pairs = zip(*(each.tables(seeds, searched_each) for each in (method, other)), strict=True)
    return [settled(own[: len(their)] - their[: len(own)]) for own, their in pairs]


def read_draws_result(
    results: Path,
    draws: Draws,
    failures: Mapping[str, str] | None = None,
    reference: str | None = None,
    target: float | None = None,
) -> DrawsResult:
    """What the comparisons on all draws have found so far.

    Args:
        results: the results folder.
        draws: which there are.
        failures: why draws could not run, by name, where that is known.
        reference: short name or title of the method that the others are held against.
        target: see :func:`pfltune.report.analysis.analyse`.

    Raises:
        UserError: none has begun, or there is no such reference.
    """
    missing = dict(failures or {})
    read: list[tuple[int, ComparisonResult]] = []
    for seed in draws.seeds:
        name = draws.name_of(seed)
        try:
            read.append((seed, read_results(results, name)))
        except UserError as error:
            missing.setdefault(name, str(error))
    if not read:
        first = next(iter(missing.values()))
        raise UserError(f"no draw of {draws.name} has begun: {first}")
    seeds, found = zip(*read, strict=True)
    named = {name: missing[name] for name in draws.names if name in missing}
    return _together(draws, seeds, found, named, reference, target)


def _together(
    draws: Draws,
    seeds: tuple[int, ...],
    found: tuple[ComparisonResult, ...],
    missing: Mapping[str, str],
    reference: str | None,
    target: float | None,
) -> DrawsResult:
    """Line the methods of all draws up, and find what they are held against."""
    table = side_by_side([analyse(each, None, target) for each in found], list(map(label, seeds)))
    methods = _methods(table)
    against = _reference(methods, reference)
    if against is not None:
        # A draw that the reference has no figure of has one of its own.
        analyses = tuple(
            analyse(each, against.name if there else None, target)
            for each, there in zip(found, against.found, strict=True)
        )
        table = side_by_side(analyses, table.names)
    return DrawsResult(draws, seeds, table, methods, against, reference is not None, missing)


def _methods(table: Scenarios) -> tuple[Drawn, ...]:
    best = [max(_scores(analysis), default=NOTHING) for analysis in table.analyses]

    def drawn(name: str) -> Drawn:
        found = tuple(_confirmed(analysis, name) for analysis in table.analyses)
        pairs = zip(found, best, strict=True)
        wins = sum(m is not None and settled(m.test) == highest for m, highest in pairs)
        return Drawn(name, table.titles[name], found, wins)

    rows = [drawn(method.name) for method in table.methods]
    return tuple(sorted(rows, key=lambda m: (not m.is_whole, not m.shown, _place(m), m.name)))


def _place(method: Drawn) -> float:
    """Where it stands among others that are as whole: the better the earlier."""
    return -settled(method.test) if method.shown else 0.0


def _confirmed(analysis: Analysis, name: str) -> MethodResult | None:
    return next((each for each in analysis.result.confirmed if each.name == name), None)


def _scores(analysis: Analysis) -> list[float]:
    return [settled(method.test) for method in analysis.result.confirmed]


def _reference(methods: tuple[Drawn, ...], wanted: str | None) -> Drawn | None:
    """The method of that short name or title, or the best on validation data.

    Raises:
        UserError: there is none of that name with a figure.
    """
    if wanted is None:
        whole = [method for method in methods if method.is_whole]
        ordered = sorted(whole, key=lambda m: (best_first(m.val), m.name))
        return ordered[0] if ordered else None
    for method in methods:
        titles = {each.title.lower() for each in method.shown}
        if method.shown and wanted.lower() in {method.name.lower(), *titles}:
            return method
    raise unknown("reference", wanted, [method.name for method in methods if method.shown])


def _over(values: list[float], figure: Callable[[list[float]], float], fewest: int = 1) -> float:
    return figure(values) if len(values) >= fewest else NOTHING
