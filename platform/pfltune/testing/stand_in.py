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

STAND_IN = "meta"
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INDEXINGS = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)
LIFT = torch.ops.aten.lift_fresh.default
"""What torch.tensor([…], device=…) ends with."""
CPU_GENERATOR = torch.Generator
THERE: WeakSet[torch.Generator] = WeakSet()
"""The stand-in's generators that are in use."""
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


@dataclass
class Transfers:
    """What went between the CPU and the device.

    Attributes:
        sent: tensors handed to :func:`pfltune.devices.moved`; nobody waits for these.
        received: calls of :func:`pfltune.devices.brought_over`, which waits.
    """

    sent: int = 0
    received: int = 0

    def since(self, before: "Transfers") -> "Transfers":
        """What came on top of an earlier count."""
        return Transfers(self.sent - before.sent, self.received - before.received)


class Guard(TorchDispatchMode):
    """Refuses operations that a GPU would refuse, or that would wait for one."""

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse the operation, or carry it out."""
        named = kwargs or {}
        leaves = tree_leaves((args, named))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in tensors):
            _check_use(func, args, named, tensors)
            return func(*args, **named)
        made = func(*args, **named)
        if any(isinstance(t, Tensor) and t.is_meta for t in tree_leaves(made)):
            _check_making(func, leaves, tensors)
        return made


@contextmanager
def stand_in() -> Iterator[Transfers]:
    """Inside the block ``Compute(device="meta")`` is a GPU, and what goes there and back counts.

    Every number that is brought over is 1, every truth value false.
    """
    transfers = Transfers()

    def sent(tensor: Tensor, device: torch.device) -> Tensor:
        transfers.sent += 1
        return torch.empty_like(tensor, device=device)

    def received(tensor: Tensor) -> Any:
        transfers.received += 1
        return ones(tensor).tolist()

    def fetched(tensor: Tensor) -> Any:
        transfers.received += 1
        return ones(tensor).numpy()

    def ones(tensor: Tensor) -> Tensor:
        return torch.full(tensor.shape, tensor.dtype != torch.bool, dtype=tensor.dtype)

    with (
        patch.object(devices, "_sent", sent),
        patch.object(devices, "_received", received),
        patch.object(devices, "_fetched", fetched),
        patch.object(torch, "Generator", _Generator),
    ):
        yield transfers


def guarded(method: Method) -> Method:
    """The same method, whose hooks are guarded in whatever thread they run."""
    hooks = ("download", "train", "assemble", "init_client")
    return with_hooks(method, **{name: _guarded(getattr(type(method), name)) for name in hooks})


def _guarded(hook: Callable[..., Any]) -> Callable[..., Any]:
    def inside(*args: Any, **named: Any) -> Any:
        if isinstance(_get_current_dispatch_mode(), Guard):
            return hook(*args, **named)
        with Guard():
            return hook(*args, **named)

    return inside


def _check_use(
    func: torch._ops.OpOverload,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    tensors: list[Tensor],
) -> None:
    """Refuse what a GPU's tensors cannot be used for without waiting, or at all."""
    name = func._schema.name.removeprefix("aten::")
    if _reads(func, args, named):
        raise Broken(NO_WAIT, f"{name} of values that are there", STAY)
    if func is LIFT or (func in COPIES and tensors[-1].is_cpu):
        raise Broken(NO_WAIT, f"a tensor of the CPU's brought there by {name}", MOVE)
    if any(tensor.is_cpu and tensor.ndim for tensor in tensors):
        raise Broken("tensors of one device", f"{name} of the GPU's and the CPU's", MOVE)


def _check_making(func: torch._ops.OpOverload, leaves: list[Any], tensors: list[Tensor]) -> None:
    """Refuse ways to make a tensor on a GPU that wait for it, or that it does not have."""
    if any(isinstance(leaf, CPU_GENERATOR) and not _is_there(leaf) for leaf in leaves):
        raise Broken("draws on the CPU, whose generators these are", "a draw on the GPU", MOVE)
    if func in COPIES and tensors:
        raise Broken(NO_WAIT, "a tensor of the CPU's brought there by to()", MOVE)


def _reads(func: torch._ops.OpOverload, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether the CPU must know values before it goes on."""
    if func in COPIES:
        to = named.get("device") or args[0].device
        return torch.device(to).type == "cpu"
    if func in INDEXINGS:
        return any(t.dtype in MASKS for t in tree_leaves(args[1]) if isinstance(t, Tensor))
    return bool(READS & set(func.tags))


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
