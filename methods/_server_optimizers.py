"""Optimizers of the server, for which the mean change of the clients stands in for a gradient."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import (
    Method,
    ServerWork,
    Start,
    Tensors,
    Update,
    found_under,
    not_under,
    put_under,
    weighted_mean,
)

STATE = "optimizer."
"""The optimizer's tensors in the server's state; they never travel."""

MOMENTUM, SECOND = f"{STATE}momentum.", f"{STATE}second."


@dataclass(frozen=True, kw_only=True)
class ServerOptimizer(Method):
    """FedOpt: clients train as in FedAvg, and the server steps along their mean change Δ.

    Δ = Σ αᵢ (xᵢ − x) with αᵢ proportional to the client's training samples. What local training
    does not move, such as a BatchNorm's statistics, is averaged as in FedAvg.
    """

    server_lr: float = knob(1.0, low=1e-4, high=10.0, log=True, doc="rate η of the server's step")

    def init_server(self, start: Start) -> Tensors:
        """The model, and a momentum of zero for each tensor that trains."""
        zeros = {name: torch.zeros_like(value) for name, value in start.moving().items()}
        return {**start.shared, **put_under(MOMENTUM, zeros)}

    def download(self, server: Tensors, client: int) -> Tensors:
        """The model alone."""
        return not_under(STATE, server)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """One step for each tensor that trains."""
        model, momentum = not_under(STATE, server), found_under(MOMENTUM, server)
        mean = weighted_mean(uploads, otherwise=model)
        change = {name: mean[name] - model[name] for name in momentum}
        state = self._next_state(server, change)
        step = self._directions(state)
        moved = {name: model[name] + self.server_lr * step[name] for name in momentum}
        return {**mean, **moved, **state}

    def _next_state(self, server: Tensors, change: Tensors) -> Tensors:
        """The optimizer's state after the changes Δ of a round."""
        raise NotImplementedError

    def _directions(self, state: Tensors) -> Tensors:
        """Where to go, by name, to be scaled by the rate."""
        return found_under(MOMENTUM, state)


@dataclass(frozen=True, kw_only=True)
class AdaptiveServer(ServerOptimizer):
    """Algorithm 2 of Reddi et al. (ICLR 2021, arXiv 2003.00295), without a bias correction.

    m ← β₁·m + (1 − β₁)·Δ, v by Δ² as the method says, x ← x + η·m/(√v + τ).
    """

    beta1: float = knob(0.9, low=0.0, high=0.999, doc="decay β₁ of the first moment")
    beta2: float = knob(0.99, low=0.0, high=0.9999, doc="decay β₂ of the second moment")
    tau: float = knob(0.1, low=1e-6, high=1.0, log=True, doc="degree of adaptivity τ")
    v0: float = knob(1.0, low=0.0, high=100.0, doc="second moment v at the start, in τ²")

    def init_server(self, start: Start) -> Tensors:
        """v begins at τ², the least that Algorithm 2 allows."""
        begin = self.v0 * self.tau**2
        second = {name: torch.full_like(value, begin) for name, value in start.moving().items()}
        return {**super().init_server(start), **put_under(SECOND, second)}

    def _next_state(self, server: Tensors, change: Tensors) -> Tensors:
        """Both moments."""
        first, second = found_under(MOMENTUM, server), found_under(SECOND, server)
        m = {n: self.beta1 * first[n] + (1 - self.beta1) * delta for n, delta in change.items()}
        v = {n: self._next_second(second[n], delta.square()) for n, delta in change.items()}
        return {**put_under(MOMENTUM, m), **put_under(SECOND, v)}

    def _next_second(self, second: Tensor, square: Tensor) -> Tensor:
        """v after a change whose square is given."""
        raise NotImplementedError

    def _directions(self, state: Tensors) -> Tensors:
        """m/(√v + τ)."""
        second = found_under(SECOND, state)
        first = found_under(MOMENTUM, state)
        return {name: m / (second[name].sqrt() + self.tau) for name, m in first.items()}
