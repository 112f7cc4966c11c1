"""What a race asks, whatever the question is."""

from collections.abc import Mapping
from typing import Protocol

from pfltune.racing.question import Question

MOST_SAID = 100
"""Seeds more beyond which no number is said."""


class Contest(Protocol):
    """A family of hypotheses about some methods."""

    @property
    def questions(self) -> list[Question]:
        """All of them, in the order of the methods."""

    def runners(self) -> list[str]:
        """The methods that need a further seed; none where the contest is over."""

    def weigh(self, figures: Mapping[str, float]) -> None:
        """Bet on a seed.

        Args:
            figures: test score of the runners whose trial did not fail.
        """

    def withdraw(self, method: str) -> None:
        """A method leaves the race; nothing is claimed of it."""

    def settle(self, left: int) -> None:
        """Decide what can be decided, then give up what cannot be any more.

        Args:
            left: seeds that are left in the budget.
        """

    def look_ahead(self) -> None:
        """Say of what stayed open how many seeds more it would take."""

    @property
    def leader(self) -> str | None:
        """Who leads by the seeds so far, of a contest for the best; None where nobody does."""

    @property
    def is_decided(self) -> bool:
        """Whether the question has its whole answer."""
