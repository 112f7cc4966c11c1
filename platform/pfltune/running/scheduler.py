"""Which trial runs next: Ray Tune's view of the brackets."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from pfltune.ranking import Standing
from pfltune.running.callback import error_text
from pfltune.running.dealt import DealtTrials
from pfltune.running.given import candidate_of, sitting_of
from pfltune.running.private_api import stop_trial
from pfltune.running.stopping import Stopping
from pfltune.search.candidate import SCORE
from pfltune.search.halving import Verdict


class RungScheduler(TrialScheduler):
    """Pauses search trials at rungs and lets survivors go on, one bracket per generation.

    While one method waits at a rung, the pool works on the others. Confirmation trials are
    never paused.

    Args:
        dealt: the trials of each sitting by its name; their brackets decide who goes on.
        stopping: whether the user has asked to stop; then every trial is paused after its round.
        settle: called before every choice, when all that was told of trials is in the journal.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        dealt: Mapping[str, DealtTrials],
        stopping: Stopping,
        settle: Iterable[Callable[[], None]] = (),
    ) -> None:
        super().__init__()
        self._metric = SCORE
        self._dealt = dealt
        self._stopping = stopping
        self._settle = tuple(settle)

    def __getstate__(self) -> dict:
        """Nothing: Tune pickles it with an experiment that is never restored."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing: a trial is in its bracket since it was dealt."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        """Pause at a rung until the others have come; all that a trial did before counts too."""
        self._reach(trial, result)
        verdict = self._verdict(trial)
        if verdict == "stop":
            return self.STOP
        return self.PAUSE if verdict == "wait" or self._stopping else self.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        """A trial ended by itself or was stopped; the others may now be complete at their rung.

        Of the result with which a trial ends Tune asks nothing, and that may be beyond a rung.
        """
        self._reach(trial, result)
        self._leave(trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """The same for a paused trial."""
        self._leave(trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The same for a failed trial, unless Tune is about to start it again.

        A trial that is started again because a GPU had no memory left for it gets twice the share.
        """
        if trial.status != Trial.ERROR:
            self._leave(trial)
        elif trial.placement_group_factory and _ran_out_of_gpu_memory(trial):
            resources = trial.placement_group_factory.required_resources
            share = min(1.0, 2 * resources.get("GPU", 0.0))
            trial.update_resources({"cpu": resources["CPU"], "gpu": share})

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Survivors first: they unblock their method's next generation. Then new trials."""
        for settle in self._settle:
            settle()
        trials = tune_controller.get_trials()
        if self._stopping:
            self._stopping.settle(any(trial.status == Trial.RUNNING for trial in trials))
            return None
        # A trial that is still being saved for its pause is RUNNING: leave it until it is PAUSED.
        paused = [trial for trial in trials if trial.status == Trial.PAUSED]
        verdicts = [(trial, self._verdict(trial)) for trial in paused]
        for trial, verdict in verdicts:
            if verdict == "stop":
                stop_trial(tune_controller, trial)
        survivors = (trial for trial, verdict in verdicts if verdict == "go on")
        waiting = (trial for trial in trials if trial.status == Trial.PENDING)
        return next(survivors, None) or next(waiting, None)

    def debug_string(self) -> str:
        """For Ray's own output, which pfltune switches off."""
        return "halving"

    def _verdict(self, trial: Trial) -> Verdict:
        return self._dealt[sitting_of(trial)].brackets.verdict(candidate_of(trial))

    def _reach(self, trial: Trial, result: dict) -> None:
        """Note how a trial stood after each round that a result tells of."""
        candidate, brackets = candidate_of(trial), self._dealt[sitting_of(trial)].brackets
        for done in [*result.get("history", ()), result]:
            if SCORE in done and "failure" not in done:
                brackets.reach(candidate, Standing.of(done["round"], done[SCORE], done))

    def _leave(self, trial: Trial) -> None:
        self._dealt[sitting_of(trial)].brackets.leave(candidate_of(trial))


def _ran_out_of_gpu_memory(trial: Trial) -> bool:
    return "OutOfMemoryError" in error_text(trial)
