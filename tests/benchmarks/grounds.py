"""Federations on random images: figures of time and memory need no real ones."""

from dataclasses import dataclass
from typing import Any

import torch

from pfltune.backbones import TimmBackbone
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.federation.federation import Federation, Rounds


@dataclass(frozen=True)
class Clients:
    """Who there is and what each of them holds.

    Attributes:
        total: number of clients.
        sampled: those that train in a round.
        train, val, test: samples of each client.
    """

    total: int
    sampled: int
    train: int
    val: int
    test: int


@dataclass(frozen=True, eq=False)
class Case:
    """A backbone, the batches that it is fed and clients to measure it with.

    Attributes:
        name: how tables call it.
        backbone: fields of :class:`TimmBackbone`.
        batch_size: samples per local step.
        clients: as many and as small as a quiet minute allows.
        channels: colour channels of the images.
        classes: outputs of the head.
    """

    name: str
    backbone: dict[str, Any]
    batch_size: int
    clients: Clients
    channels: int = 3
    classes: int = 10


VIT_TINY_32 = Case(
    "ViT-Tiny/32",
    {"model": "vit_tiny_patch16_224", "image_size": 32, "patch_size": 4},
    batch_size=64,
    clients=Clients(total=8, sampled=4, train=96, val=8, test=8),
)
VIT_S_224 = Case(
    "ViT-S/224",
    {"model": "vit_small_patch16_224", "image_size": 224},
    batch_size=16,
    clients=Clients(total=2, sampled=2, train=8, val=2, test=2),
)
VIT_S_32 = Case(
    "ViT-S/32",
    {"model": "vit_small_patch16_224", "image_size": 32, "patch_size": 4},
    batch_size=16,
    clients=Clients(total=8, sampled=4, train=32, val=8, test=8),
)
TINY = Case(
    "tiny",
    {
        "model": "vit_tiny_patch16_224",
        "image_size": 8,
        "patch_size": 2,
        "width": 64,
        "depth": 4,
        "heads": 4,
    },
    batch_size=32,
    clients=Clients(total=10, sampled=4, train=100, val=20, test=25),
    channels=1,
)


def federation(case: Case, clients: Clients | None = None, **protocol: Any) -> Federation:
    """The ground of ``case``: one local epoch, random weights, a trial that does not end.

    Args:
        case: backbone and batches.
        clients: others than the case's own.
        protocol: further fields of :class:`Rounds`.
    """
    there = clients or case.clients
    sizes = [there.train, there.val, there.test]
    samples = there.total * sum(sizes)
    side = case.backbone["image_size"]
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (samples, case.channels, side, side), dtype=torch.uint8, generator=rng
    )
    labels = torch.randint(0, case.classes, (samples,), generator=rng)
    names = tuple(f"class {number}" for number in range(case.classes))
    pieces = torch.arange(samples).split(sizes * there.total)
    rules = {
        "rounds": 1_000_000,
        "sampled_clients": there.sampled,
        "local_epochs": 1,
        "batch_size": case.batch_size,
    }
    return Federation(
        Dataset("random", pixels, labels, names),
        tuple(ClientSplit(*pieces[3 * c : 3 * c + 3]) for c in range(there.total)),
        TimmBackbone.model_validate(case.backbone),
        None,
        Rounds.model_validate({**rules, **protocol}),
    )
