"""timm's self-attention with personal prefixes in front of, or added to, its keys and values."""

from functools import reduce
from operator import add
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention, AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.beit import Attention as BeitAttention
from timm.models.eva import EvaAttention
from timm.models.vision_transformer_relpos import RelPosAttention
from torch import Tensor, nn

from pfltune.errors import UserError

VARIANTS = (Attention, AttentionRope, EvaAttention, BeitAttention, RelPosAttention)
"""What prefixes fit into: of ViT and DeiT, of EVA and DINOv3, of BEiT, with relative positions."""


class AddedPrefix(nn.Module):
    """Prefixes computed from the attention's own input Z: k ← Z·W_k + s·P_k, v ← Z·W_v + s·P_v.

    Args:
        source: maps Z of shape (batch, tokens, dim) to (P_k, P_v) side by side, each as wide as the
            keys.
        scale: s.
    """

    def __init__(self, source: nn.Module, scale: float) -> None:
        super().__init__()
        self.source = source
        self.scale = scale

    def forward(self, z: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, tokens, width) with the prefixes added."""
        prefix_k, prefix_v = self.source(z).chunk(2, dim=-1)
        return k + self.scale * prefix_k, v + self.scale * prefix_v


class ScaledAdapter(nn.Module):
    """s·P(y), to be added to what some other layer says.

    Args:
        source: maps y of shape (…, dim) to P of the same shape.
        scale: s.
    """

    def __init__(self, source: nn.Module, scale: float) -> None:
        super().__init__()
        self.source = source
        self.scale = scale

    def forward(self, y: Tensor) -> Tensor:
        """What is added."""
        return self.scale * self.source(y)


class TokenPrefix(nn.Module):
    """Classical prefix tuning: learnable key and value vectors in front of K and V, scaled by s.

    They are attended to, but they are no positions of the output.

    Args:
        length: number of vectors L.
        dim: width of the keys, all their heads together.
        scale: s.
    """

    def __init__(self, length: int, dim: int, scale: float) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.empty(length, dim))
        self.values = nn.Parameter(torch.empty(length, dim))
        self.scale = scale
        nn.init.trunc_normal_(self.keys, std=0.02)
        nn.init.trunc_normal_(self.values, std=0.02)

    def forward(self, z: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, L + tokens, width)."""
        shape = (z.shape[0], -1, -1)
        keys = (self.scale * self.keys).expand(shape)
        values = (self.scale * self.values).expand(shape)
        return torch.cat([keys, k], dim=1), torch.cat([values, v], dim=1)


