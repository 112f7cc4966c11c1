"""What is tested: a method with some values of its knobs, and changes of its knobs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pfltune.isolation import restored
from pfltune.knobs import Knob, Value, checked_values, knobs_of
from pfltune.method import Method


class Subject(NamedTuple):
    """A method with the values of its knobs that are not the defaults."""

    cls: type[Method]
    name: str
    values: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{knob}={value}" for knob, value in self.values)])

    def make(self, **changes: Value) -> Method:
        """The method, with further values changed."""
        given = {**dict(self.values), **changes}
        checked: dict[str, Any] = dict(checked_values(self.cls, self.name, given))
        with restored(self.name):
            return self.cls(**checked)


class Change(NamedTuple):
    """Another value of one knob of a subject."""

    subject: Subject
    knob: str
    value: Value

    def __str__(self) -> str:
        return f"{self.subject}-{self.knob}-{self.value}"


def variants(cls: type[Method], name: str) -> Iterator[Subject]:
    """A method with its defaults, and with every choice of its categorical knobs."""
    yield Subject(cls, name)
    for knob in knobs_of(cls).values():
        for choice in knob.choices or ():
            if choice != knob.default:
                yield Subject(cls, name, (*knob.when.items(), (knob.name, choice)))


def changes(cls: type[Method], name: str) -> Iterator[Change]:
    """Another value of each knob, beside values of others with which it has an effect."""
    for knob in knobs_of(cls).values():
        subject = Subject(cls, name, (*knob.when.items(),))
        yield from (Change(subject, knob.name, value) for value in others(knob))


def idle_changes(cls: type[Method], name: str) -> Iterator[Change]:
    """Another value of each knob beside which it is declared to have no effect."""
    knobs = knobs_of(cls)
    defaults = {knob.name: knob.default for knob in knobs.values()}
    for knob in knobs.values():
        if not knob.applies(defaults):
            yield Change(Subject(cls, name), knob.name, others(knob)[0])
        for needed, value in knob.when.items():
            if defaults[needed] == value:
                idle = Subject(cls, name, ((needed, others(knobs[needed])[0]),))
                yield Change(idle, knob.name, others(knob)[0])


def others(knob: Knob) -> list[Value]:
    """Valid values that are not the default: all choices, or one number close by."""
    if knob.choices or knob.examples:
        return [word for word in knob.choices or knob.examples if word != knob.default]
    return numbers(knob)[:1]


def numbers(knob: Knob) -> list[Value]:
    """Valid values of a knob that is no text and that are not the default, near ones first."""
    if knob.type is bool:
        return [not knob.default]
    default: Any = knob.default
    near = [default * 2, default / 2, default + 1, knob.low, knob.high]
    return [v for v in near if v is not None and v != default and _is_valid(knob, v)]


def _is_valid(knob: Knob, value: float) -> bool:
    whole = knob.type is not int or value == int(value)
    return whole and (knob.low is None or value >= knob.low) and value <= (knob.high or value)
