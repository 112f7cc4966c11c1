"""Whether what clients trained is made of finite numbers."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pfltune.devices import brought_over
from pfltune.errors import Diverged
from pfltune.method import Tensors, Update


@dataclass
class Health:
    """Scalars on the device that tell of local training, looked at once, at its end.

    Attributes:
        device: where they are.
        losses: the objective's value in each local step.
        magnitudes: sums of norms of what clients sent and kept.
    """

    device: torch.device
    losses: list[Tensor] = field(default_factory=list)
    magnitudes: list[Tensor] = field(default_factory=list)

    def add(self, losses: list[Tensor], update: Update) -> None:
        """Take note of one client's training."""
        self.losses += losses
        self.magnitudes += _magnitude(update.upload) + _magnitude(update.personal)

    def mean_loss(self, of: str) -> float:
        """The mean loss.

        Args:
            of: the round, or what else it is of, in words.

        Raises:
            Diverged: it, or a client's tensors, are not finite.
        """
        loss, magnitude = brought_over([self._mean(self.losses), self._mean(self.magnitudes)])
        if not np.isfinite(loss):
            raise Diverged(f"the training loss was {loss} in {of}")
        if not np.isfinite(magnitude):
            raise Diverged(f"a client's tensors were not finite after {of}")
        return float(loss)

    def _mean(self, values: list[Tensor]) -> Tensor:
        """In float64, so that finite numbers have a finite mean; of nothing it is 0."""
        nothing = torch.zeros((), dtype=torch.float64, device=self.device)
        return torch.stack(values).double().mean() if values else nothing


def _magnitude(tensors: Tensors) -> list[Tensor]:
    """The sum of the tensors' norms in a list, or nothing; not finite if one of them is not."""
    floats = [t for t in tensors.values() if t.is_floating_point()]
    return [torch.stack(torch._foreach_norm(floats)).sum()] if floats else []
