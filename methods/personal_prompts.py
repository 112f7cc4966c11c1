"""Personal prompts in a shared vision transformer."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import Method

from ._prompts import add_prompts


@dataclass(frozen=True, kw_only=True)
class PersonalPrompts(Method):
    """Personal prompts, a plugin of FedPerfix's Table 6 (Sun et al., arXiv 2308.09160).

    Every block reads K personal prompts of its own, which the next block's replace. Personal: the
    prompts and the head; shared: everything else, which trains too.
    """

    title = "Personal prompts"
    family = "partial"

    prompts: int = knob(10, low=1, high=200, log=True, doc="number of prompts K per block")

    def graft(self, model: nn.Module) -> None:
        """Give every block its prompts."""
        add_prompts(model, self.prompts, deep=True)

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Prompts and head."""
        return parts.named(model, "head,prompts")
