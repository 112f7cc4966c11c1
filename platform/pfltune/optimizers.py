"""Local optimizers and rates over rounds, as data: a scenario's, or a method's own."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pfltune.knobs import ABOVE_0, Value, condition, meets, written
from pfltune.settings import Settings


class Conditional(Settings):
    """Settings some of which have an effect only beside values of the others.

    One without an effect keeps its default: who says something else has mistaken something.
    """

    needs: ClassVar[Mapping[str, Mapping[str, Value]]] = {}
    """Of each of them what others must be, as in a knob's ``when``."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Conditional":
        for name, needed in self.needs.items():
            value = getattr(self, name)
            lacks = not all(meets(getattr(self, other), w) for other, w in needed.items())
            if lacks and value != type(self).model_fields[name].default:
                told = " and ".join(condition(other, w) for other, w in needed.items())
                raise ValueError(f"{name}={written(value)} has no effect; it needs {told}")
        return self


class Optimizer(Conditional):
    """How a client descends; its state lives for one phase of one round.

    The steps are those of ``torch.optim.SGD`` and ``torch.optim.AdamW`` (Loshchilov and Hutter,
    ICLR 2019, arXiv 1711.05101) with torch's own defaults for what is not said here.
    """

    kind: Literal["sgd", "adamw"] = Field("sgd", description="sgd or adamw")
    momentum: float = Field(0.0, ge=0, le=0.999, description="of SGD; 0 for none")
    nesterov: bool = Field(False, description="whether the momentum looks ahead (SGD)")
    weight_decay: float = Field(0.0, ge=0, description="L2 coefficient; AdamW's is decoupled")

    needs: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "momentum": {"kind": "sgd"},
        "nesterov": {"kind": "sgd", "momentum": ABOVE_0},
    }

    @property
    def is_plain(self) -> bool:
        """Whether it is SGD without a state."""
        return self.kind == "sgd" and not self.momentum


class Schedule(Conditional):
    """How the learning rate of local training goes over the rounds, as a factor on it."""

    kind: Literal["constant", "cosine", "step"] = Field(
        "constant",
        description="constant, cosine (down to 0 behind the last round, or where a budget is "
        "spent) or step",
    )
    every: int = Field(10, ge=1, description="rounds between two steps (step)")
    factor: float = Field(0.5, ge=0.001, le=1, description="what each step multiplies by (step)")

    needs: ClassVar[Mapping[str, Mapping[str, Value]]] = {
        "every": {"kind": "step"},
        "factor": {"kind": "step"},
    }

    def in_round(self, number: int, rounds: int, spent: float | None = None) -> float:
        """The factor in a round.

        Args:
            number: of the round, counted from 1.
            rounds: of how many.
            spent: what a trial with a budget had spent of it before the round, as a share; its
                rounds are not known, and so the cosine goes over that.
        """
        if self.kind == "cosine" and spent is not None:
            return (1 + math.cos(math.pi * min(spent, 1.0))) / 2
        if self.kind == "cosine":
            return (1 + math.cos(math.pi * (number - 1) / rounds)) / 2
        if self.kind == "step":
            return self.factor ** ((number - 1) // self.every)
        return 1.0
