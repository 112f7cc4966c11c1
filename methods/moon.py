"""A shared model whose features are kept near the global model's, and off the last local one's."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Start,
    Tensors,
    Update,
    found_under,
    put_under,
)

from ._heads import cross_entropy

GLOBAL, PREVIOUS = "moon.global.", "moon.previous."


@dataclass(frozen=True, kw_only=True)
class MOON(Method):
    """MOON: model-contrastive federated learning (Li et al., CVPR 2021, arXiv 2103.16257).

    FedAvg with μ·ℓ in the local loss, ℓ = −log(e^(s/τ) / (e^(s/τ) + e^(s′/τ))) for an image with
    features z, where s is the cosine of z with the downloaded model's features, and s′ with those
    of the model that the client sent last, which it keeps; before that, the common start. A step
    costs three forward passes and one backward. The public code puts a two-layer projection in
    front of the classifier and contrasts what comes out of it; here z is what the ViT's head reads,
    so that the model is that of every other method. With μ = 0 it is FedAvg, up to rounding.
    """

    title = "MOON"

    mu: float = knob(1.0, low=0.0, high=20.0, doc="weight μ of the contrast")
    tau: float = knob(0.5, low=0.05, high=5.0, log=True, doc="temperature τ of the contrast")

    def init_client(self, start: Start, client: int) -> Tensors:
        """Where the client's previous model is kept."""
        return put_under(PREVIOUS, start.shared)

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The shared model predicts."""
        return down

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """The shared model, between the two that stay as they are."""
        context = {**put_under(GLOBAL, down), **personal}
        trained = work.fit(down, self.phases(), self.objective, context)
        return Update(trained, put_under(PREVIOUS, trained), work.samples)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss and the contrast."""
        batch = loss.batch()
        said = batch.outputs(params)
        near, off = (
            F.cosine_similarity(said.features, batch.outputs(found_under(by, context)).features)
            for by in (GLOBAL, PREVIOUS)
        )
        contrast = batch.mean(F.softplus((off - near) / self.tau))
        return cross_entropy(batch, said.logits) + self.mu * contrast
