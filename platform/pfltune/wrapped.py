"""A method whose payloads pass wraps: a class below the method's own, with the wraps' knobs added.

``fedavg+topk`` has FedAvg's knobs and ``topk_share``. Everything that can be done with a method can
be done with it: it is found by its reference, has a search space, and code with a digest.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from pfltune.errors import UserError
from pfltune.knobs import Knob, Value, knobs_of
from pfltune.method import Method
from pfltune.variants import knob_of_wrap
from pfltune.wraps.base import Wrap, title_of


class Named(NamedTuple):
    """A wrap, and what it is called: its name, or the class of a file in lower case."""

    short: str
    cls: type[Wrap]

    def knob(self, name: str) -> str:
        """What the wrapped method calls one of its knobs."""
        return knob_of_wrap(self.short, name)

    def renamed(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Values of its knobs as the wrapped method calls them."""
        return {self.knob(name): value for name, value in values.items()}

    @property
    def knobs(self) -> dict[str, str]:
        """Its knobs by what the wrapped method calls them."""
        return {self.knob(name): name for name in knobs_of(self.cls)}


class Made(NamedTuple):
    """What a wrapped method is made of."""

    method: type[Method]
    wraps: tuple[Named, ...]


@cache
def wrapped(method: type[Method], wraps: tuple[Named, ...]) -> type[Method]:
    """A method whose payloads pass wraps on their way, in their order.

    Raises:
        UserError: two wraps have one name, or a knob of theirs has that of one of the method's.
    """
    names = [wrap.short for wrap in wraps]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{method.__name__} is wrapped twice in {', '.join(twice)}")
    added = [knob for wrap in wraps for knob in wrap.knobs]
    if taken := sorted(k for k in added if hasattr(method, k) or added.count(k) > 1):
        raise UserError(
            f"{method.__name__} cannot be wrapped in {', '.join(names)}: {taken[0]}, a knob of a "
            "wrap, is there already; give the wrap or its knob another name"
        )

    def of_instance(self: Method) -> tuple[Wrap, ...]:
        own = method.wraps(self)
        return (*own, *(_made(self, wrap) for wrap in wraps))

    title = " + ".join([method.title or method.__name__, *(title_of(w.cls) for w in wraps)])
    told = [inspect.getdoc(method), *(f"{w.short}: {inspect.getdoc(w.cls)}" for w in wraps)]
    members: dict[str, Any] = {
        "__module__": method.__module__,
        "__doc__": "\n\n".join(filter(None, told)),
        "__annotations__": {},
        "title": title,
        "published_payload": "",
        "wraps": of_instance,
        "_made_of": Made(method, wraps),
    }
    for field, kind, value in (each for wrap in wraps for each in _fields(wrap)):
        members[field] = value
        members["__annotations__"][field] = kind
    cls = type("+".join([method.__name__, *names]), (method,), members)
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def made_of(cls: type) -> Made:
    """A method's own class, and what it was wrapped in."""
    found: Made = getattr(cls, "_made_of", Made(cls, ()))
    return found


def _made(method: Method, wrap: Named) -> Wrap:
    """A wrap with the values that its knobs have in a wrapped method."""
    values: dict[str, Any] = {own: getattr(method, name) for name, own in wrap.knobs.items()}
    return wrap.cls(**values)


def _fields(wrap: Named) -> list[tuple[str, type, Any]]:
    """The wrap's knobs as fields of the wrapped method: name, type, field."""
    declared = {field.name: field for field in dataclasses.fields(wrap.cls)}
    return [
        (wrap.knob(name), knob.type, _field(wrap, knob, declared[name]))
        for name, knob in knobs_of(wrap.cls).items()
    ]


def _field(wrap: Named, knob: Knob, declared: dataclasses.Field) -> Any:
    metadata = {"knob": {**declared.metadata["knob"], "when": wrap.renamed(knob.when)}}
    return dataclasses.field(default=knob.default, metadata=metadata)
