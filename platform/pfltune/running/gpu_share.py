"""How many trials a GPU holds at once, by what one of them takes."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from pfltune import figures
from pfltune.federation.autotune import practice_federation
from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.remembered import ROOM_MB
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method

CONTEXT_MB = 600.0
"""What CUDA itself takes in each process."""
USABLE = 0.9
"""Share of a GPU's memory that trials may count on."""
MOST = 16
"""No GPU trains more trials at once with any gain."""


def gpu_share(methods: Iterable[Method], federation: Federation, compute: Compute) -> float:
    """The share 1/k of a GPU with which k trials of the hungriest method fit side by side.

    Measured in a round of each method on black images; added are the images themselves, and what
    may be remembered of a client that has more of them.

    Args:
        methods: the methods of a comparison with the knobs of their first trials.
        federation: backbone, data set and protocol count.
        compute: device, precision and clients at once.
    """
    images_mb = federation.dataset.images.nbytes / 1e6
    need = max(peak_of_round(method, federation, compute) for method in methods)
    total = torch.cuda.get_device_properties(0).total_memory / 1e6
    return share_for(need + images_mb + ROOM_MB, total)


def share_for(need_mb: float, total_mb: float) -> float:
    """1/k for the most trials of ``need_mb`` that fit into ``total_mb``; 1 if not even one does."""
    fitting = int(USABLE * total_mb / (need_mb + CONTEXT_MB))
    return 1.0 / min(max(fitting, 1), MOST)


def peak_of_round(method: Method, federation: Federation, compute: Compute) -> float:
    """MB (10^6 bytes) that a trial holds at most in its first round."""
    practice = practice_federation(federation, clients=max(2, compute.cohort))
    trial = FederatedTrial(method, practice, seed=0, compute=replace(compute, state_mb=1e6))
    return trial.step().metrics[figures.PEAK.name]
