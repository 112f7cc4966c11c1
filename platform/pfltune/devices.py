"""The processors on which trials run, and the way there."""

import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

CPU_INFO = Path("/proc/cpuinfo")


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on ``device``; the CPU does not wait until a GPU has taken it.

    For what a method draws, since generators are the CPU's: ``moved(torch.randn(…), like.device)``.
    """
    if device.type == "cpu":
        return tensor
    return _sent(tensor, device)


def normals(sizes: Iterable[int], seed: int, like: Tensor) -> Iterator[Tensor]:
    """Draws of N(0, 1), vectors of these sizes one after another, made where ``like`` is.

    On a GPU they are others than on a CPU. For what would take too long to draw on the CPU: a
    direction of the size of the model, again and again.
    """
    rng = torch.Generator(like.device).manual_seed(seed)
    for size in sizes:
        yield torch.randn(size, generator=rng, device=like.device, dtype=like.dtype)


def processor_name(device: str) -> str:
    """The model of the GPU or the CPU, with the vector instructions that torch uses on the latter.

    Two machines of one name give the same figures to the last bit, and about as fast.
    """
    if device == "cuda":
        return torch.cuda.get_device_name()
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, platform.processor() or platform.machine())
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def brought_over(values: list[Tensor]) -> Any:
    """Numbers of one shape as lists; the CPU waits for the device, so bring many at once."""
    return _received(torch.stack(values))


def as_arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Tensors as scikit-learn takes them; the CPU waits for the device."""
    return [_fetched(tensor) for tensor in tensors]


def settle(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, so that seconds tell of what took them."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.pin_memory().to(device, non_blocking=True)


def _received(tensor: Tensor) -> Any:
    return tensor.tolist()


def _fetched(tensor: Tensor) -> np.ndarray:
    found: np.ndarray = tensor.cpu().numpy()
    return found
