"""What a GPU would compute, move and hold, counted on tensors without values."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from pfltune.doctor.cards import Card
from pfltune.testing.stand_in import arguments

HALF = torch.bfloat16
PRODUCTS = {F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.conv2d}
"""What torch.autocast computes in half precision on a GPU, of what a vision transformer does."""
WIDE = {F.layer_norm, F.softmax, F.log_softmax, F.cross_entropy, torch.softmax, Tensor.softmax}
"""What it computes in float32."""
FREE = {
    torch.ops.aten.empty.memory_format,
    torch.ops.aten.empty_strided.default,
    torch.ops.aten.empty_like.default,
    torch.ops.aten.new_empty.default,
    torch.ops.aten._unsafe_view.default,
    torch.ops.aten.detach.default,
}
"""Operations beside views that start nothing on a GPU."""


class Kernel(NamedTuple):
    """What one operation costs.

    Attributes:
        flops: floating-point operations; a multiplication with an addition counts as two.
        moved: bytes that it reads and writes, each tensor once.
        half: whether it multiplies in half precision.
    """

    flops: int
    moved: int
    half: bool

    def seconds(self, card: Card) -> float:
        """The least that its arithmetic and its memory traffic take."""
        peak = card.bfloat16 if self.half else card.float32
        return max(self.flops / (peak * 1e12), self.moved / (card.bandwidth * 1e9))


class Meter(TorchDispatchMode):
    """Counts operations on the device ``meta``, and the memory that their results take.

    Scratch memory inside an operation and what an allocator loses between tensors are not seen.

    Attributes:
        kernels: how often there was each.
        peak: most bytes that were held at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[Kernel] = Counter()
        self.peak = 0
        self._held = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Carry it out and count it."""
        named = kwargs or {}
        made = func(*args, **named)
        given = _there(arguments(args, named))
        results = _there(made if isinstance(made, list | tuple) else [made])
        if given or results:
            for tensor in results:
                self._hold(tensor.untyped_storage())
            if not func.is_view and func not in FREE:
                self.kernels[_kernel(func, args, named, made, given, results)] += 1
        return made

    @property
    def flops(self) -> int:
        """Floating-point operations of all kernels."""
        return sum(kernel.flops * times for kernel, times in self.kernels.items())

    @property
    def moved(self) -> int:
        """Bytes that all kernels read and write."""
        return sum(kernel.moved * times for kernel, times in self.kernels.items())

    @property
    def started(self) -> int:
        """Kernels that there were."""
        return self.kernels.total()

    def seconds(self, card: Card) -> float:
        """The least that all kernels take, one after the other."""
        return sum(kernel.seconds(card) * times for kernel, times in self.kernels.items())

    def _hold(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        self._held += size
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._let_go, size)

    def _let_go(self, size: int) -> None:
        self._held -= size


class HalfPrecision(TorchFunctionMode):
    """What ``torch.autocast`` does on a GPU, for the device ``meta``, which it does not know.

    Attention is the fused kernel that a GPU takes.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The same function, on other types."""
        named = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return _attention(*_cast(args, HALF), **named)
        if func in PRODUCTS:
            return func(*_cast(args, HALF), **_cast(named, HALF))
        if func in WIDE:
            return func(*_cast(args, torch.float32), **_cast(named, torch.float32))
        return func(*args, **named)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    if attn_mask is not None:
        raise NotImplementedError("attention with a mask")
    flash = torch.ops.aten._scaled_dot_product_flash_attention
    return flash(query, key, value, dropout_p, is_causal, scale=scale)[0]


def _cast(values: Any, dtype: torch.dtype) -> Any:
    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return tree_map_only(Tensor, cast, values)


def _kernel(
    func: torch._ops.OpOverload,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    made: Any,
    given: list[Tensor],
    results: list[Tensor],
) -> Kernel:
    counted = flop_registry.get(func._overloadpacket)
    flops = int(counted(*args, **named, out_val=made)) if counted else 0
    moved = sum(map(_size, given)) + sum(map(_size, results))
    return Kernel(flops, moved, all(t.dtype == HALF for t in given if t.is_floating_point()))


def _size(tensor: Tensor) -> int:
    """Bytes that there are of it: those that are repeated by a stride of 0 are there once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _there(values: Iterable[Any]) -> list[Tensor]:
    return [t for t in values if isinstance(t, Tensor) and t.is_meta]
