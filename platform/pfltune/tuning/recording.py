"""Telling MLflow what Ray Tune's trials do; runs in the driver only."""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial

from pfltune.registry import short_name
from pfltune.tracking.recorder import Recorder
from pfltune.tuning.callback import DriverCallback
from pfltune.tuning.candidate import Candidate


class RecordingCallback(DriverCallback):
    """Exactly one MLflow run per trial, however often Tune pauses and starts it again.

    Args:
        recorder: writes the runs.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._runs: dict[str, str] = {}

    def on_trial_start(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Open the trial's run, the first time."""
        self._run_of(trial)

    def on_trial_result(
        self, iteration: int, trials: list, trial: Trial, result: dict, **info: Any
    ) -> None:
        """Log a round."""
        self._recorder.log_round(self._run_of(trial), result["round"], result)

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Close the run of a trial that ended or was stopped at a rung."""
        result = trial.last_result
        failure = result.get("failure", "")
        selected = result.get("selected")
        ended = "finished" if selected else "stopped early"
        self._recorder.end_trial(
            self._run_of(trial),
            "failed" if failure else ended,
            rounds=result.get("round", 0),
            selected=selected,
            failure=failure,
        )

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Close the run of a trial that crashed."""
        told = Path(trial.error_file).read_text().strip() if trial.error_file else ""
        reason = told.splitlines()[-1] if told else "the trial's process died"
        rounds = (trial.last_result or {}).get("round", 0)
        self._recorder.end_trial(self._run_of(trial), "failed", rounds=rounds, failure=reason)

    def get_state(self) -> dict[str, Any]:
        """What a restored driver needs to go on with the same runs."""
        return {"runs": self._runs, "parents": self._recorder.parents}

    def set_state(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`get_state`."""
        self._runs = state["runs"]
        self._recorder.parents = state["parents"]

    def _run_of(self, trial: Trial) -> str:
        if trial.trial_id not in self._runs:
            candidate = Candidate.from_config(trial.config)
            name = short_name(candidate.method)
            tags = {
                "phase": candidate.phase,
                "seed": str(candidate.seed),
                "trial": str(candidate.index),
                "generation": str(candidate.generation),
            }
            self._runs[trial.trial_id] = self._recorder.start_trial(
                name, f"{name}-{candidate.phase}-{candidate.index}", tags, candidate.knobs
            )
        return self._runs[trial.trial_id]
