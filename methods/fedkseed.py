"""The whole model tuned by forward passes; seeds and scalars are all that travels."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Method,
    ServerWork,
    Start,
    Tensors,
    Update,
    brought_over,
    moved,
)

from ._seeds import along, step


@dataclass(frozen=True, kw_only=True)
class FedKSeed(Method):
    """FedKSeed (Qin et al., ICML 2024, arXiv 2312.06353) on a vision transformer.

    There are K candidate seeds, each of which makes a direction z_j of the size of the model. The
    model is w = w₀ − lr·Σ a_j·z_j: every client has kept the start weights w₀, receives K scalars
    (K,) and makes the model again. A local step draws one j, measures the slope
    g = [L(w + μ·z_j) − L(w − μ·z_j)] / 2μ by two forward passes, and takes w ← w − lr·g·z_j. Up go
    the seeds that were drawn and the sums of their slopes (steps or fewer, each); the server adds
    their mean to the a_j. Nothing is propagated back, and no weight travels after w₀. Of a
    scheduled rate the factor is in the slopes. The candidates are key, key + 1, …, so that one
    number says them all; the public code draws K. Its clipping of slopes, which is off, and
    FedKSeed-Pro's unequal probabilities of seeds are not taken over.
    """

    title = "FedKSeed"
    family = "forward only"
    needs_float32 = True  # it lives on small differences of losses
    published_payload = "below 18 kB in all"

    lr: float = knob(1e-4, low=1e-8, high=0.1, log=True, doc="rate of a step along a seed")
    candidates: int = knob(1024, low=1, high=65536, log=True, doc="candidate seeds K")
    mu: float = knob(5e-4, low=1e-5, high=0.1, log=True, doc="size μ of a perturbation")

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The weights stay where they are, as w₀."""
        return (name for name, p in model.named_parameters() if p.requires_grad)

    def init_server(self, start: Start) -> Tensors:
        """The first of the candidate seeds, and a scalar for each."""
        like = next(iter(start.personal.values()))
        key = torch.randint(2**31, (), generator=start.rng)
        return {"key": moved(key, like.device), "scalars": like.new_zeros(self.candidates)}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The model w that seeds and scalars make of w₀."""
        return self._made(*_known(down), personal)

    def assemble_trained(self, down: Tensors, update: Update) -> Tensors:
        """The same with the slopes that the client has found."""
        scalars = down["scalars"].clone()
        scalars[update.upload["seeds"].long()] += update.upload["slopes"]
        return self.assemble({**down, "scalars": scalars}, update.personal)

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Steps along seeds; up go the seeds and their slopes."""
        rng, (key, scalars) = work.generator(), _known(down)
        at, slopes = self._made(key, scalars, personal), dict[int, Tensor]()
        for loss in work.batches():
            j = int(torch.randint(self.candidates, (), generator=rng))
            g = work.rate * step(loss, at, key + j, self.mu, self.lr * work.rate)
            slopes[j] = slopes[j] + g if j in slopes else g
        sums = torch.stack(list(slopes.values()))
        seeds = moved(torch.tensor(list(slopes), dtype=torch.int32), sums.device)
        return Update({"seeds": seeds, "slopes": sums}, personal, work.samples, change=True)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """Each scalar grows by the mean of its slopes, weighted by samples; none counts as 0."""
        change, total = torch.zeros_like(server["scalars"]), 0.0
        for update in uploads:
            drawn = update.upload["seeds"].long()  # none is there twice
            change[drawn] += update.weight * update.upload["slopes"]
            total += update.weight
        return {**server, "scalars": server["scalars"] + change / (total or 1.0)}

    def _made(self, key: int, scalars: list[float], start: Tensors) -> Tensors:
        change = along({key + j: a for j, a in enumerate(scalars) if a}, start)
        return {name: t - self.lr * change[name] for name, t in start.items()}


def _known(down: Tensors) -> tuple[int, list[float]]:
    """The first seed and the scalars as numbers, brought over together."""
    both = torch.cat([down["key"].view(1).double(), down["scalars"].double()])
    ((key, *scalars),) = brought_over([both])
    return int(key), scalars
