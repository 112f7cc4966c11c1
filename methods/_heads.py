"""Linear classification heads, for methods that do arithmetic with them."""

import torch.nn.functional as F
from torch import Tensor, nn

from pfltune import parts
from pfltune.errors import UserError
from pfltune.method import Batch, Tensors


def check_linear(model: nn.Module, owner: str) -> None:
    """See that the head is one linear layer with a bias.

    Raises:
        UserError: it is not.
    """
    head = parts.classifier(model)
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise UserError(
            f"{owner} needs a linear head with a bias; that of {type(model).__name__} is {head}"
        )


def linear(head: Tensors, features: Tensor) -> Tensor:
    """The logits (images, classes) of a head of weight (classes × width) and bias (classes)."""
    bias, weight = sorted(head.values(), key=lambda tensor: tensor.ndim)
    return features @ weight.T + bias


def cross_entropy(batch: Batch, logits: Tensor) -> Tensor:
    """The mean over the batch, with logits of one's own (images, classes)."""
    return batch.mean(F.cross_entropy(logits, batch.labels, reduction="none"))
