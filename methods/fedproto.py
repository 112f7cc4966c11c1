"""Personal models that are held together by class prototypes alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    ServerWork,
    Start,
    Tensors,
    Update,
    found_under,
)

from ._centroids import centroids_of, distance, merged
from ._heads import check_linear, cross_entropy

PROTOTYPES, COUNTS = "prototypes.", "counts."
NEVER = -6e4  # a logit that loses, and that half precision can hold


@dataclass(frozen=True, kw_only=True)
class FedProto(Method):
    """FedProto: federated prototype learning (Tan et al., AAAI 2022, arXiv 2105.00243).

    The whole model stays. After training a client sends the mean feature of each class, its
    prototypes (classes × width), and its number of images of each; the server takes their mean by
    these numbers. Training adds λ times the mean squared difference between an image's features and
    the global prototype of its class. A client predicts the class of the nearest global prototype,
    or with its own head; what nobody ever had is never predicted.
    """

    title = "FedProto"

    lam: float = knob(1.0, low=0.0, high=10.0, doc="weight λ of the distance to the prototypes")
    predict: str = knob(
        "prototypes", choices=("prototypes", "head"), doc="what predicts, once there are prototypes"
    )

    def graft(self, model: nn.Module) -> None:
        """Nothing is added; the head must be linear."""
        check_linear(model, self.title)

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Everything stays."""
        return parts.everything(model)

    def init_server(self, start: Start) -> Tensors:
        """No prototype yet; the names say which tensor of the head they can stand for."""
        name = next(n for n in parts.head(start.model) if start.personal[n].ndim == 2)
        head = start.personal[name]
        counts = head.new_zeros(len(head), dtype=torch.int32)
        return {PROTOTYPES + name: torch.zeros_like(head), COUNTS + name: counts}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """A head c·f − ‖c‖²/2, which is largest for the class whose prototype c is nearest to f.

        Less what it says to all classes alike, the head of their mean: half precision would round
        the differences away beside it.
        """
        prototypes, counts, name = _told(down)
        if self.predict == "head":
            return personal
        known = (counts > 0).to(prototypes)
        middle = (known @ prototypes) / known.sum().clamp_min(1)
        apart = prototypes - middle
        half = (apart * (prototypes + middle)).sum(dim=1) / 2
        bias = torch.where(counts > 0, -half, NEVER)
        nearest = {name: apart, name.removesuffix("weight") + "bias": bias}
        told = counts.any()
        return personal | {n: torch.where(told, t, personal[n]) for n, t in nearest.items()}

    def assemble_trained(self, down: Tensors, update: Update) -> Tensors:
        """The own new model, with everybody's prototypes as they were downloaded."""
        return self.assemble(down, update.personal)

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """The own model; then its prototypes, in a pass over all training images."""
        prototypes, counts, name = _told(down)
        context = {"prototypes": prototypes, "known": (counts > 0).to(prototypes)}
        trained = work.fit(personal, self.phases(), self.objective, context)
        own = centroids_of(work.outputs(trained), work.class_counts)
        own = torch.where((work.class_counts > 0).unsqueeze(1), own, prototypes)
        upload = {PROTOTYPES + name: own, COUNTS + name: work.class_counts.int()}
        return Update(upload, trained, work.samples)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, and the distance of the batch to the prototypes of its classes."""
        batch = loss.batch()
        said = batch.outputs(params)
        far = distance(batch, said, context["prototypes"], context["known"])
        return cross_entropy(batch, said.logits) + self.lam * far

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """The mean prototype of each class; a class that nobody had keeps the one it has."""
        told = [_told(update.upload)[:2] for update in uploads]
        if not told:
            return server
        prototypes, counts, name = _told(server)
        prototypes, counts = merged(told, prototypes, counts)
        return {PROTOTYPES + name: prototypes, COUNTS + name: counts}


def _told(payload: Tensors) -> tuple[Tensor, Tensor, str]:
    """Prototypes, counts, and the name of the head's weight."""
    [(name, prototypes)] = found_under(PROTOTYPES, payload).items()
    return prototypes, payload[COUNTS + name], name
