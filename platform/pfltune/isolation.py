"""What torch and Python keep for a whole process, held still around a method's code.

Trials of many methods share a process. One that sets torch's default dtype, the number of threads
or a generator would change all others; so each stretch of a trial begins with the same settings,
and what a method leaves changed is put back.
"""

import logging
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack, _pop_mode

from pfltune.errors import UserError, told
from pfltune.randomness import derive

log = logging.getLogger(__name__)

KEPT = object()
"""The usual value of what begins as the process has it."""
DEVICES = ("cpu", "cuda")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


@dataclass(frozen=True)
class Switch:
    """One setting of the whole process, or of the calling thread.

    Attributes:
        name: as a warning calls it.
        read: its present value; two that are equal mean the same.
        write: sets it to a value that was read.
        usual: the value that a trial begins with.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    usual: Any = KEPT


@contextmanager
def contained(
    whose: str, wanted: Mapping[str, Any] | None = None, seed: int | None = None
) -> Iterator[None]:
    """Run ``whose`` code on the usual settings; afterwards all are as they were before.

    Not while another thread begins something of its own, as Ray does when it starts: its changes
    of the environment would be undone too.

    Args:
        whose: named in a warning if it left something changed.
        wanted: settings by name that are to be other than usual.
        seed: of the global generators inside the block; without one they go on.
    """
    before, draws = _settings(), _generators()
    usual = {s.name: s.usual for s in SWITCHES if s.usual is not KEPT}
    _set({**before, **usual, **(wanted or {})})
    inside = _settings()
    if seed is not None:
        _seed(seed)
    try:
        yield
    finally:
        after = _settings()
        changed = [name for name, value in inside.items() if after[name] != value]
        _set(before)
        _set_generators(draws)
        if loud := [name for name in changed if name not in QUIET]:
            log.warning("%s changed %s; it was put back", whose, ", ".join(loud))


@contextmanager
def restored(whose: str, seed: int | None = None) -> Iterator[None]:
    """As :func:`contained`, on whatever settings there are: for code that is not a trial's own."""
    with contained(whose, _settings(), seed):
        yield


@contextmanager
def aside(purpose: str) -> Iterator[None]:
    """Draw as ever inside the block; all global generators go on after it as if there were none.

    For what is tried out, perhaps in another trial's stead: nothing may depend on whether it was.
    """
    before = _generators()
    _seed(derive(0, purpose))
    try:
        yield
    finally:
        _set_generators(before)


def draws() -> tuple[Any, ...]:
    """The states of the global generators of torch, numpy and Python, to be compared."""
    cpu, gpus, numpys, pythons = _generators()
    of_torch = tuple(state.numpy().tobytes() for state in (cpu, *gpus))
    return of_torch, (numpys[1].tobytes(), *numpys[2:]), pythons


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute on ``count`` threads of torch inside the block, and nothing else."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def in_a_line(whose: str, file: str | None = None) -> Iterator[None]:
    """Whatever ``whose`` code raises is a mistake that its author reads in one line.

    Args:
        whose: begins the line.
        file: of the code; the line in it that was reached last is named.

    Raises:
        UserError: the code raised anything, or would have ended the program.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        at = next((f" (line {f.lineno})" for f in reversed(frames) if f.filename == file), "")
        raise UserError(f"{whose}: {told(error)}{at}") from error


def snapshot() -> dict[str, Any]:
    """What the whole process has now, by name: settings and states of global generators.

    Settings that libraries change by themselves are left out.
    """
    loud = {name: value for name, value in _settings().items() if name not in QUIET}
    (of_cpu, *_), of_numpy, of_python = draws()
    return {
        **loud,
        "torch's global generator": of_cpu,
        "numpy's global generator": of_numpy,
        "Python's global generator": of_python,
    }


def _settings() -> dict[str, Any]:
    return {switch.name: switch.read() for switch in SWITCHES}


def _set(values: Mapping[str, Any]) -> None:
    for switch in SWITCHES:
        if switch.read() != values[switch.name]:
            with suppress(OSError, ValueError):  # a folder that is gone, a signal of C
                switch.write(values[switch.name])


def _generators() -> tuple[Any, ...]:
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), gpus, np.random.get_state(), random.getstate()


def _set_generators(states: tuple[Any, ...]) -> None:
    cpu, gpus, numpys, pythons = states
    torch.set_rng_state(cpu)
    if gpus:
        torch.cuda.set_rng_state_all(gpus)
    np.random.set_state(numpys)
    random.setstate(pythons)


def _seed(seed: int) -> None:
    # torch.manual_seed would note a stack trace for every kind of device that is not there.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(derive(seed, "numpy") % 2**32)
    random.seed(seed)


def _attribute(owner: Any, name: str, usual: Any, told: str) -> Switch:
    return Switch(told, partial(getattr, owner, name), partial(setattr, owner, name), usual)


def _close_modes(count: int) -> None:
    while len(_get_current_function_mode_stack()) > count:
        torch._C._pop_torch_function_stack()


def _close_dispatch_modes(count: int) -> None:
    while len(_get_current_dispatch_mode_stack()) > count:
        _pop_mode()


def _default_device() -> str:
    return str(torch.get_default_device())


def _set_default_device(device: str) -> None:
    # None, not "cpu", which would be asked at every call of torch.
    torch.set_default_device(None if device == "cpu" else device)


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set by one of torch's two ways, and then by the other
        return "mixed"


def _set_matmul_precision(value: str) -> None:
    if value != "mixed":
        torch.set_float32_matmul_precision(value)


def _deterministic() -> tuple[bool, bool]:
    enabled = torch.are_deterministic_algorithms_enabled()
    return enabled, torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _autocast() -> tuple[tuple[bool, torch.dtype], ...]:
    return tuple((torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in DEVICES)


def _set_autocast(value: tuple[tuple[bool, torch.dtype], ...]) -> None:
    for device, (enabled, dtype) in zip(DEVICES, value, strict=True):
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


def _flushes_denormals() -> bool:
    return sys.float_info.min / 2 == 0.0


def _module_hooks() -> list[dict[Any, Any]]:
    """torch's hooks of all modules, as they are: to be changed in place."""
    named = (n for n in vars(torch_module) if n.startswith("_global") and n.endswith("hooks"))
    return [getattr(torch_module, name) for name in sorted(named)]


