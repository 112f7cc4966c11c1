"""The budget of a trial: MB, local steps, floating-point operations or seconds.

A trial with a budget trains until it is spent, so that rounds differ between methods and between
configurations of one. It ends when another round at the cost of its costliest round so far would
pass the budget: that is found after each round, from what the trial itself has spent, and so comes
out the same wherever and however often it is interrupted. A round that passes the budget all the
same, since it cost more than any before it, is trained and not counted.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError, model_serializer, model_validator

from pfltune import figures
from pfltune.errors import UserError
from pfltune.figures import Figure
from pfltune.settings import Settings

Kind = Literal["bytes", "steps", "operations", "seconds"]

UNITS: Mapping[str, tuple[Kind, float]] = {
    "MB": ("bytes", 1e6),
    "GB": ("bytes", 1e9),
    "steps": ("steps", 1.0),
    "s": ("seconds", 1.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "GFLOP": ("operations", 1e9),
    "TFLOP": ("operations", 1e12),
    "PFLOP": ("operations", 1e15),
}
"""What each unit is of, and how many of it; of one kind the smallest first."""
SPELLING = re.compile(r"\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)\s*")
IN_FIGURE: Mapping[Kind, float] = {"bytes": 1e6, "steps": 1, "operations": 1e15, "seconds": 1}
"""How many of a kind the unit of its figure is."""
FIGURES: Mapping[Kind, Figure] = {
    "bytes": figures.TOTAL,
    "steps": figures.STEPS,
    "operations": figures.PFLOP,
    "seconds": figures.SECONDS,
}
"""The figure of a trial that adds up what is spent."""


class TrialBudget(Settings):
    """What a trial may spend, written as ``200MB``, ``20000steps``, ``5PFLOP`` or ``2h``."""

    kind: Kind
    amount: float = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, raw: Any) -> Any:
        """A text as kind and amount; in bytes, steps, operations or seconds."""
        if isinstance(raw, Mapping):
            return raw
        found = SPELLING.fullmatch(raw) if isinstance(raw, str) else None
        if found is None or found[2] not in UNITS:
            raise ValueError(
                f"{raw!r} is no budget of a trial; give a number with one of {', '.join(UNITS)}, "
                "such as 200MB"
            )
        kind, factor = UNITS[found[2]]
        amount = float(found[1]) * factor
        if not math.isfinite(amount):
            raise ValueError(f"{raw!r} is no budget of a trial: no computer counts so far")
        if kind == "steps" and not amount.is_integer():
            raise ValueError(f"{raw!r} is no budget of a trial: steps are whole")
        return {"kind": kind, "amount": amount if kind == "seconds" else float(round(amount))}

    @model_serializer
    def _as_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """In the largest unit of which it is a whole number, or else in the smallest."""
        whole = [u for u in self._units() if (self.amount / u[1]).is_integer()]
        name, factor = (whole or self._units()[:1])[-1]
        number = self.amount / factor
        return f"{int(number) if number.is_integer() else number}{name}"

    @property
    def figure(self) -> Figure:
        """The figure of a trial that adds up what is spent of it."""
        return FIGURES[self.kind]

    @property
    def repeats(self) -> bool:
        """Whether the same trial ends in the same round again: not where seconds are counted."""
        return self.kind != "seconds"

    def told(self, amount: float) -> str:
        """An amount of the same kind for people, in four digits."""
        return told(self.kind, amount)

    def _units(self) -> list[tuple[str, float]]:
        return units_of(self.kind)


def budget_of(text: str) -> TrialBudget:
    """A budget as it is written.

    Raises:
        UserError: it is none.
    """
    try:
        return TrialBudget.model_validate(text)
    except ValidationError as error:
        raise UserError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def units_of(kind: Kind) -> list[tuple[str, float]]:
    """The units that a kind is written in and how many of it each is, the smallest first."""
    return [(name, factor) for name, (own, factor) in UNITS.items() if own == kind]


def unit_for(kind: Kind, amount: float) -> tuple[str, float]:
    """The largest unit of which an amount is one at least, or else the smallest."""
    units = units_of(kind)
    return next((unit for unit in reversed(units) if amount >= unit[1]), units[0])


def told(kind: Kind, amount: float) -> str:
    """An amount for people, in four digits: ``6.486 MB``."""
    name, factor = unit_for(kind, amount)
    number = amount / factor
    return f"{number:,.0f} {name}" if number >= 1000 else f"{number:.4g} {name}"


@dataclass(frozen=True)
class Spending:
    """What a trial has spent of its budget, in the unit that it is counted in.

    Attributes:
        spent: so far.
        costliest: what its costliest round so far took.
    """

    spent: float = 0.0
    costliest: float = 0.0

    @property
    def ahead(self) -> float:
        """What will have been spent after another round like the costliest one."""
        return self.spent + self.costliest

    def after(self, spent: float) -> "Spending":
        """That after one more round, with so much spent in all."""
        return Spending(spent, max(self.costliest, spent - self.spent))
