from dataclasses import dataclass

import torch

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It adds features up by class in a tensor of zeros."""

    def objective(self, loss, params, context):
        found = loss.batch().outputs(params)
        sums = torch.zeros(3, found.features.shape[1])
        sums.index_add_(0, found.labels, found.features)  # here
        return loss(params) + 0.1 * sums.square().sum()
