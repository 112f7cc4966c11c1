"""Handing the trials of one or more sittings to Ray Tune."""

from collections.abc import Mapping
from typing import Any, Protocol

from ray.tune.search import Searcher

from pfltune.figures import SELECTED
from pfltune.goal import TESTED, tested
from pfltune.ranking import Outcome, Standing
from pfltune.running.dealt import DealtTrials
from pfltune.running.given import to_config
from pfltune.search.candidate import SCORE, Candidate


class Waiting(Protocol):
    """Sittings that cannot begin before another one has chosen."""

    def __bool__(self) -> bool:
        """Whether there are any."""

    def open_next(self) -> bool:
        """Open the next one that can begin by now; whether there was one."""


class _Nobody:
    """No sitting waits."""

    def __bool__(self) -> bool:
        return False

    def open_next(self) -> bool:
        return False


NOBODY = _Nobody()


class DealtSearch(Searcher):
    """Ray Tune's view of the trials that must be trained: the sitting with the fewest is next.

    Args:
        dealt: the trials of each sitting by its name; those of one that is opened later too.
        waiting: sittings that are to be opened.
    """

    def __init__(self, dealt: Mapping[str, DealtTrials], waiting: Waiting = NOBODY) -> None:
        super().__init__(metric=SCORE, mode="max")
        self._dealt = dealt
        self._waiting = waiting
        self._running: dict[str, tuple[DealtTrials, Candidate]] = {}
        self._latest: dict[str, Outcome] = {}

    def __getstate__(self) -> dict:
        """Nothing: Tune pickles it with an experiment that is never restored."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A trial's configuration, None while others must end first, or FINISHED."""
        while (found := self._next()) is None and self._waiting.open_next():
            pass
        if found is not None:
            name, trials, candidate = found
            self._running[trial_id] = (trials, candidate)
            return to_config(name, candidate)
        everything = all(trials.exhausted for trials in self._dealt.values())
        return Searcher.FINISHED if everything and not self._waiting else None

    def _next(self) -> tuple[str, DealtTrials, Candidate] | None:
        for name, trials in sorted(self._dealt.items(), key=lambda item: item[1].handed):
            candidate = trials.next()
            if candidate is not None:
                return name, trials, candidate
        return None

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        """Remember the newest result: a trial stopped while paused completes without one."""
        if SCORE in result:
            last = Standing.of(int(result["round"]), float(result[SCORE]), result)
            # Tune joins the names of what is nested.
            told = {name: result.get(f"{SELECTED}{name}") for name in TESTED}
            test = tested({name: value for name, value in told.items() if value is not None})
            self._latest[trial_id] = Outcome.of(last, test)

    def on_trial_complete(
        self, trial_id: str, result: dict | None = None, error: bool = False
    ) -> None:
        """Tell the dealer how a trial ended."""
        if result:
            self.on_trial_result(trial_id, result)
        outcome = self._latest.pop(trial_id, Outcome())
        failed = error or bool(result and result.get("failure"))
        trials, candidate = self._running.pop(trial_id)
        trials.complete(candidate, Outcome() if failed else outcome)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see :meth:`save`."""
