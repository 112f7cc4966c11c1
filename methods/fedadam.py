"""Federated averaging with Adam on the server."""

from dataclasses import dataclass

from torch import Tensor

from ._server_optimizers import AdaptiveServer


@dataclass(frozen=True, kw_only=True)
class FedAdam(AdaptiveServer):
    """FedAdam (Reddi et al., ICLR 2021, arXiv 2003.00295).

    The server takes the mean change Δ of the clients for a gradient: m ← β₁·m + (1 − β₁)·Δ,
    v ← β₂·v + (1 − β₂)·Δ², x ← x + η·m/(√v + τ), without Adam's bias correction. Neither m nor v
    travels. Clients count by their samples, as in the paper's experiments; its analysis counts them
    alike. The public code has β₂ = 0.999, begins with v = 0 (``v0=0``), and corrects the bias.
    """

    title = "FedAdam"

    def _next_second(self, second: Tensor, square: Tensor) -> Tensor:
        """Adam's."""
        return self.beta2 * second + (1 - self.beta2) * square
