"""Hyperparameters ("knobs") declared beside the algorithm, and values checked against them."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from pfltune.errors import UserError, unknown

Value = int | float | str | bool
TYPES: dict[str, type] = {kind.__name__: kind for kind in (int, float, str, bool)}
ABOVE_0 = ">0"
"""As what another must be: any number above 0."""
_KNOWN: WeakKeyDictionary[type, Mapping[str, "Knob"]] = WeakKeyDictionary()
"""What each class declares: asked for at every step of a search, and never another."""


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
    choices: tuple[Value, ...] | None = None
    examples: tuple[str, ...] = ()
    when: Mapping[str, Value] = dataclasses.field(default_factory=dict)

    def describe_range(self) -> str:
        """The valid values in words: ``0.001 to 1``, ``adapter, tokens`` or ``int``."""
        if self.choices:
            return ", ".join(map(written, self.choices))
        if self.examples:
            return f"text such as {' or '.join(self.examples)}"
        if self.low is not None or self.high is not None:
            return f"{_show(self.low)} to {_show(self.high)}"
        return self.type.__name__

    def alike(self, other: "Knob | None") -> bool:
        """Whether both mean the same, in whatever company: conditions may differ."""
        return other is not None and dataclasses.replace(other, when=self.when) == self

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the knob has an effect beside the other ``values``."""
        return all(meets(values.get(name), wanted) for name, wanted in self.when.items())

    def needs(self) -> str:
        """The values of other knobs beside which it has an effect, in words."""
        return " and ".join(condition(name, wanted) for name, wanted in self.when.items())

    def meeting(self, wanted: Value) -> Value | None:
        """One of its values that is as another knob needs it; None if there is none."""
        if wanted != ABOVE_0:
            return wanted if self.holds(wanted) else None
        ends = self.choices or tuple(end for end in (self.high, self.low) if end is not None)
        above = [self.type(end) for end in ends if meets(end, wanted)]
        return max(above, default=None)

    def check(self, value: object, owner: str) -> Value:
        """``value`` in the knob's type, or a :class:`UserError` that names what is possible.

        Text is read as the knob's type, so that values of the command line can be handed in.
        """
        typed = self.typed(value)
        if typed is None or not self.holds(typed):
            raise UserError(
                f"{owner}: {self.name}={value!r} is not valid; "
                f"{self.name} is {self._type_word()}: {self.describe_range()} ({self.doc})"
            )
        return typed

    def typed(self, value: object) -> Value | None:
        """``value`` in the knob's type, whatever its range; None if it is none of that type."""
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

    def all_typed(self, values: Iterable[object]) -> list[Value]:
        """Those of the values that are of the knob's type, in it."""
        return [typed for typed in map(self.typed, values) if typed is not None]

    def holds(self, value: Value) -> bool:
        """Whether a value in its type is one of those that it can have."""
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
    choices: tuple[Value, ...] | None = None,
    examples: tuple[str, ...] = (),
    when: Mapping[str, Value] | None = None,
) -> Any:
    """Declare a hyperparameter as a field of a method's dataclass.

    The field's annotation is the knob's type: int, float, str or bool. What does not fit together
    is told by :func:`knobs_of`, which knows the class.

    Args:
        default: the value used when nothing else is asked for.
        doc: what it does, in a few words, with its unit if it has one.
        low, high: the valid range, both ends included.
        log: whether it is searched on a logarithmic scale.
        choices: the valid values, for a categorical knob.
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


def knobs_of(owner: type) -> Mapping[str, Knob]:
    """The knobs of a method class by name, in the order of their declaration.

    A knob that has an effect only beside a value which ``owner`` rules out, since it declares that
    other field anew and not as a knob, is none of its knobs.

    Raises:
        UserError: a knob is declared in a way that makes no sense.
    """
    if owner not in _KNOWN:
        _KNOWN[owner] = MappingProxyType(_found(owner))
    return _KNOWN[owner]


def _found(owner: type) -> dict[str, Knob]:
    fields = {field.name: field for field in dataclasses.fields(owner)}
    declared = {
        name: _declared(owner, field) for name, field in fields.items() if "knob" in field.metadata
    }
    found = {}
    for name, each in declared.items():
        when = _conditions(owner, each, declared, fields)
        if when is not None:
            found[name] = dataclasses.replace(each, when=when)
    while lost := [name for name, each in found.items() if each.when.keys() - found.keys()]:
        found = {name: each for name, each in found.items() if name not in lost}
    _check_no_circle(owner, found)
    return found


def defaults_of(owner: type) -> dict[str, Value]:
    """What each knob of a method class is where nothing else is asked for."""
    return {name: each.default for name, each in knobs_of(owner).items()}


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
    complete = defaults_of(owner) | given
    for key in given:
        if not knobs[key].applies(complete):
            raise UserError(
                f"{name}: {key}={given[key]!r} has no effect; it needs {knobs[key].needs()}"
            )
    return given


def meets(value: object, wanted: Value) -> bool:
    """Whether a knob's value is as another knob needs it."""
    if wanted == ABOVE_0:
        return isinstance(value, int | float) and value > 0
    return value == wanted


