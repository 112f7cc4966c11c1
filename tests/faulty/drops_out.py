from dataclasses import dataclass

from torch import nn

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its model draws."""

    def graft(self, model):
        model.norm_pre = nn.Dropout(0.1)
