"""Low-rank adapters beside linear layers: LoRA (Hu et al., ICLR 2022, arXiv 2106.09685)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfltune import parts
from pfltune.errors import UserError
from pfltune.knobs import knob
from pfltune.method import Tensors

from ._frozen import FrozenBackbone

A, B = ".lora.A", ".lora.B"
"""How the names of the two factors end."""


class LowRank(nn.Module):
    """x ↦ (α/r)·B·A·x with A: in → r and B: r → out, without biases.

    A begins Kaiming uniform, in ±1/√in, and B at zero, so that a layer begins as it was. Factors of
    another rank may be handed in; α/r stays as it was made.

    Args:
        inputs: width of what the layer reads.
        outputs: width of what it says.
        rank: r.
        alpha: α.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, inputs))
        self.B = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """What is added to the layer's answer."""
        return self.scale * F.linear(F.linear(x, self.A), self.B)


@dataclass(frozen=True, kw_only=True)
class LoRA(FrozenBackbone):
    """Adapters beside the layers that ``layers`` names train on a frozen backbone, and a head."""

    rank: int = knob(8, low=1, high=256, log=True, doc="inner width r of an adapter")
    alpha: float = knob(16.0, low=0.1, high=1024.0, log=True, doc="α in its factor α/r")
    layers: str = knob(
        "attn.qkv",
        examples=("attn.qkv", "attn.proj,mlp"),
        doc="linear layers that get one, named as parts of the model are",
    )

    def _tuned(self, model: nn.Module) -> Iterable[str]:
        return [
            f"{name}.lora.{factor}"
            for name, layer in chosen_layers(model, self.layers).items()
            for factor in self._add(layer)
        ]

    def _add(self, layer: nn.Linear) -> Iterable[str]:
        """Put an adapter beside a layer; returns which of its factors train."""
        layer.add_module("lora", self._adapter(layer))
        layer.register_forward_hook(_add_adapter)
        return "A", "B"

    def _adapter(self, layer: nn.Linear) -> LowRank:
        return LowRank(layer.in_features, layer.out_features, self.rank, self.alpha)


def chosen_layers(model: nn.Module, words: str) -> dict[str, nn.Linear]:
    """The linear layers that a text such as ``attn.qkv,mlp`` names; the head is never one.

    Attentions with biases of their own for q and v, such as EVA's, pass by their layer and read its
    weight; they are set to ask the layer and to add the biases, which is the same.

    Raises:
        UserError: a word that names no such layer; the possible ones are listed.
    """
    head = set(parts.head(model))
    every = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.weight" not in head
    }
    found: set[str] = set()
    for word in words.split(","):
        named = {name.removesuffix(".weight") for name in parts.named(model, word)} & every.keys()
        if not named:
            kinds = sorted({".".join(name.split(".")[-2:]) for name in every})
            raise UserError(f"layers={word.strip()} names no linear layer; try {', '.join(kinds)}")
        found |= named
    for name in found:
        owner: Any = model.get_submodule(name.rpartition(".")[0])
        if hasattr(owner, "qkv_bias_separate"):
            owner.qkv_bias_separate = True
    return {name: layer for name, layer in every.items() if name in found}


def pairs(tensors: Tensors) -> Iterator[tuple[Tensor, Tensor]]:
    """The factors (A, B) of every adapter among the tensors."""
    for name, value in tensors.items():
        if name.endswith(A):
            yield value, tensors[name.removesuffix(A) + B]


def _add_adapter(layer: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + layer.lora(args[0])
