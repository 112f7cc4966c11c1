"""A federated trial as Ray Tune runs it: one round per step, in a process that is used again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from pfltune.errors import Diverged
from pfltune.federation.checkpoint import load_trial, save_trial
from pfltune.federation.compute import Compute
from pfltune.federation.ground import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method
from pfltune.tuning.candidate import OBJECTIVE, Candidate


class FederatedTrainable(tune.Trainable):
    """Steps a :class:`FederatedTrial`; its configuration is a :class:`Candidate`."""

    def setup(
        self,
        config: dict[str, Any],
        grounds: Mapping[str, Federation] | None = None,
        compute: Compute | None = None,
    ) -> None:
        """Start in a fresh process.

        Args:
            config: the candidate.
            grounds: the federation by phase; that of the search lacks the test indices. Handed over
                together, so that Ray keeps one copy of the images.
            compute: how trials compute, on as many threads as Ray gives them cores.
        """
        torch.set_num_threads(int(ray.get_runtime_context().get_assigned_resources()["CPU"]))
        self._grounds = grounds or {}
        self._compute = compute
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in the same process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One round. Divergence ends the trial as failed, with a finite objective."""
        try:
            report = self._trial.step()
        except Diverged as error:
            return {"round": self._trial.round, OBJECTIVE: 0.0, "failure": str(error), "done": True}
        selection = self._trial.selection
        result: dict[str, Any] = {
            **report.metrics,
            "round": report.round,
            OBJECTIVE: selection.accuracy,
        }
        if self._trial.finished:
            result |= self._trial.footprint()
            result["done"] = True
            result["selected"] = {
                "round": selection.round,
                "val": list(selection.evaluation.val),
                "test": list(selection.evaluation.test or ()),
            }
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the trial's state."""
        save_trial(self._trial, Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a state written by :meth:`save_checkpoint`."""
        load_trial(self._trial, Path(checkpoint))

    def _begin(self, config: dict[str, Any]) -> None:
        candidate = Candidate.from_config(config)
        method = make_method(candidate.method, candidate.knobs)
        federation = self._grounds[candidate.phase]
        self._trial = FederatedTrial(method, federation, candidate.seed, self._compute)
