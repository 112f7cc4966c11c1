"""Personal adapters behind the MLPs of a shared vision transformer."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.errors import UserError
from pfltune.knobs import knob
from pfltune.method import Method

from ._adapters import adapt_output, bottleneck_adapter


@dataclass(frozen=True, kw_only=True)
class PersonalAdapters(Method):
    """Personal MLP adapters, a plugin of FedPerfix's Table 6 (Sun et al., arXiv 2308.09160).

    Behind the MLP of every block y ← y + Tanh(y·W_down)·W_up. Personal: the adapters and the head;
    shared: everything else. W_up begins at zero, so that the model begins as it was (Houlsby et
    al., ICML 2019, arXiv 1902.00751). The public code begins with W_down at zero too, where the
    gradients of both vanish, and has one adapter for all blocks; here each block has its own.
    """

    title = "Personal adapters"
    family = "partial"

    bottleneck: int = knob(256, low=1, high=1024, log=True, doc="inner width m of an adapter")

    def graft(self, model: nn.Module) -> None:
        """Put an adapter behind the MLP of every block."""
        for name, block in parts.blocks(model).items():
            mlp = getattr(block, "mlp", None)
            width = getattr(getattr(mlp, "fc2", None), "out_features", None)
            if mlp is None or width is None:
                raise UserError(
                    f"personal adapters need an MLP with fc2 in every block; {name} has none"
                )
            adapt_output(mlp, bottleneck_adapter(width, self.bottleneck, width, from_zero=True))

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Adapters and head."""
        return parts.named(model, "head,adapter")
