"""What happens to the trials of a comparison, told to its journal once and kept for others."""

import json
from collections.abc import Callable, Set
from contextlib import suppress
from typing import NoReturn

from pfltune.errors import Halted, UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.models.keeping import Models
from pfltune.registry import short_name
from pfltune.running.finished import FinishedTrials
from pfltune.running.ledger import Ledger
from pfltune.search.candidate import Candidate
from pfltune.storage import open_storage
from pfltune.tracking.events import Event, RoundDone, Selected, TrialEnded, TrialStarted
from pfltune.trials.stored import StoredRound


class TrialLog:
    """Writes each trial's start, rounds and end once, however often they come.

    A trial is kept for other comparisons before its end is written: whoever is killed in between
    finds it there, and goes on from it.

    Args:
        append: writes an event to the journal, which the ledger follows.
        ledger: what is there already.
        finished: where trials are kept.
        checkpoints: where trials have theirs, which are removed when they end.
        warn: tells the user.
        unkept: trials that other code began, and that are no other comparison's.
        models: takes those that trials have written; None where none are wanted.

    Attributes:
        warn: tells the user.
        models: see above.
        halted: why nothing can be written; Tune hides what is raised within it.
    """

    halted: Halted | None = None

    def __init__(
        self,
        append: Callable[[Event], None],
        ledger: Ledger,
        finished: FinishedTrials,
        checkpoints: str,
        warn: Callable[[str], object],
        unkept: Set[str] = frozenset(),
        models: Models | None = None,
    ) -> None:
        self._append = append
        self._ledger = ledger
        self._finished = finished
        self._checkpoints = checkpoints
        self.warn = warn
        self._unkept = unkept
        self.models = models
        self._warned = False

    def begin(self, candidate: Candidate, reused: bool = False) -> None:
        """Note a trial, the first time."""
        if candidate.name not in self._ledger:
            self.write(
                TrialStarted(
                    trial=candidate.name,
                    method=short_name(candidate.method),
                    stage=candidate.stage,
                    index=candidate.index,
                    generation=candidate.generation,
                    seed=candidate.seed,
                    knobs=dict(candidate.knobs),
                    reused=reused,
                    study=candidate.study,
                )
            )

    def round(self, candidate: Candidate, done: StoredRound) -> bool:
        """Note a round that has not been noted yet; whether it had not."""
        known = self._ledger.find(candidate.name)
        if known is None or done.round <= known.round:
            return False
        self.write(RoundDone(candidate.name, done.round, done.score, done.metrics))
        return True

    def end(self, event: TrialEnded) -> None:
        """Note the end of a trial, unless it had ended and was trained again for its model."""
        known = self._ledger.find(event.trial)
        if known is None or known.ended is None:
            self.write(event)
            known = self._ledger.find(event.trial)
        elif event.outcome == "failed":
            self.warn(f"The model of {event.trial} could not be kept: {event.failure}")
        if known is not None:
            with suppress(OSError):  # all that is left goes with the comparison's end
                Checkpoints(open_storage(self._checkpoints, known.folder)).remove()

    def keep_and_end(self, candidate: Candidate, event: TrialEnded) -> None:
        """Note the end of a trial that was trained here. A full disk costs others time, no more."""
        known = self._ledger.find(candidate.name)
        self._take_model(candidate, event)
        if known and known.ended:
            self.end(event)
            return
        stored = known.stored(event) if known else None
        if stored and candidate.name not in self._unkept:
            try:
                self._finished.keep(candidate, stored)
            except OSError as error:
                self._cannot_keep(error)
        self.end(event)

    def halt(self, why: str) -> NoReturn:
        """Stop everything.

        Raises:
            Halted: always.
        """
        self.halted = Halted(why)
        raise self.halted

    def _take_model(self, candidate: Candidate, event: TrialEnded) -> None:
        """Keep what the trial predicts with, where that is wanted; that it cannot be is told."""
        if self.models is None or event.selected is None:
            return
        known = self._ledger.find(candidate.name)
        before = known.ended.selected if known and known.ended else None
        if before is not None and _text(before) != _text(event.selected):
            self.warn(
                f"The model of {candidate.name} is not kept: the trial was trained again, to other "
                "figures than it is told with"
            )
            return
        self.models.hear(candidate, event.selected)
        try:
            self.models.take(candidate)
        except (OSError, UserError) as error:
            self.warn(f"The model of {candidate.name} could not be kept: {error}")

    def _cannot_keep(self, error: OSError) -> None:
        if not self._warned:
            self.warn(
                f"Finished trials cannot be kept for other comparisons ({error}); this one goes on"
            )
        self._warned = True

    def write(self, event: Event) -> None:
        """Note anything else.

        Raises:
            Halted: the journal cannot be written.
        """
        try:
            self._append(event)
        except OSError as error:
            self.halt(f"the journal could not be written: {error}")


def _text(selected: Selected) -> str:
    """What two trainings must have alike; NaN equals itself there."""
    return json.dumps(selected, sort_keys=True)
