from dataclasses import dataclass

import torch

from pfltune import Method, Update


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It adds noise from the global generator."""

    def train(self, work, down, personal):  # here
        update = super().train(work, down, personal)
        noisy = {n: t + 0.01 * torch.randn(t.shape) for n, t in update.upload.items()}
        return Update(noisy, update.personal, update.weight)
