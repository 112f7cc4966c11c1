"""The one interface of every federated method, and the one door to all that its author needs.

    @dataclass(frozen=True, kw_only=True)
    class FedAvg(Method):
        pass

    @dataclass(frozen=True, kw_only=True)
    class FedPer(Method):
        def personal_part(self, model):
            return parts.head(model)

    @dataclass(frozen=True, kw_only=True)
    class FedProx(Method):
        mu: float = knob(0.01, low=0.0, high=10.0, doc="weight of the proximal term")

        def objective(self, loss, params, context):
            return loss(params) + self.mu / 2 * squared_distance(params, context)

A method is a frozen dataclass of hyperparameters plus hooks over plain data. It holds no state:
the server's state, the personal state of each client and both payloads are dictionaries of tensors
that are handed in and out. The base class itself is federated averaging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pfltune.devices import brought_over, moved, normals
from pfltune.figures import Figure
from pfltune.knobs import knob
from pfltune.local_work import (
    Batch,
    LocalWork,
    Loss,
    Objective,
    Outputs,
    Phase,
    ServerWork,
)
from pfltune.optimizers import Optimizer, Schedule
from pfltune.tensors import (
    Tensors,
    dot,
    found_under,
    gradient,
    not_under,
    put_under,
    squared_distance,
)
from pfltune.wraps.base import Wrap

__all__ = [
    "Batch",
    "LocalWork",
    "Loss",
    "Method",
    "Objective",
    "Optimizer",
    "Outputs",
    "Phase",
    "Schedule",
    "ServerWork",
    "Start",
    "Tensors",
    "Update",
    "Wrap",
    "brought_over",
    "dot",
    "found_under",
    "gradient",
    "moved",
    "normals",
    "not_under",
    "put_under",
    "squared_distance",
    "weighted_mean",
]


Family = Literal["full models", "partial", "parameter-efficient", "forward only"]
"""The whole model trains, be it shared or a client's own; a part of it stays on the client; the
backbone is frozen; no gradient goes back through the model."""


@dataclass(frozen=True)
class Start:
    """What a method finds when a federation begins.

    Attributes:
        shared: initial values of the tensors that would travel, by name.
        personal: initial values of the tensors that stay on the clients, by name.
        clients: number of clients N.
        rng: a seeded generator for draws; the server and each client get one of their own.
        trainable: names among both that local training moves; what else there is are buffers,
            such as a BatchNorm's statistics.
        model: the grafted one, for :mod:`pfltune.parts` to name what is in it; it is not to change.
    """

    shared: Tensors
    personal: Tensors
    clients: int
    rng: torch.Generator
    trainable: frozenset[str] = frozenset()
    model: nn.Module = field(default_factory=nn.Module)

    def moving(self) -> Tensors:
        """Those that travel and that local training moves."""
        return {name: value for name, value in self.shared.items() if name in self.trainable}


@dataclass(frozen=True)
class Update:
    """What a client's local training gives back.

    Attributes:
        upload: the tensors that travel to the server; exactly these are counted.
        personal: the client's new personal state, which stays.
        weight: the client's weight in the server's mean, its number of training samples.
        client: the client's index, filled in by the engine.
        change: whether the upload is a change already, and no new value of what was downloaded;
            wraps that act on changes ask.
    """

    upload: Tensors
    personal: Tensors
    weight: float
    client: int = -1
    change: bool = False


@dataclass(frozen=True, kw_only=True)
class Method:
    """Federated averaging, and the defaults of every other method.

    Subclasses change hooks only where their algorithm differs. All hooks are functions of their
    arguments: nothing is remembered on ``self``.
    """

    title: ClassVar[str] = ""
    """How the method is written in a paper; the class name if empty."""

    published_payload: ClassVar[str] = ""
    """What a paper says that a client sends: a share of FedAvg's, or a count with its backbone."""

    family: ClassVar[Family] = "full models"
    """What trains and travels, roughly; ``pfltune methods`` lists them by it."""

    own_figures: ClassVar[tuple[Figure, ...]] = ()
    """What :meth:`figures` tells, each made by :func:`pfltune.figures.of_method`."""

    lr: float = knob(0.01, low=1e-4, high=1.0, log=True, doc="learning rate of local SGD")

    @property
    def needs_float32(self) -> bool:
        """Whether half precision would drown what the method computes with.

        A method of which that holds whatever its knobs are says ``needs_float32 = True``.
        """
        return False

    @property
    def needs_plain_sgd(self) -> bool:
        """Whether it reads gradients off the way that a client went; said in the same two ways.

        Momentum would scale them, and AdamW would make them something else.
        """
        return False

    def graft(self, model: nn.Module) -> None:
        """Add adapters or prompts to the backbone and freeze what must not move, in place."""

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The names, in ``model.state_dict()``, of the tensors that stay on the client.

        :mod:`pfltune.parts` names the usual ones. Frozen parameters never travel in any case;
        whatever is neither frozen nor named here is shared.
        """
        return ()

    def phases(self) -> tuple[Phase, ...]:
        """Local training of one round, as data."""
        return (Phase("all", self.lr),)

    def adapt(self) -> tuple[Phase, ...]:
        """Training on the client's own data before each evaluation, thrown away afterwards."""
        return ()

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The scalar that a local step descends; by default the loss alone.

        A pure function of tensors, so that clients can be trained side by side.

        Args:
            loss: the loss as a function of tensors.
            params: the tensors that move in this phase, as they are now.
            context: constants of the client, see :meth:`LocalWork.fit`; by default all its tensors
                as they were when local training began.
        """
        return loss(params)

    def init_server(self, start: Start) -> Tensors:
        """The server's first state."""
        return dict(start.shared)

    def init_client(self, start: Start, client: int) -> Tensors:
        """The first personal state of one client; by default the same for all.

        Asked for when the client is first met, and again until it has trained: the answer depends
        on the arguments alone.
        """
        return dict(start.personal)

    def download(self, server: Tensors, client: int) -> Tensors:
        """What this client receives at the beginning of a round; its bytes are counted."""
        return server

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The tensors of the model that the client predicts with."""
        return {**down, **personal}

    def assemble_trained(self, down: Tensors, update: Update) -> Tensors:
        """The same of a client that has just trained and has not heard of the server since.

        Asked for where the scenario evaluates clients after training. By default what it uploads
        stands for what it downloaded, or is added to it where the upload is a change; where it
        uploads something else it has what it downloaded.

        Args:
            down: what it received for this round.
            update: what its training gave back.
        """
        up, trained = update.upload, dict(down)
        for name in down.keys() & up.keys():
            trained[name] = down[name] + up[name] if update.change else up[name]
        return self.assemble(trained, update.personal)

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """One client's local training: run the phases, upload what was downloaded."""
        trained = work.fit({**down, **personal}, self.phases(), self.objective)
        return Update(
            upload={name: trained[name] for name in down},
            personal={name: trained[name] for name in personal},
            weight=work.samples,
        )

    def wraps(self) -> tuple[Wrap, ...]:
        """What payloads pass on their way, in this order, see :mod:`pfltune.wraps`.

        Every method can be wrapped from outside, as in ``fedavg+topk``; what stands here is part of
        the method, and comes first.
        """
        return ()

    def figures(self, upload: Tensors, personal: Tensors) -> Mapping[str, Tensor]:
        """Numbers of one client that has trained, one for each of :attr:`own_figures`.

        Their means over the clients of a round stand in journal, MLflow and CSVs below ``method/``.
        They change nothing, and are no part of any payload.

        Args:
            upload: what the client sends.
            personal: its new personal state.
        """
        return {}

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """The server's next state; by default the mean of the uploads, weighted by samples.

        Args:
            server: its state; an optimizer's of its own may be part of it, see :meth:`download`.
            uploads: arrive one by one, always in the order of the client's index, and each is
                dropped after use: the cohort is never held twice.
            work: the round, and draws.
        """
        return weighted_mean(uploads, otherwise=server)


