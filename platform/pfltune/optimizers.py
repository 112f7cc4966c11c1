"""Local optimizers and rates over rounds, as data: a scenario's, or a method's own."""

import math
from typing import Literal

from pydantic import Field, model_validator

from pfltune.settings import Settings


class Optimizer(Settings):
    """How a client descends; its state lives for one phase of one round.

    The steps are those of ``torch.optim.SGD`` and ``torch.optim.AdamW`` (Loshchilov and Hutter,
    ICLR 2019, arXiv 1711.05101) with torch's own defaults for what is not said here.
    """

    kind: Literal["sgd", "adamw"] = Field("sgd", description="sgd or adamw")
    momentum: float = Field(0.0, ge=0, lt=1, description="of SGD; 0 for none")
    nesterov: bool = Field(False, description="whether the momentum looks ahead (SGD)")
    weight_decay: float = Field(0.0, ge=0, description="L2 coefficient; AdamW's is decoupled")

    @model_validator(mode="after")
    def _fits_together(self) -> "Optimizer":
        if self.kind == "adamw" and self.momentum:
            raise ValueError(f"momentum={self.momentum} is SGD's; kind=adamw has its own")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=true needs a momentum above 0")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether it is SGD without a state."""
        return self.kind == "sgd" and not self.momentum


class Schedule(Settings):
    """How the learning rate of local training goes over the rounds, as a factor on it."""

    kind: Literal["constant", "cosine", "step"] = Field(
        "constant", description="constant, cosine (down to 0 behind the last round) or step"
    )
    every: int = Field(10, ge=1, description="rounds between two steps (step)")
    factor: float = Field(0.5, gt=0, le=1, description="what each step multiplies by (step)")

    def in_round(self, number: int, rounds: int) -> float:
        """The factor in a round, counted from 1, of so many."""
        if self.kind == "cosine":
            return (1 + math.cos(math.pi * (number - 1) / rounds)) / 2
        if self.kind == "step":
            return self.factor ** ((number - 1) // self.every)
        return 1.0
