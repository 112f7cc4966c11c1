"""timm's self-attention with personal prefixes in front of, or added to, its keys and values."""

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from torch import Tensor, nn

from pfltune.errors import UserError


class AddedPrefix(nn.Module):
    """Prefixes computed from the attention's own input Z: k ← Z·W_k + s·P_k, v ← Z·W_v + s·P_v.

    Args:
        source: maps Z of shape (batch, tokens, dim) to (P_k, P_v) side by side, 2·dim wide.
        scale: s.
    """

    def __init__(self, source: nn.Module, scale: float) -> None:
        super().__init__()
        self.source = source
        self.scale = scale

    def forward(self, z: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, tokens, dim) with the prefixes added."""
        prefix_k, prefix_v = self.source(z).chunk(2, dim=-1)
        return k + self.scale * prefix_k, v + self.scale * prefix_v


class TokenPrefix(nn.Module):
    """Classical prefix tuning: learnable key and value vectors in front of K and V, scaled by s.

    They are attended to, but they are no positions of the output.

    Args:
        length: number of vectors L.
        dim: width of the attention, all heads together.
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
        """Keys and values (batch, L + tokens, dim)."""
        shape = (z.shape[0], -1, -1)
        keys = (self.scale * self.keys).expand(shape)
        values = (self.scale * self.values).expand(shape)
        return torch.cat([keys, k], dim=1), torch.cat([values, v], dim=1)


class PrefixAttention(nn.Module):
    """timm's ``Attention`` with a prefix on its keys and values; queries are untouched.

    It takes over the layers of the module it replaces, so their tensors keep their names.

    Args:
        attention: the module to replace.
        prefix: ``prefix(z, k, v)`` returns the keys and values to attend to.
    """

    def __init__(self, attention: Attention, prefix: nn.Module) -> None:
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.qkv: nn.Linear = attention.qkv
        self.q_norm: nn.Module = attention.q_norm
        self.k_norm: nn.Module = attention.k_norm
        self.attn_drop: nn.Dropout = attention.attn_drop
        self.norm: nn.Module = attention.norm
        self.proj: nn.Linear = attention.proj
        self.proj_drop: nn.Module = attention.proj_drop
        self.prefix: nn.Module = prefix

    def forward(
        self, z: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend from z of shape (batch, tokens, dim); masks do not fit prefixes."""
        if attn_mask is not None or is_causal:
            raise UserError("prefixes cannot be combined with an attention mask")
        q, k, v = self.qkv(z).chunk(3, dim=-1)
        k, v = self.prefix(z, k, v)
        drop = self.attn_drop.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            self.q_norm(self._heads(q)), self.k_norm(self._heads(k)), self._heads(v), dropout_p=drop
        )
        joined = mixed.transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(self.norm(joined)))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, tokens, dim) → (batch, heads, tokens, dim / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def standard_attention(block: nn.Module) -> Attention:
    """The self-attention of a transformer block.

    Raises:
        UserError: it is not timm's standard one, so that prefixes have no place in it.
    """
    attention = getattr(block, "attn", block)
    if type(attention) is not Attention or attention.gate is not None:
        raise UserError(
            "prefixes need timm's standard self-attention in every block; "
            f"this backbone has {type(attention).__module__}.{type(attention).__name__}"
        )
    return attention
