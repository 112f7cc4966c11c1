"""Prompt tokens at the input of a vision transformer."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from pfltune.errors import UserError


class PromptTokens(nn.Module):
    """Inserts learnable tokens behind the class token: [cls, K prompts, patches].

    Takes the place of timm's ``norm_pre``, which runs after the position embedding.

    Args:
        count: number of prompts K.
        dim: width of the tokens l.
        before: how many tokens stand in front of the prompts.
        after: the module whose place is taken, run first.
    """

    def __init__(self, count: int, dim: int, before: int, after: nn.Module) -> None:
        super().__init__()
        self.after = after
        self.before = before
        self.tokens = nn.Parameter(torch.empty(count, dim))
        nn.init.trunc_normal_(self.tokens, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, l) → (batch, tokens + K, l)."""
        x = self.after(x)
        prompts = self.tokens.expand(x.shape[0], -1, -1)
        return torch.cat([x[:, : self.before], prompts, x[:, self.before :]], dim=1)


def add_prompts(model: nn.Module, count: int) -> str:
    """Give the model ``count`` prompts; returns the name of their tensor (count, l).

    Raises:
        UserError: the backbone does not read its answer from a class token, so that prompts would
            be averaged into the features.
    """
    vit: Any = model
    if type(model) is not VisionTransformer or vit.cls_token is None or vit.global_pool != "token":
        raise UserError(
            f"prompts need timm's VisionTransformer with a pooled class token; this backbone is a "
            f"{type(model).__name__} that pools {getattr(model, 'global_pool', 'otherwise')!r}"
        )
    vit.norm_pre = PromptTokens(count, vit.embed_dim, vit.num_prefix_tokens, vit.norm_pre)
    return "norm_pre.tokens"
