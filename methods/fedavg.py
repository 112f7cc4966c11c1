"""Federated averaging: one model for everybody."""

from dataclasses import dataclass

from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class FedAvg(Method):
    """Federated averaging (McMahan et al., AISTATS 2017, arXiv 1602.05629).

    Everything is shared: u ← Σ αᵢ uᵢ with αᵢ proportional to the client's training samples.
    """

    title = "FedAvg"
    published_payload = "100 %"
