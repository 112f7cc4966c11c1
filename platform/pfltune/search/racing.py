"""How many confirmation seeds each method may have by now."""

import math
from collections.abc import Sequence

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
        self._entrants: Sequence[str] | None = None
        self._tests: dict[str, dict[int, float | None]] = {method: {} for method in plan.methods}
        self._race: Race | None = None

    @property
    def is_over(self) -> bool:
        """Whether no method will get a further seed."""
        return self._plan.budget.decide is None or bool(self._race and self._race.is_over)

    def hear(self, candidate: Candidate, outcome: Outcome) -> None:
        """A test has ended."""
        test = None if math.isnan(outcome.test) else outcome.test
        self._tests[candidate.method][candidate.index] = test
        self._see()

    def begin(self, entrants: Sequence[str]) -> None:
        """It is known of every method whether there is something to test.

        Args:
            entrants: those of which there is.
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
        figures = {method: _in_turn(self._tests[method]) for method in self._entrants}
        self._race = race(budget.decide, budget.most_seeds, figures)


def _in_turn(tests: dict[int, float | None]) -> list[float | None]:
    """The figures of the seeds from the first on, up to one that has not ended."""
    found: list[float | None] = []
    while len(found) in tests:
        found.append(tests[len(found)])
    return found
