"""One hypothesis of a race, and how far it is."""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["open", "decided", "given up", "withdrawn"]


@dataclass
class Question:
    """A hypothesis that is bet against.

    Attributes:
        of: what it is about: a method that could be the best, or two that could be equal.
        state: ``decided`` where it is rejected; ``given up`` where it could not be any more within
            the budget; ``withdrawn`` where a method of it has left the race.
        at: seeds that were weighed when it came to that state; 0 while it is open.
        course: its e-value after each seed that was weighed while it was open.
        differences: what was bet on, in percentage points; of a pair the first minus the second.
        needed: what its e-value had to reach when it was last looked at.
        better: who was found to be better, of a pair that is decided.
        more: how many seeds more it would take if they were like those that were seen; None where
            that cannot be said, or nothing is left to ask.
    """

    of: tuple[str, ...]
    state: State = "open"
    at: int = 0
    course: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    needed: float = 0.0
    better: str = ""
    more: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.state == "open"

    @property
    def value(self) -> float:
        """Its e-value by now, or when it was settled."""
        return self.course[-1] if self.course else 1.0

    def settle(self, state: State) -> None:
        """It goes on no more."""
        self.state, self.at = state, len(self.course)
