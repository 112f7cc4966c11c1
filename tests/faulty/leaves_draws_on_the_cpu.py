from dataclasses import dataclass

import torch

from pfltune import Method, Update


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It adds noise that is still on the CPU."""

    def train(self, work, down, personal):
        update, rng = super().train(work, down, personal), work.generator()
        noise = torch.randn(down["norm.bias"].shape, generator=rng)
        noisy = update.upload["norm.bias"] + 0.01 * noise  # here
        return Update({**update.upload, "norm.bias": noisy}, update.personal, update.weight)
