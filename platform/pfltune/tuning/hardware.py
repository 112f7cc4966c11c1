"""What trials run on."""

import os
from dataclasses import dataclass

import torch

from pfltune.errors import UserError


@dataclass(frozen=True)
class Hardware:
    """What trials run on; recorded, since threads and device move the last bits.

    Attributes:
        workers: trials side by side.
        threads: torch threads per trial.
        device: ``cpu`` or ``cuda``.
        gpus_per_trial: share of a GPU that a trial is given.
    """

    workers: int
    threads: int = 1
    device: str = "cpu"
    gpus_per_trial: float = 0.0

    @classmethod
    def choose(
        cls, workers: int | None, threads: int, device: str, gpus_per_trial: float | None
    ) -> "Hardware":
        """Fill in what was left open: a GPU per trial, as many workers as there is room for.

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
        return cls(workers or room, threads, device, share)
