from dataclasses import dataclass

import torch

from pfltune import Method

MODELS = []


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It keeps the model, and moves it."""

    def graft(self, model):
        MODELS[:] = [model]

    def train(self, work, down, personal):  # here
        with torch.no_grad():
            MODELS[0].norm.bias.add_(1.0)
        return super().train(work, down, personal)
