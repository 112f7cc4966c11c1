"""Bottleneck adapters: small networks whose output is added to what a layer says."""

from typing import Any

from torch import Tensor, nn


def bottleneck_adapter(
    dim: int, bottleneck: int, out: int, *, from_zero: bool = False
) -> nn.Sequential:
    """Tanh(Z·W_down)·W_up with W_down: dim → bottleneck and W_up: bottleneck → out, both biased.

    PyTorch's default initialisation; with ``from_zero`` W_up and its bias begin at zero.
    """
    up = nn.Linear(bottleneck, out)
    if from_zero:
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
    return nn.Sequential(nn.Linear(dim, bottleneck), nn.Tanh(), up)


def adapt_output(layer: nn.Module, adapter: nn.Module) -> None:
    """Let ``layer`` answer y + adapter(y) in place of y; the adapter becomes ``layer.adapter``."""
    layer.add_module("adapter", adapter)
    layer.register_forward_hook(_add_adapter)


def _add_adapter(layer: Any, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + layer.adapter(output)