def weighted_mean(uploads: Iterable[Update], otherwise: Tensors) -> Tensors:
    """Σ αᵢ uᵢ with αᵢ proportional to the weights (McMahan et al. 2017, arXiv 1602.05629).

    A running mean in place, m ← m + (wᵢ / Σⱼ≤ᵢ wⱼ)·(uᵢ − m): one copy of the model whatever the
    number of uploads, and the mean of equal uploads is that upload to the last bit.

    Args:
        uploads: the clients' updates; consumed once.
        otherwise: returned when no upload arrives.
    """
    total = 0.0
    mean: Tensors = {}
    for update in uploads:
        total += update.weight
        if not mean:
            mean = {name: _widened(value).clone() for name, value in update.upload.items()}
        elif update.weight:
            values = [_widened(update.upload[name]) for name in mean]
            torch._foreach_lerp_(list(mean.values()), values, update.weight / total)
    if not total:
        return otherwise
    return {name: _narrowed(value, otherwise[name].dtype) for name, value in mean.items()}


def _widened(value: Tensor) -> Tensor:
    """In a type in which a mean can be taken: half precision as float32, whole numbers exact."""
    wide = torch.float32 if value.is_floating_point() else torch.float64
    return value.to(torch.promote_types(value.dtype, wide))


def _narrowed(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Back to the type that travels; of whole numbers the nearest."""
    return (value if dtype.is_floating_point else value.round()).to(dtype)
