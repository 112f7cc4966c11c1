"""Shared prompts on a frozen backbone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import Method, Phase

from ._prompts import add_prompts


@dataclass(frozen=True, kw_only=True)
class FedVPT(Method):
    """FedVPT, a baseline of pFedPG (Yang et al., ICCV 2023, arXiv 2308.15367).

    Visual prompt tuning under federated averaging: the backbone is frozen, a client trains
    K prompts (K × l) and a head, and the server averages the prompts. The head is personal, as
    pFedPG's, so that the two differ in the prompts alone. Bytes each way: K·l floats.
    """

    title = "FedVPT"
    family = "parameter-efficient"
    deep: ClassVar[bool] = False

    lr: float = knob(0.25, low=1e-4, high=1.0, log=True, doc="learning rate of prompts and head")
    weight_decay: float = knob(0.001, low=0.0, high=0.1, doc="L2 coefficient of local SGD")
    prompts: int = knob(10, low=1, high=200, log=True, doc="number of prompts K")

    def graft(self, model: nn.Module) -> None:
        """Freeze everything but the prompts and the head."""
        prompts = add_prompts(model, self.prompts, deep=self.deep)
        parts.freeze(model, but={*prompts, *parts.head(model)})

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The head."""
        return parts.head(model)

    def phases(self) -> tuple[Phase, ...]:
        """Prompts and head together."""
        return (Phase("all", self.lr, weight_decay=self.weight_decay),)
