"""Personal prefixes in every self-attention layer of a shared vision transformer."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.errors import UserError
from pfltune.knobs import knob
from pfltune.method import Method

from ._adapters import adapt_output, bottleneck_adapter
from ._attention import (
    AddedPrefix,
    PrefixAttention,
    ScaledAdapter,
    TokenPrefix,
    input_width,
    key_width,
    self_attention,
)

EMBEDDINGS = {"patch_embed": "patch_embed", "pos_embed": "pos_drop"}
LAYERS = {"attn_output": ("attn",), "mlp": ("mlp",), "norm": ("norm1", "norm2")}


@dataclass(frozen=True, kw_only=True)
class FedPerfix(Method):
    """FedPerfix (Sun et al., ICCV 2023, arXiv 2308.09160).

    Every self-attention layer gets a personal prefix for its keys and values. Personal: prefixes
    and head. Shared: everything else, the attention weights included. Kinds of ``prefix``:

    - ``adapter``, the method of the public code: (P_k, P_v) = Tanh(Z·W_down)·W_up, added to the
      keys and values after scaling by s; W_down: d → bottleneck, W_up: bottleneck → 2d.
    - ``tokens``: ``prefix_length`` learnable key/value vectors per layer, concatenated in front,
      as eq. 5 of the paper is written.
    - ``zero`` and ``random``, the ablations Prefix-Z and Prefix-R: one linear layer d → 2d in place
      of the adapter, initialised to zero or by PyTorch's default.

    The public preset for CIFAR-100 also keeps the whole last block personal: ``personal_blocks=1``.

    That attention is the place is the paper's claim. ``place`` puts adapters of the same bottleneck
    elsewhere, y ← y + s·Tanh(y·W_down)·W_up: behind the attention or the MLP of each block, behind
    both its normalisations, or once behind the patch embedding or the position embedding.
    """

    title = "FedPerfix"
    family = "partial"
    published_payload = "98 %"

    prefix: str = knob(
        "adapter", choices=("adapter", "tokens", "zero", "random"), doc="kind of prefix"
    )
    bottleneck: int = knob(
        256, low=1, high=1024, log=True, when={"prefix": "adapter"}, doc="inner width m"
    )
    prefix_length: int = knob(
        8, low=1, high=256, log=True, when={"prefix": "tokens"}, doc="key/value vectors per layer"
    )
    scale: float = knob(1.5, low=0.01, high=10.0, doc="factor s on the prefixes")
    place: str = knob(
        "attn",
        choices=("attn", "attn_output", "mlp", "norm", "patch_embed", "pos_embed"),
        when={"prefix": "adapter"},
        doc="where adapters are; attn: on keys and values",
    )
    depth: int = knob(0, low=0, high=100, doc="how many of the last blocks get prefixes; 0: all")
    personal_blocks: int = knob(0, low=0, high=100, doc="how many of the last blocks are personal")

    def graft(self, model: nn.Module) -> None:
        """Put prefixes into the last ``depth`` blocks, or one adapter behind an embedding."""
        place = self.place if self.prefix == "adapter" else "attn"
        if place in EMBEDDINGS:
            self._adapt_embedding(model)
            return
        for name, block in parts.blocks(model, self.depth or None, "depth").items():
            attention = self_attention(block, self.title)
            if place == "attn":
                prefix = self._prefix(input_width(attention), key_width(attention))
                block.add_module("attn", PrefixAttention(attention, prefix))
            for layer in LAYERS.get(place, ()):
                self._adapt(block, layer, input_width(attention), name)

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Prefixes and head, and the last ``personal_blocks`` blocks."""
        blocks = parts.under(model, *parts.blocks(model, self.personal_blocks, "personal_blocks"))
        return (
            *parts.of_type(model, AddedPrefix, ScaledAdapter, TokenPrefix),
            *parts.head(model),
            *blocks,
        )

    def _adapt_embedding(self, model: nn.Module) -> None:
        width, embedding = getattr(model, "embed_dim", None), getattr(model, self.place, None)
        if width is None or embedding is None:
            raise UserError(f"place={self.place}: {type(model).__name__} has no {self.place}")
        if self.depth:
            raise UserError(
                f"depth={self.depth} has no effect with place={self.place}, which is in no block"
            )
        self._adapt(model, EMBEDDINGS[self.place], width, type(model).__name__)

    def _adapt(self, owner: nn.Module, layer: str, width: int, called: str) -> None:
        found = getattr(owner, layer, None)
        if found is None:
            raise UserError(f"place={self.place} needs {layer}; {called} has none")
        adapter = bottleneck_adapter(width, self.bottleneck, width)
        adapt_output(found, ScaledAdapter(adapter, self.scale))

    def _prefix(self, dim: int, width: int) -> nn.Module:
        if self.prefix == "tokens":
            return TokenPrefix(self.prefix_length, width, self.scale)
        if self.prefix == "adapter":
            source: nn.Module = bottleneck_adapter(dim, self.bottleneck, 2 * width)
        else:
            source = nn.Linear(dim, 2 * width)
            if self.prefix == "zero":
                nn.init.zeros_(source.weight)
                nn.init.zeros_(source.bias)
        return AddedPrefix(source, self.scale)
