"""Clients on black images of one size: what is measured and predicted needs no real ones."""

from dataclasses import dataclass

import torch

from pfltune.backbones import TimmBackbone
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.federation.federation import Federation, Rounds

CLASSES = 100


@dataclass(frozen=True)
class Workload:
    """A backbone and its batches.

    Attributes:
        title: how tables call it.
        backbone: the backbone.
        batch: images of a local step.
    """

    title: str
    backbone: TimmBackbone
    batch: int


VIT_S = Workload("ViT-S/224", TimmBackbone(model="vit_small_patch16_224", image_size=224), 64)
VIT_B = Workload("ViT-B/224", TimmBackbone(model="vit_base_patch16_224", image_size=224), 64)
VIT_TINY = Workload(
    "ViT-Tiny/32",
    TimmBackbone(model="vit_tiny_patch16_224", image_size=32, patch_size=4),
    32,
)


def ground(workload: Workload, clients: int, sampled: int) -> Federation:
    """Clients of one batch each; the rounds of a trial on it are not evaluated.

    Args:
        workload: backbone and batches.
        clients: there are.
        sampled: train in a round, which is one local step of each.
    """
    size, each = workload.backbone.image_size, workload.batch + 1
    images = torch.zeros(clients * each, 3, size, size, dtype=torch.uint8)
    labels = torch.zeros(clients * each, dtype=torch.int64)
    names = tuple(f"class {number}" for number in range(CLASSES))
    own = torch.arange(clients * each).split(each)
    endless = 1_000_000
    return Federation(
        Dataset("black", images, labels, names),
        tuple(ClientSplit(train=i[:-1], val=i[-1:], test=None) for i in own),
        workload.backbone,
        None,
        Rounds(
            rounds=endless,
            sampled_clients=sampled,
            local_epochs=1,
            batch_size=workload.batch,
            evaluate_every=endless,
        ),
    )
