"""The peak of memory while something runs."""

from collections.abc import Callable

import torch

from pfltune.federation.memory import held_mb, peak_mb, reset_peak


def peak_above(prepare: Callable[[], Callable[[], object]], device: torch.device) -> float:
    """MB (10^6 bytes) at the peak of the call that ``prepare`` makes, above what was held before.

    What ``prepare`` leaves in memory is part of the figure; its own peak is not.
    """
    before = held_mb(device)
    run = prepare()
    reset_peak(device)
    run()
    return peak_mb(device) - before
