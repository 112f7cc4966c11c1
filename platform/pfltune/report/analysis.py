"""What a report says beyond the figures in the store: computed once, shown in many forms."""

from collections.abc import Sequence
from dataclasses import dataclass

from pfltune import figures
from pfltune.errors import unknown
from pfltune.report.communication import (
    Reached,
    checked_target,
    default_target,
    pareto_front,
    reach,
)
from pfltune.report.crossed import Factor
from pfltune.report.expected_best import ExpectedBest, expected_best
from pfltune.report.fronts import Fronts, fronts_of
from pfltune.report.gains import Gain, control_gain
from pfltune.report.racing import beaten, raced_difference, seed_interval
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.searching import Searching, search_of
from pfltune.report.statistics import (
    Difference,
    Interval,
    compare,
    default_reference,
    interval_of,
    not_told_apart,
)
from pfltune.report.styles import Style, row_styles


@dataclass(frozen=True)
class Analysis:
    """A comparison and what follows from it; the mappings are by short name of a method.

    Attributes:
        result: the comparison.
        reference: what the others are held against; None while no method is confirmed.
        chosen: whether the user named the reference.
        intervals: of each confirmed method's test score, over seeds and clients, 95 %; where
            figures decided how many seeds there are, over seeds alone, and NaN without enough.
        differences: of each other confirmed method to the reference.
        leaders: the best test score, and all that are not told apart from it.
        target: validation score that methods are timed to.
        reached: when each confirmed method reached the target; None where it never did.
        front: confirmed methods that no other beats for as many MB or fewer, by MB.
        local: the best-validating of the methods that upload nothing; None if there is none.
        styles: of all methods and rows.
        searches: what each method's search learned, by short name of the method; of several studies
            that which chose best.
        studies: what each of its studies learned.
        efforts: the best validation score of each method after n search trials.
        gains: of each method over its start values, tested with the same seeds; of those that have
            such a control.
        fronts: the front of each method; None with one objective.
    """

    result: ComparisonResult
    reference: MethodResult | None
    chosen: bool
    intervals: dict[str, Interval]
    differences: dict[str, Difference]
    leaders: frozenset[str]
    target: float
    reached: dict[str, Reached | None]
    front: tuple[MethodResult, ...]
    local: MethodResult | None
    styles: dict[str, Style]
    searches: dict[str, Searching]
    studies: dict[str, tuple[Searching, ...]]
    efforts: dict[str, ExpectedBest]
    gains: dict[str, Gain]
    fronts: Fronts | None = None

    @property
    def titles(self) -> dict[str, str]:
        """How each method and each row is written."""
        return {m.name: m.title for m in (*self.result.methods, *self.result.whole)}

    @property
    def is_tested(self) -> bool:
        """Whether any difference could be tested."""
        return any(not each.untested for each in self.differences.values())

    @property
    def over(self) -> tuple[Factor, ...]:
        """What intervals and p-values of differences generalise over; empty if there are none."""
        tested = [each for each in self.differences.values() if not each.untested]
        return tuple(dict.fromkeys(factor for each in tested for factor in each.over))


def analyse(
    result: ComparisonResult, reference: str | None = None, target: float | None = None
) -> Analysis:
    """Work everything out.

    Args:
        result: the comparison.
        reference: short name or title of the method that the others are held against; default:
            the one with the best validation score.
        target: validation figure, such as an accuracy in (0, 1]; default: 95 % of the best
            method's.

    Raises:
        UserError: no such method, or no such figure.
    """
    shown = result.confirmed
    spaces, limits = result.record.spaces, result.record.limits
    against = named(result, reference) if reference else default_reference(shown)
    others = [method for method in shown if against and method.name != against.name]
    aim = default_target(shown) if target is None else checked_target(target, result.goal)
    studies = {
        m.name: tuple(
            search_of(each, spaces.get(m.name, {}), limits.get(m.name, {}))
            for each in m.each_study()
        )
        for m in result.whole
    }
    sampled = {m.name: result.budget_of(m.name).sampler for m in result.whole}
    starts = {name: len(space.get("start", ())) for name, space in spaces.items()}
    efforts = {
        m.name: expected_best(m, sampled[m.name], starts.get(m.name, 0)) for m in result.whole
    }
    gains = {m.name: control_gain(m) for m in shown}
    return Analysis(
        result=result,
        reference=against,
        chosen=reference is not None,
        intervals={method.name: _interval(result, method) for method in shown},
        differences=_differences(result, against, others) if against else {},
        leaders=_leaders(result),
        target=aim,
        reached={method.name: reach(method, aim) for method in shown},
        front=pareto_front(shown),
        local=default_reference(method for method in shown if not method.mean(figures.UP.name)),
        styles=row_styles(result.methods),
        searches={m.name: studies[m.name][m.leading] for m in result.whole},
        studies=studies,
        efforts={name: each for name, each in efforts.items() if each is not None},
        gains={name: each for name, each in gains.items() if each is not None},
        fronts=fronts_of(result),
    )


def _interval(result: ComparisonResult, method: MethodResult) -> Interval:
    return interval_of(method) if result.budget.decide is None else seed_interval(method)


def _differences(
    result: ComparisonResult, reference: MethodResult, others: Sequence[MethodResult]
) -> dict[str, Difference]:
    """To the reference; where figures decided how many seeds there are, not tested."""
    found = compare(reference, others)
    if result.budget.decide is None:
        return found
    return {m.name: raced_difference(found[m.name], m, reference) for m in others}


def _leaders(result: ComparisonResult) -> frozenset[str]:
    if result.budget.decide is None:
        return not_told_apart(result.confirmed)
    return frozenset(m.name for m in result.confirmed) - beaten(result.race)


def named(result: ComparisonResult, wanted: str) -> MethodResult:
    """The confirmed method of that short name or title, in any case of letters.

    Raises:
        UserError: there is none.
    """
    for method in result.confirmed:
        if wanted.lower() in (method.name.lower(), method.title.lower()):
            return method
    raise unknown("reference", wanted, [method.name for method in result.confirmed])
