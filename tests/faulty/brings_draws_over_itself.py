from dataclasses import dataclass

import torch

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its server waits until its noise is there."""

    def aggregate(self, server, uploads, work):
        after, rng = super().aggregate(server, uploads, work), work.generator()
        for name, tensor in after.items():
            noise = 0.01 * torch.randn(tensor.shape, generator=rng)
            after[name] = tensor + noise.to(tensor.device)  # here
        return after
