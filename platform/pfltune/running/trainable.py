"""A federated trial as Ray Tune runs it: one round per step, in a process that is used again."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import torch
from ray import tune

from pfltune.errors import Diverged, UserError, told
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.trial import FederatedTrial
from pfltune.models.bundle import write_bundle
from pfltune.models.keeping import bundle_place, is_wanted
from pfltune.running.given import SITTING, Given
from pfltune.running.limits import OverTime, time_limit
from pfltune.running.private_api import TrainingResult
from pfltune.search.candidate import SCORE, Candidate
from pfltune.storage import open_storage
from pfltune.trials.training import configured_as, selected_of, told_of

log = logging.getLogger(__name__)


class FederatedTrainable(tune.Trainable):
    """Steps a :class:`FederatedTrial`; its configuration is a :class:`Candidate`.

    A trial finds its own checkpoint, whichever process begins it, after a pause, a crash or a
    restart of everything; Tune's checkpoints stay empty.
    """

    _spent: float

    def setup(
        self,
        config: dict[str, Any],
        given: Mapping[str, Given],
    ) -> None:
        """Start in a fresh process.

        Args:
            config: the candidate and the name of its sitting.
            given: by sitting, all of them together, so that Ray keeps one copy of images that
                several share.
        """
        self._all_given = given
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in the same process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One round; the first step tells all rounds that the checkpoint knows instead.

        What the trial itself is to blame for ends it as failed, with a finite score. The lack
        of memory or disk is raised: Tune starts the trial again from its checkpoint.
        """
        try:
            trial, known = self._resumed()
            self._stepped = time.monotonic()
            with time_limit(self._options.limit_s - self._spent):
                result = known or self._trained(trial)
        except (OSError, MemoryError, torch.OutOfMemoryError) as error:
            _forget_notes(error)
            raise
        except OverTime:
            limit_s = self._options.limit_s
            return self._failure(f"it took longer than the {limit_s:g} s allowed", own_fault=False)
        except Diverged as error:
            return self._failure(str(error), own_fault=True)
        except (Exception, SystemExit) as error:
            if "not enough memory" in str(error):  # how torch says it on a CPU
                _forget_notes(error)
                raise
            return self._failure(told(error), own_fault=not _of_the_machine(error))
        if self._due():
            self._save()
        self._spent = self._elapsed()
        return result

    def save(self, checkpoint_dir: str | None = None) -> TrainingResult:
        """Write the trial's own checkpoint, for a pause; Tune is given an empty one."""
        self._save()
        return TrainingResult(checkpoint=None, metrics={})

    def _begin(self, config: dict[str, Any]) -> None:
        self._candidate = Candidate.from_config(config)
        self._given = self._all_given[config[SITTING]]
        self._options = self._given.options
        self._trial: FederatedTrial | None = None
        self._history: list[dict[str, Any]] = []
        self._spent = 0.0

    def _resumed(self) -> tuple[FederatedTrial, dict[str, Any] | None]:
        """The trial, and all rounds that a checkpoint knows if it has just been read."""
        if self._trial is not None:
            return self._trial, None
        self._trial = trial = self._load()
        if not self._history:
            return trial, None
        *earlier, latest = self._history
        return trial, self._concluded(trial, {**latest, "history": earlier})

    def _trained(self, trial: FederatedTrial) -> dict[str, Any]:
        report = trial.step()
        result = {
            **told_of(trial, report),
            "round": report.round,
            SCORE: trial.selection.score,
            "elapsed_s": self._elapsed(),
        }
        self._history.append(result)
        return self._concluded(trial, result)

    def _load(self) -> FederatedTrial:
        candidate = self._candidate
        federation = self._given.federations[candidate.stage]
        configured = configured_as(candidate.method, candidate.knobs, federation)
        keeps = is_wanted(self._options.models, candidate.stage)
        trial = FederatedTrial(*configured, candidate.seed, self._given.compute, keeps)
        place = open_storage(self._options.checkpoints, candidate.folder)
        self._checkpoints = Checkpoints(place)
        self._history = self._checkpoints.load(trial)
        self._spent = self._history[-1]["elapsed_s"] if self._history else 0.0
        self._saved_at = time.monotonic()
        return trial

    def _concluded(self, trial: FederatedTrial, result: dict[str, Any]) -> dict[str, Any]:
        if not trial.finished:
            return result
        if trial.selected is not None:
            self._write_model(trial)
        end = {"done": True, "selected": selected_of(trial)}
        return {**result, **end}

    def _write_model(self, trial: FederatedTrial) -> None:
        """What clients predict with, to be taken by the driver; without it the figures stand."""
        try:
            place = bundle_place(self._options.checkpoints, self._candidate.folder)
            write_bundle(trial, place)
        except OSError as error:
            log.warning("the model of %s cannot be written: %s", self._candidate.name, error)

    def _failure(self, reason: str, own_fault: bool) -> dict[str, Any]:
        reached = self._history[-1]["round"] if self._history else 0
        failed = {"failure": reason, "own_fault": own_fault, "done": True}
        goal = self._given.federations[self._candidate.stage].goal
        return {"round": reached, SCORE: goal.nothing, **failed}

    def _elapsed(self) -> float:
        """Seconds in its steps so far, in earlier processes too; waiting for a turn is no work."""
        return self._spent + time.monotonic() - self._stepped

    def _due(self) -> bool:
        trial = self._trial
        if trial is None or trial.finished:
            return False
        rounds = trial.round - self._checkpoints.round
        seconds = time.monotonic() - self._saved_at
        return rounds > 0 and (rounds >= self._options.rounds or seconds >= self._options.seconds)

    def _save(self) -> None:
        if self._trial and self._trial.round > self._checkpoints.round:
            self._checkpoints.save(self._trial, self._history)
            self._saved_at = time.monotonic()


def _of_the_machine(error: BaseException) -> bool:
    """Whether an error tells of a machine: a file or package that it lacks, a GPU that broke."""
    kinds = ImportError | UserError | torch.AcceleratorError
    words = ("CUDA error", "cuDNN error", "NCCL error")
    return isinstance(error, kinds) or any(word in str(error) for word in words)


def _forget_notes(error: BaseException) -> None:
    """The last line of what Tune writes down is what happened, not where."""
    error.__notes__ = []
