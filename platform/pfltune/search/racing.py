"""How many confirmation seeds each method may have by now."""

import math
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from pfltune.racing.race import Race, race
from pfltune.ranking import Outcome
from pfltune.search.candidate import Candidate
from pfltune.search.plan import Plan


class Racing:
    """The race of a comparison, where something is to be decided; without it, always over.

    The first seeds are dealt to every method at once. A further one is dealt to all methods that
    run when all of them have ended the one before, so that what is decided depends on figures
    alone.

    Args:
        plan: the budget, and the methods in the order of the table.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._entrants: Mapping[str, int] | None = None
        self._tests: dict[str, dict[int, list[float]]] = {
            method: defaultdict(list) for method in plan.methods
        }
        self._race: Race | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether there is a race at all."""
        return self._plan.budget.decide is not None

    @property
    def is_over(self) -> bool:
        """Whether no method will get a further seed."""
        return not self.is_wanted or bool(self._race and self._race.is_over)

    def hear(self, candidate: Candidate, outcome: Outcome) -> None:
        """A test has ended."""
        self._tests[candidate.method][candidate.index].append(outcome.test)
        self._see()

    def begin(self, entrants: Mapping[str, int]) -> None:
        """It is known of every method whether there is something to test.

        Args:
            entrants: those of which there is, and in how many studies.
        """
        if self._entrants is None:
            self._entrants = entrants
            self._see()

    def seeds(self, method: str) -> int:
        """How many confirmation seeds a method may have by now."""
        first = self._plan.budget.seeds
        if self._race is None or method not in self._race.runners:
            return first
        return max(first, self._race.seeds + 1)

    def _see(self) -> None:
        budget = self._plan.budget
        if budget.decide is None or self._entrants is None:
            return
        figures = {
            method: _in_turn(self._tests[method], self._entrants[method])
            for method in self._plan.methods
            if method in self._entrants
        }
        self._race = race(budget.decide, budget.most_seeds, figures)


def _in_turn(tests: Mapping[int, list[float]], studies: int) -> list[float | None]:
    """The figures of the seeds from the first on, up to one that has not ended.

    The figure of a seed is the mean over a method's studies; None where one of them failed.
    """
    found: list[float | None] = []
    while len(ended := tests.get(len(found), [])) == studies:
        found.append(None if any(map(math.isnan, ended)) else fmean(ended))
    return found
