"""A generic and a personal head on one shared body."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pfltune import parts
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Start,
    Tensors,
    Update,
    found_under,
    not_under,
    put_under,
)

from ._heads import check_linear, cross_entropy, linear

OWN = "fedrod."


@dataclass(frozen=True, kw_only=True)
class FedRoD(Method):
    """Fed-RoD: robust decoupling (Chen and Chao, ICLR 2022, arXiv 2107.00778), linear variant.

    Body and generic head g are trained on balanced softmax, log Σ_y n_y·exp(g_y) − log n_c·exp(g_c)
    for an image of class c on a client with n_y images of class y, and averaged. A personal linear
    head p reads the same features; the cross-entropy of g + p has its gradient at p alone. A client
    predicts with g + p: as both are linear, with the sum of their weights. p begins at zero, so
    that a client that has not trained yet predicts with the generic model.
    """

    title = "FedRoD"
    family = "partial"

    def graft(self, model: nn.Module) -> None:
        """Nothing is added; the head must be linear."""
        check_linear(model, self.title)

    def init_client(self, start: Start, client: int) -> Tensors:
        """The personal head, all zeros, beside the model."""
        head = {name: start.shared[name] for name in parts.head(start.model)}
        return put_under(OWN, {name: torch.zeros_like(t) for name, t in head.items()})

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The sum of both heads predicts."""
        summed = {name: down[name] + own for name, own in found_under(OWN, personal).items()}
        return {**down, **summed}

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Body and both heads together."""
        context = {"log_counts": work.class_counts.float().log()}
        trained = work.fit({**down, **personal}, self.phases(), self.objective, context)
        upload, own = not_under(OWN, trained), found_under(OWN, trained)
        return Update(upload, put_under(OWN, own), work.samples)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The balanced loss of g, and that of g + p with everything but p fixed."""
        batch = loss.batch()
        said = batch.outputs(not_under(OWN, params))
        own = linear(found_under(OWN, params), said.features.detach())
        generic = cross_entropy(batch, said.logits + context["log_counts"])
        return generic + cross_entropy(batch, said.logits.detach() + own)
