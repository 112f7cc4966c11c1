"""A device that stands in for a GPU where there is none: torch's ``meta``.

Its tensors have shapes and no values, so what would wait for a GPU's values, or mix its tensors
with the CPU's, cannot pass unseen. Not seen is what decompositions of ``torch.linalg`` do inside.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode
from torch.utils._pytree import tree_leaves

from pfltune import devices
from pfltune.method import Method
from pfltune.testing.broken import Broken
from pfltune.testing.runs import with_hooks
from pfltune.testing.shapes import Shapes, key_of

STAND_IN = "meta"
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INDEXINGS = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)
LIFT = torch.ops.aten.lift_fresh.default
"""What torch.tensor([…], device=…) ends with."""
CPU_GENERATOR = torch.Generator
THERE: WeakSet[torch.Generator] = WeakSet()
"""The stand-in's generators that are in use."""
SHAPES = Shapes(STAND_IN)
MASKS = (torch.bool, torch.uint8)
NO_WAIT = "nothing that waits for a GPU"
STAY = (
    "no .item(), float(), if, mask or comparison as a whole: torch.where and arithmetic leave "
    "numbers there; what must be known goes through brought_over([…]) of pfltune.method, once"
)
MOVE = (
    "hand what is drawn or made on the CPU to moved(tensor, device) of pfltune.method, or make it "
    "there: torch.full, new_zeros"
)


@dataclass(frozen=True)
class Transfers:
    """What went between the CPU and the device.

    Attributes:
        sent: tensors handed to :func:`pfltune.devices.moved`; nobody waits for these.
        received: calls of :func:`pfltune.devices.brought_over`, which waits.
    """

    sent: int = 0
    received: int = 0

    def __add__(self, other: "Transfers") -> "Transfers":
        """Both together."""
        return Transfers(self.sent + other.sent, self.received + other.received)

    def __mul__(self, times: int) -> "Transfers":
        """So many times as many."""
        return Transfers(self.sent * times, self.received * times)

    def exceeds(self, other: "Transfers") -> bool:
        """Whether there are more of either kind."""
        return self.sent > other.sent or self.received > other.received


class Counter:
    """Counts them.

    Attributes:
        since: those that came since it was asked last.
    """

    def __init__(self) -> None:
        self.since = Transfers()

    def note(self, sent: int = 0, received: int = 0) -> None:
        """Some more."""
        self.since += Transfers(sent, received)

    def taken(self) -> Transfers:
        """Those that came since the last call."""
        found, self.since = self.since, Transfers()
        return found


