"""What a report says beyond the figures in the store: computed once, shown in many forms."""

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
from pfltune.report.fronts import Fronts, fronts_of
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
        intervals: of each confirmed method's test accuracy, over seeds and clients, 95 %.
        differences: of each other confirmed method to the reference.
        leaders: the best test accuracy, and all that are not told apart from it.
        target: validation accuracy in [0, 1] that methods are timed to.
        reached: when each confirmed method reached the target; None where it never did.
        front: confirmed methods that no other beats for as many MB or fewer, by MB.
        local: the best-validating of the methods that upload nothing; None if there is none.
        styles: of all methods and rows.
        searches: what each method's search learned, by short name of the method.
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
    fronts: Fronts | None = None

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
            the one with the best validation accuracy.
        target: validation accuracy in (0, 1]; default: 95 % of the best method's.

    Raises:
        UserError: no such method, or no accuracy.
    """
    shown = result.confirmed
    spaces, limits = result.record.spaces, result.record.limits
    against = named(result, reference) if reference else default_reference(shown)
    others = [method for method in shown if against and method.name != against.name]
    aim = default_target(shown) if target is None else checked_target(target)
    return Analysis(
        result=result,
        reference=against,
        chosen=reference is not None,
        intervals={method.name: interval_of(method) for method in shown},
        differences=compare(against, others) if against else {},
        leaders=not_told_apart(shown),
        target=aim,
        reached={method.name: reach(method, aim) for method in shown},
        front=pareto_front(shown),
        local=default_reference(method for method in shown if not method.mean(figures.UP.name)),
        styles=row_styles(result.methods),
        searches={
            m.name: search_of(m, spaces.get(m.name, {}), limits.get(m.name, {}))
            for m in result.whole
        },
        fronts=fronts_of(result),
    )


def named(result: ComparisonResult, wanted: str) -> MethodResult:
    """The confirmed method of that short name or title, in any case of letters.

    Raises:
        UserError: there is none.
    """
    for method in result.confirmed:
        if wanted.lower() in (method.name.lower(), method.title.lower()):
            return method
    raise unknown("reference", wanted, [method.name for method in result.confirmed])
