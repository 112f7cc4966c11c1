"""What says which trials there are."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pfltune.knobs import Value
from pfltune.ranking import Outcome
from pfltune.search.brackets import Brackets
from pfltune.search.candidate import Candidate


class Dealer(Protocol):
    """Knows which trials there are; its answers depend on outcomes, never on time."""

    @property
    def brackets(self) -> Brackets:
        """What decides which of them go on."""

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more."""

    def deal(self) -> Candidate | None:
        """The next trial; None while others must end first, or when there is none left."""

    def complete(self, candidate: Candidate, outcome: Outcome) -> None:
        """Hear how a trial ended."""

    def best(self) -> Mapping[str, Mapping[str, Value] | None]:
        """What to show above each method's trials in the end; None if every one failed."""

    def chosen(self) -> Mapping[str, Sequence[Mapping[str, Value] | None]]:
        """What each of several independent searches chose, by method; empty where there is one."""

    def choices(self) -> Mapping[str, Sequence[Mapping[str, Value] | None]] | None:
        """What each search of each method chose, None if every trial of it failed.

        None in place of all before the last one has chosen.
        """

    def fronts(self) -> Mapping[str, Sequence[Mapping[str, Value]]]:
        """All that was chosen of each method that has several configurations, the best first."""