class PrefixAttention(nn.Module):
    """One of timm's ``VARIANTS`` with a prefix on its keys and values; queries are untouched.

    It takes over the layers and tensors of the module it replaces, so that they keep their names.
    Rotary and relative positions are those of the tokens: prefixes in front of them have none.

    Args:
        attention: the module to replace.
        prefix: ``prefix(z, k, v)`` returns the keys and values to attend to.
    """

    def __init__(self, attention: nn.Module, prefix: nn.Module) -> None:
        super().__init__()
        for name, layer in attention.named_children():
            self.add_module(name, layer)
        for name, parameter in attention.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in attention.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=False)
        self.prefix = prefix
        heads: Any = attention.num_heads
        self.head_dim: int = _width(attention, "q") // heads
        self.num_prefix_tokens = getattr(attention, "num_prefix_tokens", 0)
        self.rotate_half = getattr(attention, "rotate_half", False)

    def forward(
        self,
        z: Tensor,
        rope: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        shared_rel_pos: Tensor | None = None,
        shared_rel_pos_bias: Tensor | None = None,
    ) -> Tensor:
        """Attend from z of shape (batch, tokens, dim); masks do not fit prefixes.

        Args:
            z: what the block hands to its attention.
            rope: rotary positions of the tokens behind the ``num_prefix_tokens`` first ones.
            attn_mask, is_causal: must not be given.
            shared_rel_pos, shared_rel_pos_bias: relative positions that all blocks share, as the
                two families call them.
        """
        if attn_mask is not None or is_causal:
            raise UserError("prefixes cannot be combined with an attention mask")
        q, k, v = self._projected(z)
        k, v = (self._heads(x) for x in self.prefix(z, k, v))
        q = self._rotated(self._through("q_norm", self._heads(q)), rope)
        before, groups = k.shape[2] - q.shape[2], q.shape[1] // k.shape[1]
        k = self._rotated(self._through("k_norm", k), rope, before)
        if groups > 1:  # query heads that share the keys and values of one head
            k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
        shared = shared_rel_pos if shared_rel_pos_bias is None else shared_rel_pos_bias
        drop = self._part("attn_drop").p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, self._bias(shared, before), drop)
        joined = self._through("norm", mixed.transpose(1, 2).flatten(2))
        if (gate := self._part("gate")) is not None:
            joined = joined * gate(z).sigmoid()
        return self._through("proj_drop", self._through("proj", joined))

    def _projected(self, z: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, all heads side by side; keys have no bias where it is apart."""
        said = [layer(z) for layer in projections(self).values()]
        q, k, v = said[0].chunk(3, dim=-1) if len(said) == 1 else said
        q_bias, v_bias = self._part("q_bias"), self._part("v_bias")
        return (q, k, v) if q_bias is None else (q + q_bias, k, v + v_bias)

    def _rotated(self, x: Tensor, rope: Tensor | None, before: int = 0) -> Tensor:
        """The tokens turned by their positions; the first ``before`` are none of the model's."""
        if rope is None:
            return x
        still, turning = x.tensor_split([before + self.num_prefix_tokens], dim=2)
        turned = apply_rot_embed_cat(turning, rope, half=self.rotate_half)
        return torch.cat([still, turned.to(x.dtype)], dim=2)

    def _bias(self, shared: Tensor | None, before: int) -> Tensor | None:
        """What relative positions add to the scores, (…, heads, tokens, before + tokens)."""
        terms = [] if shared is None else [shared]
        if (own := self._part("rel_pos")) is not None:
            terms.append(own.get_bias())
        if (table := self._part("relative_position_bias_table")) is not None:
            terms.append(table[self.relative_position_index].permute(2, 0, 1))
        return F.pad(reduce(add, terms), (before, 0)) if terms else None

    def _part(self, name: str) -> Any:
        return getattr(self, name, None)

    def _through(self, name: str, x: Tensor) -> Tensor:
        layer = self._part(name)
        return x if layer is None else layer(x)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) → (batch, heads, tokens, width / heads)."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def self_attention(block: nn.Module, title: str) -> nn.Module:
    """The self-attention of a transformer block, for the method of that title.

    Raises:
        UserError: it is none of the ``VARIANTS``.
    """
    attention: nn.Module = getattr(block, "attn", block)
    if type(attention) not in VARIANTS:
        raise UserError(
            f"{title} needs self-attention of ViT, DeiT, EVA, DINOv3 or BEiT in every block, with "
            "queries, keys and values that are projected and attended to once; this backbone has "
            f"{type(attention).__module__}.{type(attention).__name__}"
        )
    return attention


def projections(attention: nn.Module) -> dict[str, nn.Linear]:
    """What makes queries, keys and values, by name: one layer for all, or one for each."""
    names = ("qkv", "q_proj", "k_proj", "v_proj")
    found: dict[str, Any] = {name: getattr(attention, name, None) for name in names}
    return {name: layer for name, layer in found.items() if layer is not None}


def input_width(attention: nn.Module) -> int:
    """Width of what the attention reads."""
    return next(iter(projections(attention).values())).in_features


def key_width(attention: nn.Module) -> int:
    """Width of its keys and of its values, all heads together."""
    return _width(attention, "k")


def _width(attention: nn.Module, which: str) -> int:
    layers = projections(attention)
    return (
        layers["qkv"].out_features // 3 if "qkv" in layers else layers[f"{which}_proj"].out_features
    )
