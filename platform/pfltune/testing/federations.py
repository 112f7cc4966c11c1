"""A federation small enough to train in a blink, made of nothing but a seed."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import torch

from pfltune.backbones import TimmBackbone
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.federation.federation import Federation, Rounds
from pfltune.method import Tensors

TINY_VIT = TimmBackbone(
    model="vit_tiny_patch16_224", image_size=8, patch_size=4, width=16, depth=2, heads=2
)
CLASSES = 3
ROUNDS = 3


class Sizes(NamedTuple):
    """Numbers of samples of one client."""

    train: int
    val: int
    test: int


SKEWED = (Sizes(5, 3, 4), Sizes(9, 4, 3), Sizes(14, 5, 6), Sizes(22, 6, 5))


@cache
def small_federation(clients: tuple[Sizes, ...] = SKEWED, **protocol: Any) -> Federation:
    """:func:`tiny_federation`, made once for all who ask for the same."""
    return tiny_federation(clients, **protocol)


def tiny_federation(
    clients: Iterable[tuple[int, int, int]] = SKEWED,
    *,
    backbone: TimmBackbone = TINY_VIT,
    weights: Tensors | None = None,
    **protocol: Any,
) -> Federation:
    """A federation of random 8×8 images; client c mostly holds class c mod 3.

    Args:
        clients: (train, val, test) sizes, one per client.
        backbone: the architecture.
        weights: start weights, or None for random ones.
        protocol: fields of Rounds that differ from 3 rounds, 2 sampled clients (or 1 if there is
            only one), 1 local epoch and batches of 8.
    """
    clients = [Sizes(*sizes) for sizes in clients]
    total = sum(map(sum, clients))
    rng = torch.Generator().manual_seed(20_240)
    images = torch.randint(0, 256, (total, 1, 8, 8), generator=rng).to(torch.uint8)
    own = torch.cat([torch.full((sum(s),), c % CLASSES) for c, s in enumerate(clients)])
    anything = torch.randint(0, CLASSES, (total,), generator=rng)
    labels = torch.where(torch.rand(total, generator=rng) < 0.6, own, anything)
    # Each class is brighter than the one before, so that there is something to learn.
    images = images // 2 + (labels * 60).to(torch.uint8).view(-1, 1, 1, 1)
    pieces = torch.arange(total).split([size for sizes in clients for size in sizes])
    splits = tuple(
        ClientSplit(*pieces[3 * number : 3 * number + 3]) for number in range(len(clients))
    )
    rules = {
        "rounds": ROUNDS,
        "sampled_clients": min(2, len(clients)),
        "local_epochs": 1,
        "batch_size": 8,
        **protocol,
    }
    names = tuple(f"class {number}" for number in range(CLASSES))
    dataset = Dataset("tiny", images, labels, names)
    return Federation(dataset, splits, backbone, weights, Rounds(**rules))
