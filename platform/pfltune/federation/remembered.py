"""What a model computes before anything moves, once for each sample of a client in a phase."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from pfltune.data.images import Images
from pfltune.federation.cut import Cut, Run
from pfltune.federation.payload import MB
from pfltune.federation.step_loss import StepBatch, StepLoss
from pfltune.method import Tensors

ROOM_MB = 256.0
"""MB (10^6 bytes) that a client's samples may take at a cut; what needs more is computed anew."""


class Model(Protocol):
    """Answers for a client's model, or for the end of it."""

    @property
    def images(self) -> Images:
        """The data on the model's device."""

    def logits(self, tensors: Tensors, x: Tensor, run: Run | None = None) -> Tensor:
        """(batch, classes) in float32."""

    def logits_and_features(
        self, tensors: Tensors, x: Tensor, run: Run | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same, and what the head reads (batch, width) in float32."""

    def given(self, module: nn.Module, tensors: Tensors, chosen: Tensor) -> Tensor:
        """What a module is given for some samples."""


@dataclass(frozen=True, eq=False)
class Remembered:
    """Answers for a client's model while some of its last tensors move.

    An answer for other tensors than those of the phase, which an objective may ask for, is computed
    from the images.

    Attributes:
        model: the whole of it.
        cut: where it begins to depend on what moves.
        tensors: the client's.
        moving: names of those that move.
        samples: the client's training samples, on the device.
    """

    model: Model
    cut: Cut
    tensors: Tensors
    moving: frozenset[str]
    samples: Tensor

    def loss_on(self, batches: tuple[Tensor, ...]) -> StepLoss:
        """As :meth:`LocalTrainer.loss_on`."""
        labels = self.model.images.labels
        return StepLoss([StepBatch(self, self.tensors, b, labels[b]) for b in batches])

    def logits(self, tensors: Tensors, chosen: Tensor) -> Tensor:
        """The answers for some of the samples."""
        return self.model.logits(tensors, *self._read(tensors, chosen))

    def logits_and_features(self, tensors: Tensors, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The same with features."""
        return self.model.logits_and_features(tensors, *self._read(tensors, chosen))

    def _read(self, tensors: Tensors, chosen: Tensor) -> tuple[Tensor, Run | None]:
        """What is known of the samples, and what of the model is to be run on it."""
        still = (tensors[n] is t for n, t in self.tensors.items() if n not in self.moving)
        none_more = len(tensors) == len(self.tensors)  # frozen ones, which are nobody's state
        if none_more and all(still) and self._known is not None:
            return self._known[torch.searchsorted(self._in_order, chosen)], self.cut.rest
        return self.model.images.batch(chosen, training=True)[0], None

    @cached_property
    def _in_order(self) -> Tensor:
        return self.samples.sort().values

    @cached_property
    def _known(self) -> Tensor | None:
        """What the cut's module is given for each sample, in their order; None without room."""
        one = self._given(self._in_order[:1])
        if one.nbytes * len(self.samples) > ROOM_MB * MB:
            return None
        return self._given(self._in_order)

    def _given(self, chosen: Tensor) -> Tensor:
        return self.model.given(self.cut.module, self.tensors, chosen)
