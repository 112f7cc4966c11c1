"""The processors that there are, and whether torch can use them."""

import os
import platform
from pathlib import Path

import torch

from pfltune.devices import processor_name
from pfltune.doctor.finding import Finding, Place
from pfltune.federation.memory import whole_mb
from pfltune.text import count

DRIVER = Path("/proc/driver/nvidia/version")
"""There where Linux has NVIDIA's driver."""
BUSY = 0.1
"""Share of a GPU's memory above which somebody else is at work on it."""


def processor(place: Place) -> Finding:
    """The CPU, its cores and its memory."""
    cores, memory = os.cpu_count() or 1, whole_mb(torch.device("cpu"))
    system = f"{platform.system()} {platform.release()}"
    words = (
        f"{processor_name('cpu')}; {count(cores, 'core')}, {memory / 1e3:.1f} GB; {system}; "
        f"trials run on {place.device}"
    )
    return Finding("processor", "ok", words, figures={"cores": cores, "memory MB": memory})


def gpus(_: Place) -> Finding:
    """Which GPUs torch sees, and whether it is built for them."""
    if not torch.cuda.is_available():
        return _none()
    names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    free, whole = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    words = (
        f"{count(len(names), 'GPU')}: {', '.join(sorted(set(names)))}; {whole / 1e9:.1f} GB, "
        f"compute capability {major}.{minor}, CUDA {torch.version.cuda}"
    )
    figures = {"gpus": len(names), "memory MB": whole / 1e6, "free MB": free / 1e6}
    built = {int(arch.partition("_")[2].rstrip("abcf")) for arch in torch.cuda.get_arch_list()}
    if not any(major * 10 <= arch <= major * 10 + minor for arch in built):
        advice = f"install a torch built for sm_{major}{minor}: https://pytorch.org"
        return Finding("GPU", "wrong", f"{words}; torch is not built for it", advice, figures)
    if free < (1 - BUSY) * whole:
        advice = "nvidia-smi shows whose it is; --gpus-per-trial auto counts on all of it"
        told = f"{words}; {(whole - free) / 1e9:.1f} GB of it are taken"
        return Finding("GPU", "note", told, advice, figures)
    return Finding("GPU", "ok", words, figures=figures)


def _none() -> Finding:
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs alone"
    if not DRIVER.exists():
        return Finding("GPU", "note", f"none; torch is built for {build}: trials run on the CPU")
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        advice = "unset CUDA_VISIBLE_DEVICES, if trials are to run on a GPU"
        return Finding("GPU", "note", "hidden by CUDA_VISIBLE_DEVICES", advice)
    advice = "install a torch built for the driver's CUDA (https://pytorch.org), or a newer driver"
    words = f"NVIDIA's driver is here, and torch, built for {build}, sees no GPU"
    return Finding("GPU", "wrong", words, advice)
