"""Class centroids of features, for methods that send them and pull features towards them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pfltune.method import Batch, Outputs


def centroids_of(said: Outputs, counts: Tensor) -> Tensor:
    """The mean feature of each class (classes × width); zeros where there is no image."""
    belongs = F.one_hot(said.labels, len(counts)).to(said.features)
    return belongs.T @ said.features / counts.clamp_min(1).unsqueeze(1)


def distance(batch: Batch, said: Outputs, centroids: Tensor, known: Tensor) -> Tensor:
    """Mean over images and width of (feature − centroid of its class)², 0 for an unknown class.

    Args:
        batch: whose images they are.
        said: what the model says to them.
        centroids: (classes × width).
        known: 1 for the classes that have a centroid, 0 for others (classes,).
    """
    far = (said.features - centroids[said.labels]).square().mean(dim=1)
    return batch.mean(far * known[said.labels])


def merged(
    told: Sequence[tuple[Tensor, Tensor]], centroids: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Global centroids and the images behind each, class by class.

    Args:
        told: the centroids (classes × width) and counts (classes,) of each client. A class weighs
            as many images as the client has of it.
        centroids, counts: what stays for classes of which nobody had any.
    """
    seen = torch.stack([own for _, own in told]).sum(dim=0).to(counts.dtype)
    total = torch.stack([means * own.unsqueeze(1) for means, own in told]).sum(dim=0)
    mean = total / seen.clamp_min(1).unsqueeze(1)
    return torch.where(seen.unsqueeze(1) > 0, mean, centroids), torch.where(seen > 0, seen, counts)
