"""What a trial is given on its way through Ray Tune: its sitting, itself, and what that needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial

from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.running.trial_options import TrialOptions
from pfltune.search.candidate import Candidate
from pfltune.stages import Stage

SITTING = "sitting"
"""The name of a trial's sitting, in its configuration beside the candidate."""


@dataclass(frozen=True)
class Given:
    """What the trials of one sitting have in common.

    Attributes:
        federations: by stage; that of the search lacks the test indices.
        compute: how trials compute.
        options: checkpoints and the limit of time.
    """

    federations: Mapping[Stage, Federation]
    compute: Compute
    options: TrialOptions


def to_config(sitting: str, candidate: Candidate) -> dict[str, Any]:
    """A trial of a sitting as Ray Tune carries it."""
    return {SITTING: sitting, **candidate.to_config()}


def candidate_of(trial: Trial) -> Candidate:
    """Which trial of its sitting one of Tune's is."""
    return Candidate.from_config(trial.config)


def sitting_of(trial: Trial) -> str:
    """The name of its sitting."""
    return str(trial.config[SITTING])
