"""What trials run on."""

import os
from dataclasses import dataclass

import torch

from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.fastest import Asked, fastest
from pfltune.scenario import Scenario

STATES_SHARE = 0.25
"""Share of the machine's memory that all trials together may fill with personal states."""


@dataclass(frozen=True)
class Hardware:
    """What trials run on; recorded, since device, precision and threads move the last bits.

    Attributes:
        workers: trials side by side.
        threads: torch threads per trial.
        gpus_per_trial: share of a GPU that a trial is given.
        compute: how each trial computes.
    """

    workers: int
    threads: int
    gpus_per_trial: float
    compute: Compute

    @classmethod
    def choose(
        cls,
        scenario: Scenario,
        workers: int | None,
        threads: int,
        device: str,
        gpus_per_trial: float | None,
        precision: Asked,
    ) -> "Hardware":
        """Fill in what was left open: a GPU per trial, room for workers, the faster precision.

        Raises:
            UserError: more GPU than this machine has.
        """
        gpus = torch.cuda.device_count() if device == "cuda" else 0
        share = (1.0 if gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
        if share > gpus:
            raise UserError(
                f"--gpus-per-trial {share:g} asks for a GPU share that is not there: trials would "
                f"run on {device} with {gpus} GPUs; possible: 0 to {gpus}"
            )
        cores = max(1, (os.cpu_count() or 1) // threads)
        room = min(cores, int(gpus / share)) if share else cores
        side_by_side = workers or room
        return cls(
            side_by_side,
            threads,
            share,
            choose_compute(scenario, threads, device, precision, side_by_side),
        )


def choose_compute(
    scenario: Scenario, threads: int, device: str, precision: Asked, workers: int = 1
) -> Compute:
    """How trials of this scenario compute; sets torch's number of threads for good."""
    torch.set_num_threads(threads)
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    plain = Compute(device=device, state_mb=round(STATES_SHARE * memory_mb / workers))
    return fastest(precision, plain, scenario.without_clients())
