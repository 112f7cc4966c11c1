"""Memory of the GPU where there is one, else of this machine: its size, and a trial's peak."""

import os
import resource
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def whole_mb(device: torch.device) -> float:
    """All that there is, in MB (10^6 bytes)."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 1e6
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6


def reset_peak(device: torch.device) -> None:
    """Start measuring anew, so that a reused process reports the trial at hand."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_REFS.exists():
        # Writing 5 resets Linux' high-water mark VmHWM to the present size (man 5 proc).
        CLEAR_REFS.write_text("5")


def held_mb(device: torch.device) -> float:
    """What is held now in MB (10^6 bytes): on the GPU, or by this process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6
    return _status("VmRSS") or 0.0


def peak_mb(device: torch.device) -> float:
    """Peak since :func:`reset_peak` in MB (10^6 bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    found = _status("VmHWM")
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 if found is None else found
    )


def _status(field: str) -> float | None:
    """A figure of Linux' own account of this process in MB, or None where there is none."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    kilobytes = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return next((int(kb) * 1024 / 1e6 for kb in kilobytes), None)
