from dataclasses import dataclass

import torch

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It draws at each step."""

    def objective(self, loss, params, context):
        noise = torch.rand(())  # here
        return loss(params) * (1 + 0.01 * noise)
