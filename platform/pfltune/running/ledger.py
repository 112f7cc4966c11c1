"""What is known of every trial: the events of the journal, told from its beginning."""

from dataclasses import dataclass, field
from typing import Literal

from pfltune.errors import UserError
from pfltune.goal import tested
from pfltune.ranking import Outcome, Standing
from pfltune.search.candidate import Candidate, checkpoint_folder
from pfltune.tracking.events import Event, MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.trials.stored import StoredRound, StoredTrial


@dataclass
class Record:
    """One trial.

    Attributes:
        started: what it was started with.
        standings: how it stood after each round.
        metrics: its figures of each round, until it has ended.
        ended: how it ended; None while it has not.
        round: the last one that is known of it.
    """

    started: TrialStarted
    standings: dict[int, Standing] = field(default_factory=dict)
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    ended: TrialEnded | None = None
    round: int = 0

    def add(self, done: RoundDone) -> None:
        """Take a round into account."""
        self.standings[done.round] = Standing.of(done.round, done.score, done.metrics)
        self.metrics[done.round] = done.metrics
        self.round = max(self.round, done.round)

    @property
    def folder(self) -> str:
        """Name of the folder of its checkpoints."""
        return checkpoint_folder(self.started.trial, self.started.seed, self.started.knobs)

    @property
    def outcome(self) -> Outcome | None:
        """What its method's search learns from it; None while it has not ended."""
        if self.ended is None:
            return None
        if self.ended.outcome == "failed" or not self.standings:
            return Outcome()
        return Outcome.of(self.standings[self.round], tested(self.ended.selected))

    def stored(self, ended: TrialEnded) -> StoredTrial | None:
        """What is worth keeping of a trial that is about to end so; None for a machine's fault."""
        if ended.outcome == "failed" and not ended.own_fault:
            return None
        rounds = tuple(
            StoredRound(number, self.standings[number].score, self.metrics[number])
            for number in sorted(self.metrics)
        )
        if ended.outcome == "failed":
            return StoredTrial(rounds, "failed", ended.failure)
        outcome: Literal["finished", "reached"] = "finished" if ended.selected else "reached"
        return StoredTrial(rounds, outcome, selected=ended.selected)


class Ledger:
    """The trials of a comparison, of earlier sessions too."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self.methods_ended: set[str] = set()

    def apply(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, TrialStarted):
            self._records.setdefault(event.trial, Record(event))
        elif isinstance(event, RoundDone):
            self._records[event.trial].add(event)
        elif isinstance(event, MethodEnded):
            self.methods_ended.add(event.method)
        else:
            self._records[event.trial].ended = event
            self._records[event.trial].metrics = {}

    def __contains__(self, trial: str) -> bool:
        return trial in self._records

    def __len__(self) -> int:
        return len(self._records)

    def names(self) -> list[str]:
        """All trials that have started."""
        return list(self._records)

    def folders(self) -> list[str]:
        """Names of the folders of their checkpoints."""
        return [record.folder for record in self._records.values()]

    def find(self, trial: str) -> Record | None:
        """What is known of a trial; None before it has started."""
        return self._records.get(trial)

    def ended(self) -> int:
        """The number of trials that have ended."""
        return sum(record.ended is not None for record in self._records.values())

    def check(self, candidate: Candidate) -> None:
        """See that a trial is still what it was when it started.

        Raises:
            UserError: other packages than those it was started with suggest something else.
        """
        record = self.find(candidate.name)
        if record is None:
            return
        before, now = record.started.knobs, dict(candidate.knobs)
        if (before, record.started.seed) != (now, candidate.seed):
            raise UserError(
                f"trial {candidate.name} was started with {before}, and would now be {now}: "
                "this comparison can only go on with the versions of pfltune and Optuna that "
                "began it"
            )
