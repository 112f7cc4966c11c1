"""The loss of one local step as a function of tensors, and the data behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from pfltune.method import Outputs, Tensors


class Speaker(Protocol):
    """Answers for a client's model."""

    def logits(self, tensors: Tensors, x: Tensor) -> Tensor:
        """(batch, classes) in float32."""

    def logits_and_features(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and what the head reads (batch, width) in float32."""


@dataclass(frozen=True)
class StepBatch:
    """One batch of a step, see :class:`pfltune.method.Batch`.

    Attributes:
        speaker: answers for the model.
        rest: the tensors of the client that a caller leaves out.
        images: float (batch, channels, size, size), or what else the speaker reads.
        labels: int64 (batch,).
        shares: of each image in the mean, (batch,); None where all count alike.
    """

    speaker: Speaker
    rest: Tensors
    images: Tensor
    labels: Tensor
    shares: Tensor | None = None

    def loss(self, tensors: Tensors) -> Tensor:
        """The mean cross-entropy."""
        logits = self.speaker.logits({**self.rest, **tensors}, self.images)
        if self.shares is None:
            return F.cross_entropy(logits, self.labels)
        return self.mean(F.cross_entropy(logits, self.labels, reduction="none"))

    def outputs(self, tensors: Tensors) -> Outputs:
        """See :meth:`pfltune.method.Batch.outputs`."""
        found = self.speaker.logits_and_features({**self.rest, **tensors}, self.images)
        return Outputs(*found, self.labels)

    def mean(self, per_image: Tensor) -> Tensor:
        """See :meth:`pfltune.method.Batch.mean`."""
        return per_image.mean() if self.shares is None else (per_image * self.shares).sum()


@dataclass(frozen=True)
class StepLoss:
    """See :class:`pfltune.method.Loss`.

    Attributes:
        batches: of the step.
    """

    batches: Sequence[StepBatch]

    def __call__(self, tensors: Tensors, batch: int = 0) -> Tensor:
        """The mean cross-entropy on a batch."""
        return self.batches[batch].loss(tensors)

    def batch(self, number: int = 0) -> StepBatch:
        """The data itself."""
        return self.batches[number]
