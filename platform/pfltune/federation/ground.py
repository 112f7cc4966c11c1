"""What every method of a comparison is given: clients, data, backbone, protocol."""

from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import nn

from pfltune.backbones import Backbone
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.method import Tensors
from pfltune.settings import Settings


class Protocol(Settings):
    """The rules of the rounds, the same for all methods."""

    rounds: int = Field(ge=1, description="communication rounds")
    sampled_clients: int = Field(ge=1, description="clients that train in each round")
    local_epochs: int = Field(ge=1, description="passes over a client's training data per round")
    batch_size: int = Field(ge=1, description="samples per local step")
    evaluate_every: int = Field(1, ge=1, description="rounds between evaluations")

    def evaluates(self, round_number: int) -> bool:
        """Whether clients are evaluated after this round (counted from 1); the last one always."""
        return round_number % self.evaluate_every == 0 or round_number == self.rounds


@dataclass(frozen=True)
class Federation:
    """The ground of a comparison, immutable and shared by its trials.

    Attributes:
        dataset: all samples.
        clients: the sample indices of each client.
        backbone: the architecture.
        weights: start weights for every method and seed, or None for random ones per seed.
        protocol: rounds, sampling and local training.
    """

    dataset: Dataset
    clients: tuple[ClientSplit, ...]
    backbone: Backbone
    weights: Tensors | None
    protocol: Protocol

    def without_test(self) -> "Federation":
        """The same ground without test indices: a search trial cannot leak what it lacks."""
        return replace(self, clients=tuple(client.without_test() for client in self.clients))

    def partition_csv(self) -> str:
        """The clients' samples per part and class: client, part, samples, one column a class."""
        rows = [["client", "part", "samples", *self.dataset.class_names]]
        for number, client in enumerate(self.clients):
            for part in ("train", "val", "test"):
                indices = getattr(client, part)
                if indices is not None:
                    labels = self.dataset.labels[indices]
                    counts = torch.bincount(labels, minlength=self.dataset.classes).tolist()
                    rows.append([str(number), part, str(len(indices)), *map(str, counts)])
        return "".join(",".join(row) + "\n" for row in rows)

    def build_backbone(self, seed: int) -> nn.Module:
        """The bare model at the start of a trial with this seed."""
        model = self.backbone.build(self.dataset.classes, self.dataset.channels, seed)
        if self.weights is not None:
            with torch.no_grad():
                model.load_state_dict(self.weights, strict=True)
        return model
