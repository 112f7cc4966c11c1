"""Hyperparameters ("knobs") declared beside the algorithm, and values checked against them."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pfltune.errors import UserError, unknown

Value = int | float | str | bool


@dataclasses.dataclass(frozen=True)
class Knob:
    """What is known of one hyperparameter: type, valid range or choices, when it has an effect."""

    name: str
    type: type
    default: Value
    doc: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] | None = None
    examples: tuple[str, ...] = ()
    when: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def describe_range(self) -> str:
        """The valid values in words: ``0.001 to 1``, ``adapter, tokens`` or ``int``."""
        if self.choices:
            return ", ".join(self.choices)
        if self.examples:
            return f"text such as {' or '.join(self.examples)}"
        if self.low is not None or self.high is not None:
            return f"{_show(self.low)} to {_show(self.high)}"
        return self.type.__name__

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the knob has an effect beside the other ``values``."""
        return all(values.get(name) == wanted for name, wanted in self.when.items())

    def check(self, value: object, owner: str) -> Value:
        """``value`` in the knob's type, or a :class:`UserError` that names what is possible.

        Text is read as the knob's type, so that values of the command line can be handed in.
        """
        typed = self._typed(value)
        if typed is None or not self._inside(typed):
            raise UserError(
                f"{owner}: {self.name}={value!r} is not valid; "
                f"{self.name} is {self._type_word()}: {self.describe_range()} ({self.doc})"
            )
        return typed

    def _typed(self, value: object) -> Value | None:
        if self.type is bool:
            words: dict[object, bool] = {"true": True, "false": False, True: True, False: False}
            key = value.lower() if isinstance(value, str) else value
            return words.get(key) if isinstance(key, str | bool) else None
        if isinstance(value, bool):
            return None
        if self.type is str:
            return value if isinstance(value, str) else None
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            return None
        if not math.isfinite(number) or (self.type is int and number != int(number)):
            return None
        return int(number) if self.type is int else number

    def _inside(self, value: Value) -> bool:
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, str):
            return True
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    def _type_word(self) -> str:
        words = {int: "a whole number", float: "a number", bool: "true or false"}
        return "one of" if self.choices else words.get(self.type, "text")


def knob(
    default: Value,
    *,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: tuple[str, ...] | None = None,
    examples: tuple[str, ...] = (),
    when: Mapping[str, str] | None = None,
) -> Any:
    """Declare a hyperparameter as a field of a method's dataclass.

    Args:
        default: the value used when nothing else is asked for.
        doc: what it does, in a few words, with its unit if it has one.
        low, high: the valid range, both ends included.
        log: whether it is searched on a logarithmic scale.
        choices: the valid words, for a categorical knob.
        examples: valid values of a knob that takes any text.
        when: the values of other knobs beside which this one has an effect.
    """
    extra = {
        "doc": doc,
        "low": low,
        "high": high,
        "log": log,
        "choices": choices,
        "examples": examples,
        "when": when or {},
    }
    return dataclasses.field(default=default, metadata={"knob": extra})


def knobs_of(owner: type) -> dict[str, Knob]:
    """The knobs of a method class by name, in the order of their declaration."""
    found = {}
    for field in dataclasses.fields(owner):
        if "knob" in field.metadata:
            default: Any = field.default
            found[field.name] = Knob(
                name=field.name, type=type(default), default=default, **field.metadata["knob"]
            )
    return found


def checked_values(owner: type, name: str, values: Mapping[str, object]) -> dict[str, Value]:
    """``values`` in the types of ``owner``'s knobs.

    Raises:
        UserError: a knob that does not exist, a value outside its range or of the wrong type, or
            a knob that has no effect beside the others.
    """
    knobs = knobs_of(owner)
    for key in values:
        if key not in knobs:
            raise unknown(f"knob of {name}", key, knobs)
    given = {key: knobs[key].check(value, name) for key, value in values.items()}
    complete = {key: each.default for key, each in knobs.items()} | given
    for key in given:
        if not knobs[key].applies(complete):
            needs = " and ".join(f"{k}={v}" for k, v in knobs[key].when.items())
            raise UserError(f"{name}: {key}={given[key]!r} has no effect; it needs {needs}")
    return given


def _show(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"
