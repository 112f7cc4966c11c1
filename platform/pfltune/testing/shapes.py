"""What operations give on tensors that have shapes and no values: the same on the same shapes.

torch works each of them out in Python, which takes longer than the arithmetic would; so what one
gave is remembered.
"""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """All that a tensor without values has."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class Shapes:
    """Carries operations out, those that were carried out on such tensors by their results alone.

    Args:
        device: on which tensors have no values.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._known: dict[Hashable, tuple[Layout, ...] | Layout | None] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Whether an operation is remembered, by :func:`key_of`."""
        return key in self._known

    def again(self, key: Hashable, args: tuple[Any, ...]) -> Any:
        """Its result; of one that writes into its first argument, that."""
        found = self._known[key]
        if found is None:
            return args[0]
        if isinstance(found, Layout):
            return _made(found)
        return tuple(map(_made, found))

    def note(
        self, key: tuple[Hashable, ...], args: tuple[Any, ...], tensors: list[Tensor], result: Any
    ) -> None:
        """Remember the result, where such a one can be made again."""
        func: Any = key[0]
        if func._schema.is_mutable:
            # Some change the shape in place, such as squeeze_().
            if args and result is args[0] and _described(result) == key[1]:
                self._known[key] = None
            return
        made = [result] if isinstance(result, Tensor) else result
        if not isinstance(made, tuple | list) or not made or not all(map(self._is_bare, made)):
            return
        held = {t.untyped_storage()._cdata for t in tensors}
        if any(t.untyped_storage()._cdata in held for t in made):
            return
        layouts = tuple(map(_layout, made))
        self._known[key] = layouts[0] if isinstance(result, Tensor) else layouts

    def _is_bare(self, made: Any) -> bool:
        return isinstance(made, Tensor) and made.device.type == self._device


def key_of(
    func: torch._ops.OpOverload, args: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[Hashable, ...]:
    """What an operation is remembered by: itself, layouts of tensors and all else as it is."""
    return (func, *map(_described, args), *((k, _described(v)) for k, v in named.items()))


def _layout(tensor: Tensor) -> Layout:
    return Layout(tensor.shape, tensor.stride(), tensor.dtype, tensor.device)


def _made(layout: Layout) -> Tensor:
    shape, stride, dtype, device = layout
    return torch.empty_strided(shape, stride, dtype=dtype, device=device)


def _described(argument: Any) -> Hashable:
    if isinstance(argument, Tensor):
        return _layout(argument)
    if isinstance(argument, torch.Generator):
        return object()  # never the same: whose it is counts, not where it lies
    if isinstance(argument, list | tuple):
        return tuple(map(_described, argument))
    return type(argument), argument
