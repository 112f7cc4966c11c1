"""What is told of Ray Tune's trials to the journal; runs in the driver only."""

from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ray.tune import Callback
from ray.tune.experiment import Trial

from pfltune.errors import Halted
from pfltune.federation.checkpoint import Checkpoints
from pfltune.figures import may_be_shown
from pfltune.registry import short_name
from pfltune.running.ledger import Ledger
from pfltune.search.candidate import SCORE, Candidate
from pfltune.storage import open_storage
from pfltune.tracking.events import Event, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import Journal

OUT_OF_DISK = ("No space left on device", "Disk quota exceeded", "Read-only file system")


class JournalCallback(Callback):
    """Writes each trial's start, rounds and end once, however often Tune starts it again.

    Args:
        journal: where to.
        ledger: follows the journal: what is there already.
        checkpoints: where trials keep theirs, which are removed when they end.

    Attributes:
        halted: why no trial can go on; Tune hides what its callbacks raise.
    """

    halted: Halted | None = None

    def __init__(self, journal: Journal, ledger: Ledger, checkpoints: str) -> None:
        self._journal = journal
        self._ledger = ledger
        self._checkpoints = checkpoints

    def __getstate__(self) -> dict:
        """Nothing: Tune pickles its callbacks with an experiment that is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Note the trial, the first time."""
        candidate = Candidate.from_config(trial.config)
        if candidate.name not in self._ledger:
            self._append(
                TrialStarted(
                    trial=candidate.name,
                    method=short_name(candidate.method),
                    stage=candidate.stage,
                    index=candidate.index,
                    generation=candidate.generation,
                    seed=candidate.seed,
                    knobs=dict(candidate.knobs),
                )
            )

    def on_trial_result(
        self, iteration: int, trials: list, trial: Trial, result: dict, **info: Any
    ) -> None:
        """Note the rounds that are new, those that a checkpoint brought along too."""
        candidate = Candidate.from_config(trial.config)
        name = candidate.name
        self.on_trial_start(iteration, trials, trial)
        for done in [*result.get("history", ()), result]:
            known = self._ledger.find(name)
            if known and done["round"] > known.round and "failure" not in done:
                metrics = _shown(done, candidate.stage)
                self._append(RoundDone(name, done["round"], done[SCORE], metrics))
                # Processes may die often in a trial of days; it fails when it gets no further.
                trial.run_metadata.num_failures = 0

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Note the end of a trial, by itself or at a rung."""
        result = trial.last_result or {}
        failure, selected = result.get("failure", ""), result.get("selected")
        name, reached = Candidate.from_config(trial.config).name, result.get("round", 0)
        if failure:
            self._end(TrialEnded(name, "failed", reached, failure))
        elif selected:
            self._end(TrialEnded(name, "finished", reached, selected=selected))
        else:
            self._end(TrialEnded(name, "stopped early", reached))

    def on_trial_recover(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Stop everything where no trial can go on.

        Raises:
            Halted: the disk is full.
        """
        told = error_text(trial)
        if any(words in told for words in OUT_OF_DISK):
            self._halt(f"a checkpoint could not be written: {told.splitlines()[-1]}")

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Note that a trial crashed and is not started again."""
        self.on_trial_start(iteration, trials, trial)
        reached = (trial.last_result or {}).get("round", 0)
        name = Candidate.from_config(trial.config).name
        self._end(TrialEnded(name, "failed", round=reached, failure=_reason(trial)))

    def _end(self, event: TrialEnded) -> None:
        self._append(event)
        with suppress(OSError):  # all that is left goes with the comparison's end
            Checkpoints(open_storage(self._checkpoints, event.trial)).remove()

    def _append(self, event: Event) -> None:
        try:
            self._journal.append(event)
        except OSError as error:
            self._halt(f"the journal could not be written: {error}")

    def _halt(self, why: str) -> NoReturn:
        self.halted = Halted(why)
        raise self.halted


def _shown(done: dict[str, Any], stage: str) -> dict[str, float]:
    """The figures of a round; nothing of test samples in a search."""
    return {key: v for key, v in done.items() if "/" in key and may_be_shown(key, stage)}


def error_text(trial: Trial) -> str:
    """What Tune wrote down of a trial's failures; empty if there was none."""
    path = Path(trial.error_file) if trial.error_file else None
    return path.read_text().strip() if path and path.exists() else ""


def _reason(trial: Trial) -> str:
    told = error_text(trial)
    attempts = f"{trial.num_failures} times without getting further"
    if "ActorDied" in told or "actor died" in told or not told:
        return f"its process died {attempts} (killed, or out of memory)"
    return f"it failed {attempts}: {told.splitlines()[-1]}"
