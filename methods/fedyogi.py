"""Federated averaging with Yogi on the server."""

from dataclasses import dataclass

from torch import Tensor

from ._server_optimizers import AdaptiveServer


@dataclass(frozen=True, kw_only=True)
class FedYogi(AdaptiveServer):
    """FedYogi (Reddi et al., ICLR 2021, arXiv 2003.00295).

    FedAdam whose second moment moves by the size of Δ² alone, in whichever direction it lies:
    v ← v − (1 − β₂)·Δ²·sign(v − Δ²).
    """

    title = "FedYogi"

    def _next_second(self, second: Tensor, square: Tensor) -> Tensor:
        """Yogi's."""
        return second - (1 - self.beta2) * square * (second - square).sign()