class Guard(TorchDispatchMode):
    """Refuses operations that a GPU would refuse, or that would wait for one.

    Args:
        may_wait: whether the latter are let through, as before the first round.
    """

    def __init__(self, may_wait: bool = False) -> None:
        super().__init__()
        self._may_wait = may_wait

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse the operation, or carry it out."""
        named = kwargs or {}
        leaves = arguments(args, named)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in tensors):
            return self._used(func, args, named, leaves, tensors)
        made = func(*args, **named)
        if any(isinstance(t, Tensor) and t.is_meta for t in tree_leaves(made)):
            _check_draws(leaves)
            if func in COPIES and tensors and not self._may_wait:
                raise Broken(NO_WAIT, "a tensor of the CPU's brought there by to()", MOVE)
        return made

    def _used(
        self,
        func: torch._ops.OpOverload,
        args: tuple[Any, ...],
        named: Mapping[str, Any],
        leaves: list[Any],
        tensors: list[Tensor],
    ) -> Any:
        """The result on tensors that are there."""
        key = key_of(func, args, named)
        if key in SHAPES:  # none that was refused is
            return SHAPES.again(key, args)
        _check_draws(leaves)
        if not self._may_wait:
            _check_waits(func, args, named, tensors)
        elif func in COPIES:
            return func(*args, **named)
        _check_devices(func, tensors)
        made = func(*args, **named)
        if not self._may_wait:
            SHAPES.note(key, args, tensors, made)
        return made


@contextmanager
def stand_in() -> Iterator[Counter]:
    """Inside the block ``Compute(device="meta")`` is a GPU, and what goes there and back counts.

    Every number that is brought over is 1, every truth value false.
    """
    counter = Counter()

    def sent(tensor: Tensor, device: torch.device) -> Tensor:
        counter.note(sent=1)
        return torch.empty_like(tensor, device=device)

    def received(tensor: Tensor) -> Any:
        counter.note(received=1)
        return ones(tensor).tolist()

    def fetched(tensor: Tensor) -> Any:
        counter.note(received=1)
        return ones(tensor).numpy()

    def ones(tensor: Tensor) -> Tensor:
        return torch.full(tensor.shape, tensor.dtype != torch.bool, dtype=tensor.dtype)

    with (
        patch.object(devices, "_sent", sent),
        patch.object(devices, "_received", received),
        patch.object(devices, "_fetched", fetched),
        patch.object(torch, "Generator", _Generator),
    ):
        yield counter


def arguments(args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
    """All arguments of an operation, those in lists one by one; it has no deeper ones."""
    found: list[Any] = []
    for each in (*args, *named.values()):
        if isinstance(each, list | tuple):
            found += each
        else:
            found.append(each)
    return found


def guarded(method: Method) -> Method:
    """The same method, whose hooks are guarded in whatever thread they run."""
    hooks = ("download", "train", "assemble", "assemble_trained", "init_client")
    return with_hooks(method, **{name: _guarded(getattr(type(method), name)) for name in hooks})


def _guarded(hook: Callable[..., Any]) -> Callable[..., Any]:
    def inside(*args: Any, **named: Any) -> Any:
        if isinstance(_get_current_dispatch_mode(), Guard):
            return hook(*args, **named)
        with Guard():
            return hook(*args, **named)

    return inside


def _check_waits(
    func: torch._ops.OpOverload,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    tensors: list[Tensor],
) -> None:
    """Refuse what a GPU's tensors cannot be used for without waiting."""
    if _reads(func, args, named):
        raise Broken(NO_WAIT, f"{_named(func)} of values that are there", STAY)
    if func is LIFT or (func in COPIES and tensors[-1].is_cpu):
        raise Broken(NO_WAIT, f"a tensor of the CPU's brought there by {_named(func)}", MOVE)


def _check_devices(func: torch._ops.OpOverload, tensors: list[Tensor]) -> None:
    """Refuse what a GPU's tensors cannot be used for at all."""
    if any(tensor.is_cpu and tensor.ndim for tensor in tensors):
        raise Broken("tensors of one device", f"{_named(func)} of the GPU's and the CPU's", MOVE)


def _check_draws(leaves: list[Any]) -> None:
    """Refuse a generator that a GPU does not have."""
    if any(isinstance(leaf, CPU_GENERATOR) and not _is_there(leaf) for leaf in leaves):
        raise Broken("draws on the CPU, whose generators these are", "a draw on the GPU", MOVE)


def _reads(func: torch._ops.OpOverload, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether the CPU must know values before it goes on."""
    if func in COPIES:
        to = named.get("device") or args[0].device
        return torch.device(to).type == "cpu"
    if func in INDEXINGS:
        return any(t.dtype in MASKS for t in tree_leaves(args[1]) if isinstance(t, Tensor))
    return bool(READS & set(func.tags))


def _named(func: torch._ops.OpOverload) -> str:
    return func._schema.name.removeprefix("aten::")


class _Generator(CPU_GENERATOR):
    """torch's, which the stand-in has, too."""

    def __new__(cls, device: torch.device | str = "cpu") -> "_Generator":
        made = super().__new__(cls)
        if torch.device(device).type == STAND_IN:
            THERE.add(made)
        return made


def _is_there(generator: torch.Generator) -> bool:
    """Whether it is one of the stand-in's; an operation is handed another object around it."""
    return any(_identity(known) == _identity(generator) for known in THERE)


def _identity(generator: torch.Generator) -> int:
    """The address of what all Python objects of one generator have inside."""
    return int(generator._cdata)  # type: ignore[attr-defined]
