"""No federation at all: the floor that every other method must beat."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class Local(Method):
    """Local training: each client keeps its whole model, and no byte travels.

    A client trains in the rounds in which it is sampled, so that its local steps are those that
    the same client spends under the other methods.
    """

    title = "Local"
    published_payload = "0"

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Everything stays."""
        return parts.everything(model)
