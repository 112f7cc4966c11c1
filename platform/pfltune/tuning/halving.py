"""Synchronous successive halving, one bracket per method and generation."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from pfltune.tuning.candidate import OBJECTIVE, Candidate
from pfltune.tuning.plan import Plan


@dataclass
class Bracket:
    """The halving of one generation, over trial indices; knows nothing of Ray.

    Attributes:
        size: number of trials of the generation.
        rungs: rounds after which it is halved, ascending.
        plan: says how many survive.
    """

    size: int
    rungs: list[int]
    plan: Plan
    alive: set[int] = field(default_factory=set)
    added: int = 0
    values: dict[int, float] = field(default_factory=dict)

    def add(self, index: int) -> None:
        """A trial of the generation exists."""
        self.alive.add(index)
        self.added += 1

    def remove(self, index: int) -> None:
        """A trial ended by itself."""
        self.alive.discard(index)
        self.values.pop(index, None)

    def waits_at(self, round_number: int) -> bool:
        """Whether a trial stops here until the others have come."""
        return bool(self.rungs) and round_number >= self.rungs[0]

    def arrive(self, index: int, value: float) -> None:
        """A trial has reached the next rung with this objective."""
        self.values[index] = value

    def settle(self) -> tuple[list[int], list[int]]:
        """(survivors, losers) if every living trial has reached the rung, else two empty lists.

        Ties go to the earlier trial.
        """
        complete = self.added == self.size and self.alive and self.alive == set(self.values)
        if not self.rungs or not complete:
            return [], []
        ranked = sorted(self.alive, key=lambda i: (-self.values[i], i))
        kept = self.plan.survivors(len(ranked))
        self.rungs.pop(0)
        self.values.clear()
        self.alive = set(ranked[:kept])
        return ranked[:kept], ranked[kept:]


class GenerationHalving(TrialScheduler):
    """Ray Tune's view of the brackets: pauses trials at rungs, lets survivors go on.

    While one method waits at a rung, the pool works on the others. Confirmation trials are
    never paused.
    """

    _supports_buffered_results = False

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._metric = OBJECTIVE
        self._plan = plan
        self._brackets: dict[tuple[str, int], Bracket] = {}
        self._trials: dict[tuple[str, int, int], Trial] = {}
        self._ready: list[Trial] = []
        self._losers: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Put a search trial into its bracket."""
        candidate = Candidate.from_config(trial.config)
        if candidate.phase == "search":
            self._bracket(candidate).add(candidate.index)
            self._trials[*candidate.bracket, candidate.index] = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        """Pause at a rung; the last to arrive there settles it for all."""
        candidate = Candidate.from_config(trial.config)
        if candidate.phase == "confirm":
            return self.CONTINUE
        self._forget(trial)
        bracket = self._bracket(candidate)
        if not bracket.waits_at(result["round"]):
            return self.CONTINUE
        bracket.arrive(candidate.index, result[OBJECTIVE])
        self._settle(candidate)
        decision = self.PAUSE
        if trial in self._ready:
            decision = self.CONTINUE
        elif trial in self._losers:
            decision = self.STOP
        if decision != self.PAUSE:
            self._forget(trial)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        """A trial ended by itself or was stopped; the others may now be complete at their rung."""
        self._leave(trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """The same for a paused trial."""
        self._leave(trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The same for a failed trial."""
        self._leave(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Survivors first: they unblock their method's next generation. Then new trials."""
        # A trial that is still being saved for its pause is RUNNING: leave it until it is PAUSED.
        for trial in [t for t in self._losers if t.status == Trial.PAUSED]:
            tune_controller.stop_trial(trial)
        for trial in self._ready:
            if trial.status in (Trial.PAUSED, Trial.PENDING):
                return trial
        waiting = (t for t in tune_controller.get_trials() if t.status == Trial.PENDING)
        return next(waiting, None)

    def debug_string(self) -> str:
        """For Ray's own output, which pfltune switches off."""
        return f"halving {len(self._brackets)} brackets"

    def save(self, checkpoint_path: str) -> None:
        """Write the whole state for a later :meth:`restore`."""
        Path(checkpoint_path).write_bytes(pickle.dumps(self.__dict__))

    def restore(self, checkpoint_path: str) -> None:
        """Read a state that this program wrote into its own results folder."""
        self.__dict__.update(pickle.loads(Path(checkpoint_path).read_bytes()))

    def _bracket(self, candidate: Candidate) -> Bracket:
        if candidate.bracket not in self._brackets:
            size = self._plan.generations()[candidate.generation].size
            self._brackets[candidate.bracket] = Bracket(size, self._plan.rungs(size), self._plan)
        return self._brackets[candidate.bracket]

    def _forget(self, trial: Trial) -> None:
        for queue in (self._ready, self._losers):
            if trial in queue:
                queue.remove(trial)

    def _leave(self, trial: Trial) -> None:
        self._forget(trial)
        candidate = Candidate.from_config(trial.config)
        if candidate.phase == "search":
            self._bracket(candidate).remove(candidate.index)
            self._settle(candidate)

    def _settle(self, candidate: Candidate) -> None:
        survivors, losers = self._bracket(candidate).settle()
        self._ready += [self._trials[*candidate.bracket, index] for index in survivors]
        self._losers += [self._trials[*candidate.bracket, index] for index in losers]
