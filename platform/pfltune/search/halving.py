"""What decides which trials of a generation go on."""

from collections.abc import Callable
from typing import Literal, Protocol

from pfltune.ranking import Standing
from pfltune.search.plan import Generation, Plan

Verdict = Literal["go on", "wait", "stop"]


class Halving(Protocol):
    """Decides on the trials of one generation, by their indices within the method's search.

    A pure function of what it has been told, in whatever order and however often: so it is made
    anew after an interruption by telling it everything again.
    """

    def add(self, index: int) -> None:
        """A trial of the generation exists."""

    def reach(self, index: int, standing: Standing) -> None:
        """A trial has done a round and stands so."""

    def leave(self, index: int) -> None:
        """A trial has ended."""

    def verdict(self, index: int) -> Verdict:
        """Whether a trial trains on, waits for others, or is stopped."""


MakeHalving = Callable[[Plan, Generation], Halving]
"""Makes what decides on a generation."""
