"""Frozen linear layers in 8 bits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfltune.errors import UserError


class Int8Linear(nn.Module):
    """A frozen ``nn.Linear`` whose weights are whole numbers of 8 bits, one scale for each output.

    w ≈ scale · w₈ with scale = max|w| / 127 over a row: no weight is off by more than half a scale.
    The layer in full precision exists only while it is used.

    Args:
        linear: the layer to replace.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        largest = weight.abs().amax(dim=1, keepdim=True)
        scale = torch.where(largest > 0, largest, 1.0) / 127
        rounded = (weight / scale).round().to(torch.int8)
        self.weight_int8 = nn.Parameter(rounded, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return F.linear(x, self.weight_int8.to(x.dtype) * self.scale.to(x.dtype), self.bias)


def quantize(model: nn.Module) -> None:
    """Replace every frozen linear layer in place.

    Raises:
        UserError: there is none, or its weights are not finite.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and not module.weight.requires_grad
    }
    if not found:
        raise UserError(f"int8 needs frozen linear layers; {type(model).__name__} has none")
    for name, linear in found.items():
        if not linear.weight.isfinite().all():
            raise UserError(f"int8 needs finite weights; those of {name} are not")
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, Int8Linear(linear))
