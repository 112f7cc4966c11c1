"""What is told of Ray Tune's trials to the journal; runs in the driver only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from pfltune.figures import may_be_shown
from pfltune.running.dealt import DealtTrials
from pfltune.running.given import candidate_of, sitting_of
from pfltune.running.trial_log import TrialLog
from pfltune.search.candidate import SCORE
from pfltune.stages import Stage
from pfltune.tracking.events import TrialEnded
from pfltune.trials.stored import StoredRound

OUT_OF_DISK = ("No space left on device", "Disk quota exceeded", "Read-only file system")


class JournalCallback(Callback):
    """Tells each trial's start, rounds and end to the log of its sitting.

    Args:
        dealt: the trials of each sitting.
    """

    def __init__(self, dealt: Mapping[str, DealtTrials]) -> None:
        self._dealt = dealt

    def __getstate__(self) -> dict:
        """Nothing: Tune pickles its callbacks with an experiment that is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Note the trial, the first time."""
        self._log(trial).begin(candidate_of(trial))

    def on_trial_result(
        self, iteration: int, trials: list, trial: Trial, result: dict, **info: Any
    ) -> None:
        """Note the rounds that are new, those that a checkpoint brought along too."""
        log, candidate = self._log(trial), candidate_of(trial)
        log.begin(candidate)
        for done in [*result.get("history", ()), result]:
            stored = StoredRound(done["round"], done[SCORE], _shown(done, candidate.stage))
            if "failure" not in done and log.round(candidate, stored):
                # Processes may die often in a trial of days; it fails when it gets no further.
                trial.run_metadata.num_failures = 0

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Note the end of a trial, by itself or at a rung."""
        result = trial.last_result or {}
        failure, selected = result.get("failure", ""), result.get("selected")
        candidate, reached = candidate_of(trial), result.get("round", 0)
        event = TrialEnded(candidate.name, "stopped early", reached)
        if failure:
            own = result["own_fault"]
            event = TrialEnded(candidate.name, "failed", reached, failure, own_fault=own)
        elif selected:
            event = TrialEnded(candidate.name, "finished", reached, selected=selected)
        self._log(trial).keep_and_end(candidate, event)

    def on_trial_recover(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Stop everything where no trial can go on.

        Raises:
            Halted: the disk is full.
        """
        told = error_text(trial)
        if any(words in told for words in OUT_OF_DISK):
            self._log(trial).halt(f"a checkpoint could not be written: {told.splitlines()[-1]}")

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Note that a trial crashed and is not started again."""
        log, candidate = self._log(trial), candidate_of(trial)
        log.begin(candidate)
        reached = (trial.last_result or {}).get("round", 0)
        log.end(TrialEnded(candidate.name, "failed", round=reached, failure=_reason(trial)))

    def _log(self, trial: Trial) -> TrialLog:
        return self._dealt[sitting_of(trial)].log


def _shown(done: dict[str, Any], stage: Stage) -> dict[str, float]:
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
