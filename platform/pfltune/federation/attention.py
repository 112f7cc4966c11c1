"""Attention as two products and a softmax, where that is faster than torch's own."""

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PlainAttention(TorchFunctionMode):
    """Inside the block, ``F.scaled_dot_product_attention`` is written out.

    It is what torch calls the math backend, without that one's passes over all weights for queries
    that may attend to nothing, which a vision transformer does not have. A call that could have
    such, or asks for more than an additive mask and dropout, goes to torch as it is.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The same function, or attention written out."""
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs or {})
        return func(*args, **kwargs or {})


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    if is_causal or others or (attn_mask is not None and not attn_mask.is_floating_point()):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, **others
        )
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + attn_mask
    weights = scores.softmax(dim=-1)
    return (F.dropout(weights, dropout_p) if dropout_p else weights) @ value
