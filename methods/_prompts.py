"""Prompt tokens in a vision transformer: visual prompt tuning (Jia et al., ECCV 2022)."""

import math
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from pfltune import parts
from pfltune.errors import UserError

PROMPTS = "blocks.0.prompts"
"""The prompts (K, l) in front of the first block."""


def add_prompts(model: nn.Module, count: int, *, deep: bool = False) -> tuple[str, ...]:
    """Let the blocks read [cls, K prompts, patches]; returns the names of the prompts, (K, l) each.

    Without ``deep`` the prompts enter in front of the first block and go through all others as
    tokens do. With it every further block has prompts of its own in their place. They begin uniform
    in ±√(6 / (numbers in a patch + l)), as in visual prompt tuning (arXiv 2203.12119).

    Raises:
        UserError: the backbone does not read its answer from a class token, so that prompts would
            be averaged into the features.
    """
    vit: Any = model
    pools_token = isinstance(model, VisionTransformer) and vit.global_pool == "token"
    if not pools_token or vit.cls_token is None:
        raise UserError(
            f"prompts need timm's VisionTransformer with a pooled class token; this backbone is a "
            f"{type(model).__name__} that pools {getattr(model, 'global_pool', 'otherwise')!r}"
        )
    bound = math.sqrt(6 / (vit.patch_embed.proj.weight[0].numel() + vit.embed_dim))
    chosen = parts.blocks(model) if deep else {"blocks.0": vit.blocks[0]}
    for number, block in enumerate(chosen.values()):
        prompts = nn.Parameter(torch.empty(count, vit.embed_dim).uniform_(-bound, bound))
        block.register_parameter("prompts", prompts)
        place = _Place(vit.num_prefix_tokens, replaced=count if number else 0)
        block.register_forward_pre_hook(place)
    return tuple(f"{name}.prompts" for name in chosen)


class _Place:
    """Puts a block's prompts behind the first ``before`` tokens, over the ``replaced`` ones."""

    def __init__(self, before: int, replaced: int) -> None:
        self.before = before
        self.after = before + replaced

    def __call__(self, block: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, *others = args
        prompts = block.prompts.expand(x.shape[0], -1, -1)
        return torch.cat([x[:, : self.before], prompts, x[:, self.after :]], dim=1), *others
