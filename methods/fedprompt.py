"""Shared prompts and a shared head on a frozen backbone."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.knobs import knob

from ._prompts import add_prompts
from .fedvpt import FedVPT


@dataclass(frozen=True, kw_only=True)
class FedPrompt(FedVPT):
    """FedPrompt (Zhao et al., ICASSP 2023, arXiv 2208.12268) with visual prompts.

    A client trains soft prompts of a frozen model, and the server averages all that trains: one
    model for everybody. FedPrompt's prompts are a language model's, which answers in words; in a
    ViT they are visual prompt tuning's and a head that is averaged, too, as FedPETuning does with a
    classifier (Zhang et al. 2023, arXiv 2212.10025). FedVPT differs in its head, which is personal,
    and in that alone.
    """

    title = "FedPrompt"

    every_block: bool = knob(False, doc="whether each block has K prompts of its own")

    def graft(self, model: nn.Module) -> None:
        """Freeze everything but the prompts and the head."""
        prompts = add_prompts(model, self.prompts, deep=self.every_block)
        parts.freeze(model, but={*prompts, *parts.head(model)})

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Nothing."""
        return ()
