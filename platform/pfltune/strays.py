"""Names in a stranger's class that nothing reads."""

import inspect
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

from pfltune.errors import UserError

CLOSE = 0.7
"""How alike two names are, of which one may be meant for the other."""


class Stray(NamedTuple):
    """A public name that is neither the base class's nor a field's."""

    name: str
    value: Any

    @property
    def is_code(self) -> bool:
        """Whether it is a function or a property."""
        kinds = property | staticmethod | classmethod
        return inspect.isroutine(self.value) or isinstance(self.value, kinds)

    def near(self, known: Iterable[str], cutoff: float) -> str:
        """The name that it may be meant for; empty if there is none."""
        return next(iter(get_close_matches(self.name, sorted(known), n=1, cutoff=cutoff)), "")


def strays(cls: type, base: type) -> Iterator[Stray]:
    """All that classes below ``base`` say beside their fields and what ``base`` has itself."""
    fields = {
        name
        for kind in ("__dataclass_fields__", "__pydantic_fields__")
        for name in getattr(cls, kind, ())
    }
    for owner in cls.__mro__:
        if owner is not base and issubclass(owner, base):
            for name, value in vars(owner).items():
                if not name.startswith("_") and name not in fields and not hasattr(base, name):
                    yield Stray(name, value)


def see_spelling(cls: type, base: type, noun: str) -> None:
    """See that no name in a class is almost one that is read in its place.

    Raises:
        UserError: one is.
    """
    own = {*vars(base), *vars(base).get("__annotations__", ())}
    known = [name for name in own if not name.startswith("_")]
    for stray in strays(cls, base):
        if near := stray.near(known, CLOSE):
            raise UserError(
                f"{cls.__name__}: {stray.name!r} is nothing that a {noun} is asked for; did you "
                f"mean {near!r}? What helps begins with _"
            )
