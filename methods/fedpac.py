"""Features aligned to class centroids, and for each client a combination of all heads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Outputs,
    Phase,
    ServerWork,
    Start,
    Tensors,
    Update,
    found_under,
    not_under,
    put_under,
    weighted_mean,
)

from ._centroids import centroids_of, distance, merged
from ._heads import check_linear, cross_entropy
from ._simplex import simplex_minimum

HEAD, TOLD, OF = "classifier.", "statistics.", "of/"
SMALLEST = 1e-3


@dataclass(frozen=True, kw_only=True)
class FedPAC(Method):
    """FedPAC: feature alignment, classifier collaboration (Xu et al., ICLR 2023, arXiv 2306.11867).

    A client trains its head for an epoch with the body frozen, then the body with the head frozen
    on the loss plus λ times the mean squared difference between an image's features and the global
    centroid of its class (classes × width), or its own from before training if there is none. The
    body is averaged, centroids by images of a class. Each client's next head is Σ_j α_j·head_j over
    the cohort, with α the minimum over the simplex of Σ_j α_j²·V_j + ‖Σ_j α_j·(h_i − h_j)‖², where
    h_j (classes × width) are a client's centroids before training times its shares of the classes,
    and V_j = (E‖z‖² − ‖h_j‖²) / n_j. Who has not taken part yet gets the mean head.
    """

    title = "FedPAC"
    family = "partial"

    lam: float = knob(1.0, low=0.0, high=10.0, doc="weight λ of the distance to the centroids")
    head_lr: float = knob(0.1, low=1e-4, high=1.0, log=True, doc="learning rate of the head")

    def graft(self, model: nn.Module) -> None:
        """Nothing is added; the head must be linear."""
        check_linear(model, self.title)

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The head, another on each client; it travels, under a name of its own."""
        return parts.head(model)

    def phases(self) -> tuple[Phase, ...]:
        """Head, then body."""
        return (Phase("personal", self.head_lr, epochs=1), Phase("shared", self.lr))

    def init_server(self, start: Start) -> Tensors:
        """Body, head, and no centroid yet."""
        weight = next(t for t in start.personal.values() if t.ndim == 2)
        counts = weight.new_zeros(len(weight), dtype=torch.int32)
        told = {"centroids": torch.zeros_like(weight), "counts": counts}
        return {**start.shared, **put_under(HEAD, start.personal), **put_under(TOLD, told)}

    def init_client(self, start: Start, client: int) -> Tensors:
        """Nothing stays: the server has the client's head."""
        return {}

    def download(self, server: Tensors, client: int) -> Tensors:
        """Body and centroids, and the client's combination of heads."""
        return {**not_under(OF, server), **found_under(f"{OF}{client}/", server)}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The body with the client's head."""
        return {**not_under(TOLD, not_under(HEAD, down)), **found_under(HEAD, down)}

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Statistics of what was downloaded, head, body, and the centroids after that."""
        start, counts = self.assemble(down, personal), work.class_counts
        before = work.outputs(start)
        own = centroids_of(before, counts)
        trained = work.fit(start, self.phases(), self.objective, _targets(down, own))
        after = centroids_of(work.outputs(trained), counts)
        after = torch.where((counts > 0).unsqueeze(1), after, down[f"{TOLD}centroids"])
        told = {"centroids": after, "counts": counts.int(), **_statistics(before, own, counts)}
        head = {name: trained[name] for name in found_under(HEAD, down)}
        body = {name: value for name, value in trained.items() if name not in head}
        upload = {**body, **put_under(HEAD, head), **put_under(TOLD, told)}
        return Update(upload, {}, work.samples)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, and the distance to the centroids, which does not depend on the head."""
        batch = loss.batch()
        said = batch.outputs(params)
        far = distance(batch, said, context["centroids"], context["known"])
        return cross_entropy(batch, said.logits) + self.lam * far

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """The mean of bodies and heads, the centroids, and a head for each of the cohort."""
        heads: dict[int, Tensors] = {}
        told: list[Tensors] = []

        def passing() -> Iterator[Update]:
            for update in uploads:
                heads[update.client] = found_under(HEAD, update.upload)
                told.append(found_under(TOLD, update.upload))
                yield replace(update, upload=not_under(TOLD, update.upload))

        new = {**server, **weighted_mean(passing(), otherwise=server)}
        if not told:
            return server
        known = (server[f"{TOLD}centroids"], server[f"{TOLD}counts"])
        centroids, counts = merged([(t["centroids"], t["counts"]) for t in told], *known)
        new |= put_under(TOLD, {"centroids": centroids, "counts": counts})
        weights = combinations([t["h"] for t in told], [t["v"] for t in told])
        for client, alpha in zip(heads, weights, strict=True):
            new |= put_under(f"{OF}{client}/{HEAD}", _combined([*heads.values()], alpha))
        return new


def combinations(h: list[Tensor], v: list[Tensor]) -> Tensor:
    """The weights α of all heads in the next head of each client of the cohort (cohort × cohort).

    Weights below a thousandth become zero, as in the public code.
    """
    means, variances = torch.stack(h).flatten(1).double(), torch.stack(v).double()
    # One client at a time: all differences together are heads squared times the size of one.
    spreads = torch.stack([(apart := own - means) @ apart.mT for own in means])
    alpha = simplex_minimum(spreads + variances.diag())
    kept = torch.where(alpha > SMALLEST, alpha, 0.0)
    return kept / kept.sum(dim=1, keepdim=True)


def _combined(heads: list[Tensors], alpha: Tensor) -> Tensors:
    return {
        name: torch.tensordot(alpha.to(value), torch.stack([h[name] for h in heads]), dims=1)
        for name, value in heads[0].items()
    }


def _targets(down: Tensors, own: Tensor) -> Tensors:
    """What features are pulled to: nothing at all before there are global centroids."""
    known = down[f"{TOLD}counts"] > 0
    centroids = torch.where(known.unsqueeze(1), down[f"{TOLD}centroids"], own)
    return {"centroids": centroids, "known": known.any().expand_as(known).to(own)}


def _statistics(said: Outputs, centroids: Tensor, counts: Tensor) -> Tensors:
    """Of the features z of all training images: h (classes × width) and V."""
    samples = counts.sum()
    h = centroids * (counts / samples).unsqueeze(1)
    spread = said.features.square().sum(dim=1).mean() - h.square().sum()
    return {"h": h, "v": spread.clamp_min(0) / samples}  # rounding may leave less, of one image