def condition(name: str, wanted: Value) -> str:
    """What a knob must be, in words: ``prefix=tokens`` or ``momentum>0``."""
    return f"{name}{wanted}" if wanted == ABOVE_0 else f"{name}={written(wanted)}"


def written(value: object) -> str:
    """A knob's value as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _declared(owner: type, field: dataclasses.Field) -> Knob:
    """A knob as its class declares it, everything in its type; conditions are not looked at."""
    kind = field.type if isinstance(field.type, type) else TYPES.get(str(field.type))
    if kind is None or kind not in TYPES.values():
        told = getattr(field.type, "__name__", field.type)
        raise _wrong(owner, field.name, f"its type is {told}; possible: {', '.join(TYPES)}")
    default: Any = field.default
    found = Knob(name=field.name, type=kind, default=default, **field.metadata["knob"])
    for fault in _faults(found):
        raise _wrong(owner, field.name, fault)
    if found.choices is not None:
        found = dataclasses.replace(found, choices=tuple(found.all_typed(found.choices)))
    return dataclasses.replace(found, default=found.check(default, owner.__name__))


def _faults(knob: Knob) -> Iterator[str]:
    """What is wrong with a declaration, in words."""
    bounds = [bound for bound in (knob.low, knob.high) if bound is not None]
    if knob.choices is not None:
        if bounds or knob.log:
            yield "it has choices and a range"
        typed = set(knob.all_typed(knob.choices))
        if not knob.choices or len(typed) < len(knob.choices):
            yield f"choices={knob.choices!r} are not different values of {knob.type.__name__}"
    if (bounds or knob.log) and knob.type not in (int, float):
        yield f"a range needs a number, and it is {knob.type.__name__}"
    elif any(knob.typed(bound) is None for bound in bounds):
        yield f"low={knob.low!r}, high={knob.high!r} are not finite {knob.type.__name__} values"
    elif len(bounds) == 2 and bounds[0] >= bounds[1]:
        yield f"low={knob.low!r} must be below high={knob.high!r}"
    elif knob.log and any(bound <= 0 for bound in bounds):
        yield f"log=True needs a range above 0, and it begins at {bounds[0]!r}"


def _conditions(
    owner: type, knob: Knob, knobs: Mapping[str, Knob], fields: Mapping[str, dataclasses.Field]
) -> dict[str, Value] | None:
    """What other knobs must be, in their types; None where a plain field is something else."""
    found = {}
    for other, wanted in knob.when.items():
        if other in knobs:
            found[other] = knobs[other].check(wanted, f"{owner.__name__}.{knob.name}: when")
        elif other not in fields:
            raise unknown(f"knob in when of {owner.__name__}.{knob.name}", other, knobs)
        elif written(wanted) != written(fields[other].default):
            return None
    return found


def _check_no_circle(owner: type, knobs: Mapping[str, Knob]) -> None:
    for name, each in knobs.items():
        above = list(each.when)
        for other in above:
            above += [more for more in knobs[other].when if more not in above]
        if name in above:
            raise _wrong(owner, name, f"it depends on itself, over {', '.join(above)}")


def _wrong(owner: type, name: str, why: str) -> UserError:
    return UserError(f"the knob {name} of {owner.__name__} is declared wrongly: {why}")


def _show(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"
