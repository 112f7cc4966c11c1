"""What a sitting wants of finished trials that are kept beyond their comparison."""

from typing import Protocol

from pfltune.record import Record
from pfltune.search.candidate import Candidate
from pfltune.trials.stored import StoredTrial


class FinishedTrials(Protocol):
    """Finished trials, found by what a trial of one comparison would compute."""

    def find(self, candidate: Candidate) -> StoredTrial | None:
        """How far the same trial was trained, wherever that was; None if nobody did."""

    def keep(self, candidate: Candidate, trial: StoredTrial) -> None:
        """Keep a trial of this comparison.

        Raises:
            OSError: it cannot be written.
        """


class TrialStore(Protocol):
    """Finished trials of all comparisons."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be found, so that Ray will be needed in any case."""

    def of(self, record: Record) -> FinishedTrials:
        """Those of it that a comparison can use, and where its own are kept."""


class NoTrials:
    """Nothing is found and nothing kept; both a store and its trials."""

    is_empty = True

    def of(self, record: Record) -> FinishedTrials:
        """The same for every comparison."""
        return self

    def find(self, candidate: Candidate) -> StoredTrial | None:
        """None."""

    def keep(self, candidate: Candidate, trial: StoredTrial) -> None:
        """Nothing."""


NOTHING = NoTrials()
