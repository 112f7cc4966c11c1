"""Handing trials to Ray Tune, those that have not ended in an earlier session."""

from typing import Any

from ray.tune.search import Searcher

from pfltune.ranking import Outcome
from pfltune.running.ledger import Ledger
from pfltune.search.candidate import SCORE, Candidate
from pfltune.search.dealer import Dealer


class DealtSearch(Searcher):
    """Ray Tune's view of a :class:`Dealer`.

    A trial that the ledger knows as ended is completed at once and never reaches Tune. So a resumed
    comparison is dealt again from the start, and Optuna hears again what it has heard before, in
    the same order: its state needs no file.

    Args:
        dealer: says which trials there are.
        ledger: what earlier sessions know.
    """

    def __init__(self, dealer: Dealer, ledger: Ledger) -> None:
        super().__init__(metric=SCORE, mode="max")
        self._dealer = dealer
        self.brackets = dealer.brackets
        self._ledger = ledger
        self._running: dict[str, Candidate] = {}
        self._latest: dict[str, Outcome] = {}
        self._ahead: Candidate | None = None

    def has_work(self) -> bool:
        """Whether there is a trial that has not ended.

        Raises:
            UserError: a trial of an earlier session is not what it was.
        """
        self._ahead = self._ahead or self._next()
        return self._ahead is not None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A trial's configuration, None while others must end first, or FINISHED."""
        candidate, self._ahead = self._ahead or self._next(), None
        if candidate is not None:
            self._running[trial_id] = candidate
            return candidate.to_config()
        return Searcher.FINISHED if self._dealer.exhausted else None

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        """Remember the newest result: a trial stopped while paused completes without one."""
        if SCORE in result:
            self._latest[trial_id] = Outcome(int(result["round"]), float(result[SCORE]))

    def on_trial_complete(
        self, trial_id: str, result: dict | None = None, error: bool = False
    ) -> None:
        """Tell the dealer how a trial ended."""
        if result:
            self.on_trial_result(trial_id, result)
        outcome = self._latest.pop(trial_id, Outcome())
        failed = error or bool(result and result.get("failure"))
        self._dealer.complete(self._running.pop(trial_id), Outcome() if failed else outcome)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see :meth:`save`."""

    def _next(self) -> Candidate | None:
        while (candidate := self._dealer.deal()) is not None:
            self._ledger.check(candidate)
            self.brackets.enter(candidate)
            record = self._ledger.find(candidate.name)
            outcome = record.outcome if record else None
            if record is None or outcome is None:
                return candidate
            for round_number, score in record.scores.items():
                self.brackets.reach(candidate, round_number, score)
            self.brackets.leave(candidate)
            self._dealer.complete(candidate, outcome)
        return None
