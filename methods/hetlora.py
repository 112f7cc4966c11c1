"""Low-rank adapters whose rank differs between clients, and shrinks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pfltune.figures import of_method
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    ServerWork,
    Start,
    Tensors,
    Update,
    brought_over,
    not_under,
    weighted_mean,
)

from ._lora import A, B, LoRA, pairs

RANKS = "hetlora.ranks"
TAIL = "hetlora.tail"


@dataclass(frozen=True, kw_only=True)
class HetLoRA(LoRA):
    """HetLoRA: heterogeneous LoRA (Cho et al., EMNLP 2024, arXiv 2401.06432).

    The server's adapters have rank r. Client k receives the first r_k rows of A and columns of B,
    and pays for these alone. It descends f_k + λ·Σ‖A'‖·‖B'‖, where A' and B' are what lies beyond
    rank γ·r_k; if that product is smaller after the round than before, r_k becomes γ·r_k, rounded
    down, and no less than the smallest rank. The server fills uploads up with zeros and takes their
    mean, weighted by ‖B·A‖ over all adapters, not by samples.

    Ranks lie evenly between r and ``least``·r, and the trial's seed says which is whose. What is
    not a client's is zero while it trains, so that clients of all ranks train side by side; a pair
    of zero factors has no gradient. The factor α/r is the same for all.
    """

    title = "HetLoRA"

    own_figures = (of_method("rank", "rank r_k, mean over the clients of the round"),)

    least: float = knob(0.25, low=0.01, high=1.0, doc="smallest rank of a client, as a share of r")
    gamma: float = knob(0.99, low=0.1, high=1.0, doc="γ, what pruning leaves of a rank")
    lam: float = knob(0.005, low=0.0, high=1.0, doc="weight λ of the product that prunes")

    def init_server(self, start: Start) -> Tensors:
        """Adapters of rank r, and every client's rank."""
        ranks = torch.linspace(self.rank, self._smallest, start.clients).round().long()
        order = torch.randperm(start.clients, generator=start.rng)
        return {**start.shared, RANKS: ranks[order]}

    def download(self, server: Tensors, client: int) -> Tensors:
        """Adapters of the client's rank, and the head if it is shared."""
        return _truncated(not_under(RANKS, server), int(server[RANKS][client]))

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """The phases at the client's rank, and what is left of that rank afterwards."""
        rank = _rank(down)
        pruned = max(self._smallest, int(self.gamma * rank))
        places = torch.arange(self.rank, device=next(iter(down.values())).device)
        tail = {TAIL: ((places >= pruned) & (places < rank)).float()}
        before = {**_padded(down, self.rank), **personal}
        after = work.fit(before, self.phases(), self.objective, context=tail)
        now, then = brought_over([_product(after, tail[TAIL]), _product(before, tail[TAIL])])
        left = _truncated(after, pruned if now < then else rank)
        return Update(
            upload={name: left[name] for name in down},
            personal={name: after[name] for name in personal},
            weight=work.samples,
        )

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, and what pulls the last ranks to zero."""
        return loss(params) + self.lam * _product(params, context[TAIL])

    def figures(self, upload: Tensors, personal: Tensors) -> Tensors:
        """How many ranks are left."""
        return {"rank": torch.tensor(float(_rank(upload)))}

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """The mean by norms, and the ranks that clients have now."""
        ranks = server[RANKS].clone()

        def weighed() -> Iterator[Update]:
            for update in uploads:
                ranks[update.client] = _rank(update.upload)
                products = [(b @ a).square().sum() for a, b in pairs(update.upload)]
                [norm] = brought_over([torch.stack(products).sum().sqrt()])
                yield replace(update, upload=_padded(update.upload, self.rank), weight=norm)

        return {**weighted_mean(weighed(), otherwise=not_under(RANKS, server)), RANKS: ranks}

    @property
    def _smallest(self) -> int:
        return max(1, round(self.least * self.rank))


def _rank(tensors: Tensors) -> int:
    return next(len(a) for a, _ in pairs(tensors))


def _product(tensors: Tensors, tail: Tensor) -> Tensor:
    """Σ‖A'‖·‖B'‖ over the adapters, of those ranks where ``tail`` is 1."""
    norm = torch.linalg.vector_norm
    parts = [norm(a * tail[:, None]) * norm(b * tail) for a, b in pairs(tensors)]
    return torch.stack(parts).sum()


def _truncated(tensors: Tensors, rank: int) -> Tensors:
    cut = {A: lambda a: a[:rank], B: lambda b: b[:, :rank].contiguous()}
    return {n: cut[n[-len(A) :]](t) if n.endswith((A, B)) else t for n, t in tensors.items()}


def _padded(tensors: Tensors, rank: int) -> Tensors:
    fill = {A: lambda a: (0, 0, 0, rank - len(a)), B: lambda b: (0, rank - b.shape[1])}
    return {
        n: F.pad(t, fill[n[-len(A) :]](t)) if n.endswith((A, B)) else t for n, t in tensors.items()
    }
