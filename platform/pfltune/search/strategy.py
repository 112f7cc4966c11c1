"""What proposes the configurations of a method."""

from collections.abc import Callable, Mapping
from typing import Protocol

from pfltune.knobs import Value
from pfltune.ranking import Outcome
from pfltune.search.plan import Plan
from pfltune.search.space import SearchSpace


class Strategy(Protocol):
    """Proposes the search trials of one method and hears how they went.

    It is asked for the trials of a generation one after the other, then told how all of them went,
    both in the order of their indices. Nothing else may move it, least of all time: a comparison
    that goes on asks and tells everything again, and must be proposed the same.
    """

    def propose(self, index: int) -> Mapping[str, Value]:
        """The searched knobs of the trial with this index."""

    def hear(self, index: int, outcome: Outcome, rungs: Mapping[float, float]) -> None:
        """Learn how a trial went.

        Args:
            index: of the trial.
            outcome: how it ended.
            rungs: its score at each rung that it came to.
        """


MakeStrategy = Callable[[str, Plan, SearchSpace], Strategy]
"""Makes the strategy of a search, given its method's reference, its plan and its search space."""