def _set_module_hooks(values: list[dict[Any, Any]]) -> None:
    for now, before in zip(_module_hooks(), values, strict=True):
        now.clear()
        now.update(before)


def _folder() -> Path | None:
    with suppress(FileNotFoundError):
        return Path.cwd()
    return None


def _set_folder(folder: Path | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _set_environment(values: dict[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


def _set_filters(values: list[Any]) -> None:
    warnings.filters[:] = values  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _set_signals(handlers: list[Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(number, handler)


backends: Any = torch.backends
PRECISIONS = (
    _attribute(owner, "fp32_precision", usual, f"{name}'s fp32_precision")
    for name, owner, usual in (
        ("cuBLAS", backends.cuda.matmul, "none"),
        ("cuDNN", backends.cudnn, "none"),
        ("cuDNN convolution", backends.cudnn.conv, "tf32"),
        ("oneDNN", backends.mkldnn, "none"),
        ("oneDNN matmul", backends.mkldnn.matmul, "none"),
        ("oneDNN convolution", backends.mkldnn.conv, "none"),
    )
)
# In this order: what comes first may move what comes later.
SWITCHES = (
    Switch("torch's default device", _default_device, _set_default_device, "cpu"),
    Switch("open modes", lambda: len(_get_current_function_mode_stack()), _close_modes),
    Switch(
        "open dispatch modes",
        lambda: len(_get_current_dispatch_mode_stack()),
        _close_dispatch_modes,
    ),
    Switch(
        "torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32
    ),
    Switch("gradients", torch.is_grad_enabled, torch.set_grad_enabled, True),
    Switch("threads", torch.get_num_threads, torch.set_num_threads),
    Switch("deterministic algorithms", _deterministic, _set_deterministic, (False, False)),
    Switch(
        "flushing of denormal numbers", _flushes_denormals, torch.set_flush_denormal, usual=False
    ),
    Switch("autocast", _autocast, _set_autocast, ((False, torch.bfloat16), (False, torch.float16))),
    Switch(
        "anomaly detection",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.autograd.set_detect_anomaly(*value),
        (False, True),
    ),
    Switch(
        "float32 matmul precision",
        _matmul_precision,
        _set_matmul_precision,
        "highest",
    ),
    *PRECISIONS,
    Switch("oneDNN", torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, usual=True),
    Switch("NNPACK", torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled, usual=True),
    _attribute(backends.cudnn, "enabled", True, "cuDNN"),
    _attribute(backends.cudnn, "benchmark", False, "cuDNN's benchmark"),
    _attribute(backends.cudnn, "deterministic", False, "cuDNN's deterministic"),
    Switch(
        "half precision in attention",
        backends.cuda.fp16_bf16_reduction_math_sdp_allowed,
        backends.cuda.allow_fp16_bf16_reduction_math_sdp,
        usual=False,
    ),
    Switch(
        "flash attention", backends.cuda.flash_sdp_enabled, backends.cuda.enable_flash_sdp, True
    ),
    Switch(
        "plain attention", backends.cuda.math_sdp_enabled, backends.cuda.enable_math_sdp, usual=True
    ),
    Switch(
        "memory-efficient attention",
        backends.cuda.mem_efficient_sdp_enabled,
        backends.cuda.enable_mem_efficient_sdp,
        usual=True,
    ),
    Switch("hooks of all modules", lambda: [dict(h) for h in _module_hooks()], _set_module_hooks),
    Switch("numpy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
    Switch("the working directory", _folder, _set_folder),
    Switch("the environment", lambda: dict(os.environ), _set_environment),
    Switch("filters of warnings", lambda: list(warnings.filters), _set_filters),
    Switch("signals", lambda: [signal.getsignal(number) for number in SIGNALS], _set_signals),
)
QUIET = {"the environment", "filters of warnings"}
"""Libraries change these by themselves when they are first used."""
