"""The control of a search: what it began with, tested with the seeds of what it chose."""

from collections.abc import Mapping
from dataclasses import dataclass

from pfltune.knobs import Value
from pfltune.search.candidate import Candidate, confirmation_seed
from pfltune.search.plan import Plan
from pfltune.search.space import SearchSpace


@dataclass
class Control:
    """Deals the tests of a method's first start point, which all of its studies try first.

    Attributes:
        method: reference of the method.
        seeds: of its trials.
        knobs: the configuration.
        dealt: how many of them there have been.
    """

    method: str
    seeds: tuple[int, ...]
    knobs: Mapping[str, Value]
    dealt: int = 0

    @classmethod
    def of(cls, plan: Plan, spaces: Mapping[str, SearchSpace]) -> "dict[str, Control]":
        """Those of a plan, by method; none where nobody asked for them."""
        budget = plan.budget
        if not budget.control:
            return {}
        seeds = tuple(confirmation_seed(budget.seed, index) for index in range(budget.seeds))
        return {
            method: cls(method, seeds, {**spaces[method].fixed, **_first(spaces[method])})
            for method in plan.methods
        }

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more."""
        return self.dealt == len(self.seeds)

    def next(self) -> Candidate | None:
        """The next trial; None if none is left."""
        if self.exhausted:
            return None
        index = self.dealt
        self.dealt += 1
        return Candidate(self.method, "control", index, -1, self.seeds[index], self.knobs)


def _first(space: SearchSpace) -> Mapping[str, Value]:
    return space.start[0] if space.start else {}
