"""Local optimizers at work: the steps of one phase, of one client or of several at once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.federation.federation import Rounds
from pfltune.method import Phase
from pfltune.optimizers import Optimizer, Schedule

Gradients = tuple[Tensor, ...]
Factor = Callable[[Schedule], float]
"""What a schedule multiplies rates by in a round."""


@dataclass(frozen=True)
class Descent:
    """Moves tensors in place along their gradients.

    Attributes:
        leaves: what moves.
        lr: learning rate in this round.
        weight_decay: L2 coefficient, or AdamW's decoupled one.
        stateful: torch's optimizer on the leaves; None for plain SGD.
    """

    leaves: list[Tensor]
    lr: float
    weight_decay: float
    stateful: torch.optim.Optimizer | None

    @classmethod
    def of(cls, leaves: list[Tensor], phase: Phase, protocol: Rounds, factor: Factor) -> "Descent":
        """That of a phase; the scenario says what it leaves open, ``factor`` what a schedule is."""
        optimizer = phase.optimizer or protocol.optimizer
        lr = phase.lr * factor(phase.schedule or protocol.schedule)
        decay = optimizer.weight_decay if phase.weight_decay is None else phase.weight_decay
        plain = optimizer.is_plain or not leaves
        return cls(leaves, lr, decay, None if plain else _torchs(leaves, optimizer, lr, decay))

    def step(self, grads: Gradients, busy: Tensor | None = None) -> None:
        """One step.

        Args:
            grads: one for each leaf.
            busy: which clients, stacked along the leading axis, have a step; None for all. The
                others have none until the phase ends, so what their state becomes does not matter.
        """
        if busy is None:
            self._step(grads)
            return
        before = [leaf.detach().clone() for leaf in self.leaves]
        self._step(grads)
        with torch.no_grad():
            for leaf, old in zip(self.leaves, before, strict=True):
                leaf.copy_(torch.where(busy.view(-1, *[1] * (leaf.ndim - 1)), leaf, old))

    @torch.no_grad()
    def _step(self, grads: Gradients) -> None:
        if self.stateful is None:
            self._plain_step(grads)
            return
        for leaf, grad in zip(self.leaves, grads, strict=True):
            leaf.grad = grad
        self.stateful.step()
        self.stateful.zero_grad()

    def _plain_step(self, grads: Gradients) -> None:
        """What ``torch.optim.SGD`` does without a state, in fewer calls."""
        if self.weight_decay:
            grads = torch._foreach_add(grads, self.leaves, alpha=self.weight_decay)
        torch._foreach_add_(self.leaves, grads, alpha=-self.lr)


def _torchs(
    leaves: list[Tensor], which: Optimizer, lr: float, decay: float
) -> torch.optim.Optimizer:
    if which.kind == "adamw":
        return torch.optim.AdamW(leaves, lr=lr, weight_decay=decay)
    return torch.optim.SGD(
        leaves, lr=lr, weight_decay=decay, momentum=which.momentum, nesterov=which.nesterov
    )
