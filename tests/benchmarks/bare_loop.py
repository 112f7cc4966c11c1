"""Federated averaging as anybody writes it in an afternoon: what an engine is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Tensors = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Work:
    """What is computed in a round, ready for the model.

    Attributes:
        training: the batches of each sampled client, in the order of its local steps.
        evaluation: the batches of each client that is evaluated.
        weights: of each sampled client in the mean, its number of training samples.
    """

    training: dict[int, list[Batch]]
    evaluation: dict[int, list[Batch]]
    weights: dict[int, float]


class BareLoop:
    """Rounds of local SGD, mean and evaluation on one model, into which all tensors are loaded.

    Args:
        module: the model, with what a method adds to it.
        work: the batches; every round trains on the same ones.
        server: the tensors that travel, by name.
        personal: the tensors that stay on each client, by name.
        lr: learning rate of SGD.
        precision: ``float32``, or ``bfloat16`` under autocast.
    """

    def __init__(
        self,
        module: nn.Module,
        work: Work,
        server: Tensors,
        personal: Sequence[Tensors],
        lr: float,
        precision: str = "float32",
    ) -> None:
        self.module = module
        self.work = work
        self.server = server
        self.personal = list(personal)
        self.lr = lr
        self.precision = precision

    def round(self) -> list[float]:
        """Train, average, evaluate; the accuracy of each evaluated client in [0, 1]."""
        total = sum(self.work.weights.values())
        mean = {name: torch.zeros_like(value) for name, value in self.server.items()}
        for client, batches in self.work.training.items():
            trained = self._train(client, batches)
            self.personal[client] = {name: trained[name] for name in self.personal[client]}
            for name, value in mean.items():
                value.add_(trained[name], alpha=self.work.weights[client] / total)
        self.server = mean
        return [self._accuracy(client, data) for client, data in self.work.evaluation.items()]

    def _train(self, client: int, batches: list[Batch]) -> Tensors:
        self._load(client)
        self.module.train()
        moving = [p for p in self.module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(moving, lr=self.lr)
        for x, y in batches:
            optimizer.zero_grad()
            with self._autocast():
                loss = F.cross_entropy(self.module(x), y)
            loss.backward()
            optimizer.step()
        return {name: value.clone() for name, value in self.module.state_dict().items()}

    @torch.no_grad()
    def _accuracy(self, client: int, batches: list[Batch]) -> float:
        self._load(client)
        self.module.eval()
        correct = 0.0
        with self._autocast():
            for x, y in batches:
                correct += (self.module(x).argmax(dim=1) == y).sum().item()
        return correct / sum(len(y) for _, y in batches)

    def _load(self, client: int) -> None:
        self.module.load_state_dict({**self.server, **self.personal[client]}, strict=False)

    def _autocast(self) -> torch.autocast:
        device = next(self.module.parameters()).device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")
