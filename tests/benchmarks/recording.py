"""The same round twice: the engine's, and the bare loop's over the batches that the engine read."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from bare_loop import BareLoop, Batch, Work
from torch import Tensor, nn

from pfltune.data.images import Images
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Tensors
from pfltune.randomness import isolated


class FirstRound:
    """A trial's first round beside the bare loop's, each as often as one likes.

    Args:
        trial: fresh; its first round is run, in which it counts operations by steps of their own,
            and once more for the record.
        precision: of the bare loop.
        loop: what the bare loop is made by.
        tolerance: how far the two server states may lie apart after that round, as a share of
            the way that they went.

    Attributes:
        trial: run its ``step``.
        bare: run its ``round``.

    Raises:
        RuntimeError: the bare loop does not arrive where the engine does.
    """

    def __init__(
        self,
        trial: FederatedTrial,
        precision: str = "float32",
        tolerance: float = 1e-3,
        loop: Callable[..., BareLoop] = BareLoop,
    ) -> None:
        self.trial = trial
        self._server = _copy(trial.server)
        self._personal = [_copy(personal) for personal in trial.personal]
        trial.step()
        self._set_back()
        self.bare = loop(
            grafted_model(trial.method, trial.federation, trial.seed).to(trial.device),
            recorded_step(trial),
            _copy(self._server),
            [_copy(personal) for personal in self._personal],
            trial.method.lr,
            precision,
        )
        self.bare.round()
        _check_equal(self._server, trial.server, self.bare.server, tolerance)
        self.rewind()

    def rewind(self) -> None:
        """Put both into the state before the first round."""
        self._set_back()
        self.bare.server = _copy(self._server)
        for client, personal in enumerate(self._personal):
            self.bare.personal[client] = _copy(personal)

    def _set_back(self) -> None:
        self.trial.round = 0
        self.trial.server = _copy(self._server)
        for client, personal in enumerate(self._personal):
            self.trial.personal[client] = _copy(personal)


def grafted_model(method: Method, federation: Federation, seed: int) -> nn.Module:
    """The model that ``method`` trains, as a trial with this seed has it at its start."""
    model = federation.build_backbone(seed)
    with isolated(seed, "graft"):
        method.graft(model)
    return model


def recorded_step(trial: FederatedTrial) -> Work:
    """Run one round of ``trial`` and give back every batch that it read."""
    trainer, clients = trial._trainer, trial.federation.clients
    images = trainer.images
    record = _Record(images, trial.federation)
    trainer.images = record  # type: ignore[assignment]  # all that a trainer asks of images
    try:
        trial.step()
    finally:
        trainer.images = images
    weights = {client: float(len(clients[client].train)) for client in record.training}
    return Work(dict(record.training), dict(record.evaluation), weights)


class _Record:
    """Stands in for a trial's images and notes what is read, by client."""

    def __init__(self, images: Images, federation: Federation) -> None:
        self._images = images
        self._owner = torch.full((len(images.labels),), -1)
        for client, split in enumerate(federation.clients):
            for part in (split.train, split.val, split.test):
                if part is not None:
                    self._owner[part] = client
        self.training: defaultdict[int, list[Batch]] = defaultdict(list)
        self.evaluation: defaultdict[int, list[Batch]] = defaultdict(list)

    def batch(self, indices: Tensor, *, training: bool = False) -> Batch:
        """See :meth:`Images.batch`."""
        x, y = self._images.batch(indices, training=training)
        owners = self._owner[indices.cpu()]
        for client in owners.unique().tolist():  # of an evaluation several may share a batch
            own = owners == client
            (self.training if training else self.evaluation)[client].append((x[own], y[own]))
        return x, y

    def __getattr__(self, name: str) -> Any:
        return getattr(self._images, name)


def _check_equal(start: Tensors, engine: Tensors, bare: Tensors, tolerance: float) -> None:
    """Both went the same way: their ends are compared with what moved, which is little at first."""
    moved = torch.stack([(engine[n] - start[n]).norm() for n in start]).norm().item()
    apart = torch.stack([(engine[n] - bare[n]).norm() for n in start]).norm().item()
    if not moved or apart > tolerance * moved:
        raise RuntimeError(
            f"after a round in which the engine's server state moved by {moved:.3g}, the bare "
            f"loop's is {apart:.3g} away from it: they do not do the same work"
        )


def _copy(tensors: Tensors) -> Tensors:
    return {name: value.clone() for name, value in tensors.items()}
