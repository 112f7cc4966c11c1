"""The trials of one comparison as they are dealt: told from what is known, or left to Ray."""

from collections import deque
from dataclasses import dataclass

from pfltune.goal import tested
from pfltune.ranking import Outcome
from pfltune.running.finished import FinishedTrials
from pfltune.running.ledger import Ledger
from pfltune.running.trial_log import TrialLog
from pfltune.search.candidate import Candidate
from pfltune.search.dealer import Dealer
from pfltune.text import count
from pfltune.tracking.events import TrialEnded
from pfltune.trials.stored import StoredTrial


@dataclass
class Replay:
    """A trial that is told from a stored one.

    Attributes:
        candidate: the trial.
        trial: what is known of it.
        told: how many of its rounds have been told to its bracket.
    """

    candidate: Candidate
    trial: StoredTrial
    told: int = 0

    @property
    def is_over(self) -> bool:
        """Whether all of a trial that came to its end has been told."""
        return self.trial.outcome == "finished" and self.told == len(self.trial.rounds)

    def ending(self, stopped: bool) -> TrialEnded:
        """Its end, at its bracket's word or as it was stored."""
        reached = self.trial.rounds[self.told - 1].round if self.told else 0
        if stopped:
            return TrialEnded(self.candidate.name, "stopped early", reached)
        if self.trial.outcome == "failed":
            failure = self.trial.failure
            return TrialEnded(self.candidate.name, "failed", reached, failure, own_fault=True)
        return TrialEnded(self.candidate.name, "finished", reached, selected=self.trial.selected)


class DealtTrials:
    """Deals trials and tells what is known of them; :meth:`next` gives those that must be trained.

    A trial that the ledger knows as ended is completed at once. So a comparison that goes on is
    dealt again from the start, and its searches hear again what they have heard before, in the same
    order: their state needs no file. One that is found among the finished trials is told round by
    round as if it were trained, as far as its bracket lets it; it waits at a rung like any other,
    and if it is to go further than it is known it is left to Ray.

    When all else is over, trials whose models are wanted and not there are left to Ray once more;
    nothing is told of them but their models.

    Args:
        dealer: says which trials there are.
        ledger: what is known of this comparison.
        log: where trials are told.
        finished: what is known of others.
    """

    def __init__(
        self, dealer: Dealer, ledger: Ledger, log: TrialLog, finished: FinishedTrials
    ) -> None:
        self.brackets = dealer.brackets
        self.log = log
        self.handed = 0
        self._dealer = dealer
        self._ledger = ledger
        self._finished = finished
        self._replays: dict[str, Replay] = {}
        self._ready: deque[Candidate] = deque()
        self._training: set[str] = set()
        self._tested: dict[str, Candidate] = {}
        self._again: set[str] | None = set() if log.models is None else None

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more."""
        dealt = self._dealer.exhausted and not self._replays and not self._ready
        return dealt and self._again is not None

    @property
    def over(self) -> bool:
        """Whether all trials have ended."""
        return self.exhausted and not self._training

    def has_work(self) -> bool:
        """Whether there is a trial to train.

        Raises:
            UserError: a trial of an earlier sitting is not what it was.
        """
        self.settle()
        while not self._ready and (candidate := self._dealer.deal()) is not None:
            if self._is_known(candidate):
                self.settle()
            else:
                self._ready.append(candidate)
        self._see_models()
        return bool(self._ready)

    def next(self) -> Candidate | None:
        """The next trial to train; None while others must end first, or when there is none left."""
        if not self.has_work():
            return None
        candidate = self._ready.popleft()
        self._training.add(candidate.name)
        self.handed += 1
        return candidate

    def complete(self, candidate: Candidate, outcome: Outcome) -> None:
        """Hear how a trial that was trained has ended."""
        self._training.discard(candidate.name)
        if candidate.name not in (self._again or ()):
            self._dealer.complete(candidate, outcome)

    def settle(self) -> None:
        """Tell known trials as far as their brackets let them go by now."""
        while any([self._advance(replay) for replay in list(self._replays.values())]):
            pass
        self._see_models()

    def _see_models(self) -> None:
        """When all trials have ended, have those trained again whose models are missing; once."""
        busy = self._replays or self._ready or self._training
        if self._again is not None or self.log.models is None or busy:
            return
        if not self._dealer.exhausted:
            return
        missing = self.log.models.missing()
        self._again = set(missing)
        self._ready.extend(self._tested[name] for name in missing)
        if missing:
            trials = count(len(missing), "confirmation trial")
            self.log.warn(f"{trials} trained again, for models that nobody has kept")

    def _is_known(self, candidate: Candidate) -> bool:
        """Enter a trial into its bracket; whether it can be told from what is known."""
        self._ledger.check(candidate)
        self.brackets.enter(candidate)
        self._tested[candidate.name] = candidate
        before = self._ledger.find(candidate.name)
        outcome = before.outcome if before else None
        if before and outcome:
            self._hear(candidate, before.ended)
            for standing in before.standings.values():
                self.brackets.reach(candidate, standing)
            self._leave(candidate, outcome)
            return True
        stored = self._finished.find(candidate)
        if stored is None:
            return False
        self.log.begin(candidate, reused=True)
        self._replays[candidate.name] = Replay(candidate, stored)
        return True

    def _advance(self, replay: Replay) -> bool:
        """Tell a trial up to where it waits, ends or must be trained; whether it moved."""
        candidate, before = replay.candidate, replay.told
        while (verdict := self.brackets.verdict(candidate)) == "go on":
            if replay.told == len(replay.trial.rounds):
                break
            done = replay.trial.rounds[replay.told]
            self.log.round(candidate, done)
            self.brackets.reach(candidate, done.standing)
            replay.told += 1
        if replay.is_over:
            verdict = "go on"  # its last round ended it before its bracket was asked
        if verdict == "wait":
            return replay.told > before
        del self._replays[candidate.name]
        if verdict == "go on" and replay.trial.outcome == "reached":
            self._ready.append(candidate)
        else:
            self._end(replay, replay.ending(stopped=verdict == "stop"))
        return True

    def _end(self, replay: Replay, event: TrialEnded) -> None:
        self.log.end(event)
        self._hear(replay.candidate, event)
        failed, reached = event.outcome == "failed", replay.trial.rounds[: replay.told]
        outcome = Outcome() if failed else Outcome.of(reached[-1].standing, tested(event.selected))
        self._leave(replay.candidate, outcome)

    def _hear(self, candidate: Candidate, ended: TrialEnded | None) -> None:
        if self.log.models is not None and ended is not None:
            self.log.models.hear(candidate, ended.selected)

    def _leave(self, candidate: Candidate, outcome: Outcome) -> None:
        self.brackets.leave(candidate)
        self._dealer.complete(candidate, outcome)
