"""The search of one method and what follows from it: computed once, shown in many forms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pfltune.errors import UserError, unknown
from pfltune.goal import Goal
from pfltune.knobs import Value
from pfltune.report.analysis import Analysis
from pfltune.report.learned import Learned, learned_of
from pfltune.report.moments import after, short
from pfltune.report.results import ComparisonResult, MethodResult, SearchedRun
from pfltune.report.searching import Searching
from pfltune.report.styles import Style

Pair = tuple[str, str]
WANTED: Pair = ("prefix_length", "lr")
"""What people tune together; drawn wherever both were searched."""


@dataclass(frozen=True)
class Tuned:
    """What the search of one method found.

    Attributes:
        analysis: of the comparison with one method.
        learned: what its trials say.
        knobs: what was searched and has more than one value among the trials.
        pair: two of these knobs, drawn against each other; None where there are no two.
    """

    analysis: Analysis
    learned: Learned
    knobs: tuple[str, ...]
    pair: Pair | None

    @property
    def result(self) -> ComparisonResult:
        """What it was read from."""
        return self.analysis.result

    @property
    def method(self) -> MethodResult:
        """The only one; of several studies what the one did that chose best."""
        return self.search.method

    @property
    def goal(self) -> Goal:
        """What it went by."""
        return self.result.goal

    @property
    def search(self) -> Searching:
        """Its search."""
        (search,) = self.analysis.searches.values()
        return search

    @property
    def studies(self) -> tuple[Searching, ...]:
        """All searches of it."""
        return self.analysis.studies[self.method.name]

    @property
    def style(self) -> Style:
        """How it is drawn."""
        return self.analysis.styles[self.method.name]

    @property
    def space(self) -> Mapping[str, Any]:
        """The choices of each searched knob, or its lowest and highest value and if it is log."""
        return dict(self.result.record.spaces.get(self.method.name, {}).get("search", {}))

    @property
    def starts_published(self) -> bool:
        """Whether the first trial has the values of a paper."""
        space = self.result.record.spaces.get(self.method.name, {})
        first = next((run for run in self.method.searched if run.index == 0), None)
        return first is not None and any(
            point.items() <= first.knobs.items() for point in space.get("published", ())
        )

    @property
    def held(self) -> Mapping[str, Value]:
        """What the user held."""
        return self.result.record.fixed.get(self.method.name, {})

    @property
    def full(self) -> tuple[SearchedRun, ...]:
        """The trials that came as far as any, with a figure."""
        return tuple(run for run in self.shown if run.course[-1][0] >= self.learned.rounds)

    @property
    def short(self) -> tuple[SearchedRun, ...]:
        """The others that have a figure."""
        return tuple(run for run in self.shown if run.course[-1][0] < self.learned.rounds)

    @property
    def shown(self) -> tuple[SearchedRun, ...]:
        """The trials with a figure, in the order of the suggestions."""
        return tuple(run for run in self.method.searched if run.course and run.outcome != "failed")

    def after(self, at: float) -> str:
        """When trials are read, in words."""
        return after(at, self.result.record.scenario.protocol)

    def beside(self, at: float) -> str:
        """The same beside a point."""
        return short(at, self.result.record.scenario.protocol)


def is_tuning(result: ComparisonResult) -> bool:
    """Whether it is the search of one method by ``pfltune tune``."""
    alone = result.record.command == "tune" and len(result.methods) == 1
    return alone and not result.budget.several


def tuned_of(analysis: Analysis, pair: Pair | None = None) -> Tuned:
    """What the search of the only method found.

    Args:
        analysis: of a comparison with one method.
        pair: two searched knobs to draw against each other; default: prefix length and learning
            rate where both were searched, or else the two that matter most.

    Raises:
        UserError: they are not two searched knobs.
    """
    (search,) = analysis.searches.values()
    method = search.method
    space = analysis.result.record.spaces.get(method.name, {}).get("search", {})
    learned = learned_of(search)
    knobs = varied(method.searched, space)
    if pair is not None:
        checked_pair(pair, space or knobs)
    return Tuned(analysis, learned, knobs, pair or _default_pair(knobs, learned))


def checked_pair(pair: Pair, searched: Sequence[str] | Mapping[str, Any]) -> Pair:
    """Two different searched knobs.

    Raises:
        UserError: they are not.
    """
    for name in pair:
        if name not in searched:
            raise unknown("searched knob", name, searched)
    if pair[0] == pair[1]:
        raise UserError(f"a pair of knobs is two different ones, not {pair[0]} twice")
    return pair


def varied(runs: Sequence[SearchedRun], space: Mapping[str, Any]) -> tuple[str, ...]:
    """The knobs with more than one value among trials, in the order of the space."""
    names = dict.fromkeys([*space, *(name for run in runs for name in run.knobs)])
    values = {name: {run.knobs[name] for run in runs if name in run.knobs} for name in names}
    return tuple(name for name in names if len(values[name]) > 1)


def _default_pair(knobs: Sequence[str], learned: Learned) -> Pair | None:
    if len(knobs) < 2:
        return None
    if set(knobs) >= set(WANTED):
        return WANTED
    ranked = [each.knob for each in learned.importances if each.knob in knobs]
    first, second = list(dict.fromkeys([*ranked, *knobs]))[:2]
    return first, second
