"""Half precision on the way."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from pfltune.tensors import Tensors, found_under, not_under, put_under
from pfltune.wraps.base import Wrap, see_free

HALF_ALREADY = "half:"


@dataclass(frozen=True, kw_only=True)
class Float16(Wrap):
    """float32 travels as float16, both ways; whole numbers and other types travel as they are.

    Values are rounded to the nearest one with 11 significant bits, or with fewer below 6e-5. The
    largest one is 65504: where more is sent the trial counts as diverged, since to cut values off
    would be another method.
    """

    title: ClassVar[str] = "float16"

    def send(
        self, payload: Tensors, reference: Tensors, state: Tensors, rng: torch.Generator
    ) -> tuple[Tensors, Tensors]:
        """Rounded; tensors that were half before are marked, since they must stay so."""
        see_free(payload, lambda name: name.startswith(HALF_ALREADY), type(self))
        half = {n: t for n, t in payload.items() if t.dtype == torch.float16}
        rest = {
            name: tensor.half() if tensor.dtype == torch.float32 else tensor
            for name, tensor in payload.items()
            if name not in half
        }
        return {**rest, **put_under(HALF_ALREADY, half)}, {}

    def receive(self, wire: Tensors, reference: Tensors) -> Tensors:
        """In float32 again."""
        rest = {
            name: tensor.float() if tensor.dtype == torch.float16 else tensor
            for name, tensor in not_under(HALF_ALREADY, wire).items()
        }
        return {**rest, **found_under(HALF_ALREADY, wire)}
