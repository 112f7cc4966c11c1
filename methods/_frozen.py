"""What the methods have in common that train few tensors of a frozen backbone, and a head."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import Method

HEADS = ("shared", "personal")


@dataclass(frozen=True, kw_only=True)
class FrozenBackbone(Method):
    """Federated averaging of what :meth:`_tuned` names, and of the head if it is shared."""

    family = "parameter-efficient"

    head: str = knob("shared", choices=HEADS, doc="whether the head is averaged or stays")

    def graft(self, model: nn.Module) -> None:
        """Freeze everything but what is tuned and the head."""
        parts.freeze(model, but={*self._tuned(model), *parts.head(model)})

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The head, if it stays."""
        return parts.head(model) if self.head == "personal" else ()

    def _tuned(self, model: nn.Module) -> Iterable[str]:
        """The names of what trains beside the head, put into the model if it was not there."""
        raise NotImplementedError
