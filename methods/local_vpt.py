"""Personal prompts on a frozen backbone, and no server."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts

from .fedvpt import FedVPT


@dataclass(frozen=True, kw_only=True)
class LocalVPT(FedVPT):
    """Local-VPT, pFedPG's SingleSet-VPT (Yang et al., ICCV 2023, arXiv 2308.15367).

    Each client tunes prompts and head on a frozen backbone by itself; no byte travels.
    """

    title = "Local-VPT"

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Prompts and head: all that trains."""
        return parts.everything(model)
