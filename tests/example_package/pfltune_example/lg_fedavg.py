"""Personal representations below a shared head."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import Method, knob, parts


@dataclass(frozen=True, kw_only=True)
class LGFedAvg(Method):
    """Think locally, act globally (Liang et al. 2020, arXiv 2001.01523).

    The first layers, which make the representation, stay on the client; the last ones are averaged.
    Both take every local step together. With nothing but the head shared it is FedPer reversed.
    """

    title = "LG-FedAvg"

    shared_blocks: int = knob(0, low=0, high=12, doc="last blocks shared together with the head")

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """All that comes before the first shared layer."""
        blocks = parts.blocks(model, last=self.shared_blocks)
        shared = parts.under(model, *blocks) or parts.head(model)
        names = parts.everything(model)  # timm's order is that of the forward pass
        return names[: names.index(shared[0])]
