"""A method with some of its knobs held: ``fedperfix[prefix=tokens,prefix_length=8]``.

The text is the variant's identity: it has its own name, search and row. Here it is only read and
written; what a knob may be is said by the method, see :mod:`pfltune.registry`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pfltune.errors import UserError
from pfltune.knobs import written
from pfltune.text import plain

# The shortest path, so that a value may hold ".py:"; in a path brackets are only characters.
_VARIANT = re.compile(r"((?:.*?\.py:)?[^\[\]]+)\[(.*)\]", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """What stands for a method.

    Attributes:
        base: its name, or ``path/to/file.py:Class``.
        held: values of knobs as they are written, by knob.
    """

    base: str
    held: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it is called in tables: of a file, the class in lower case."""
        is_file = ".py:" in self.base
        return (self.base.rpartition(":")[2].lower() if is_file else self.base) + self.brackets

    @property
    def brackets(self) -> str:
        """What is held, sorted; empty if nothing is."""
        pairs = ",".join(f"{knob}={value}" for knob, value in sorted(self.held.items()))
        return f"[{pairs}]" if pairs else ""

    def __str__(self) -> str:
        return self.base + self.brackets


def parsed(reference: str) -> Reference:
    """A reference in its parts.

    Raises:
        UserError: what stands in its brackets is not ``knob=value,…``.
    """
    found = _VARIANT.fullmatch(reference)
    if found is None:
        return Reference(reference)
    base, inside = found.groups()
    return Reference(base, _pairs(inside, reference))


def holding(reference: str, values: Mapping[str, object]) -> str:
    """The reference that holds these values beside what it holds already.

    Raises:
        UserError: a knob is held at two values, or a value cannot stand in brackets.
    """
    old = parsed(reference)
    new = {knob: _checked(written(value), reference) for knob, value in values.items()}
    check_agreement(reference, old.held, new)
    return str(Reference(old.base, {**old.held, **new}))


def check_agreement(
    reference: str, held: Mapping[str, object], given: Mapping[str, object]
) -> None:
    """See that what is given does not contradict what a reference holds.

    Raises:
        UserError: it does.
    """
    for knob in held.keys() & given.keys():
        one, other = written(held[knob]), written(given[knob])
        if one != other:
            raise UserError(f"{reference} holds {knob}={one}, so {knob}={other} cannot be given")


def split(text: str) -> list[str]:
    """The references in a text, separated by commas; those in brackets separate nothing.

    Raises:
        UserError: a bracket is not closed, or not opened.
    """
    pieces, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if depth < 0:
            break
        if char == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += char
    if depth:
        missing = "[ has no ]" if depth > 0 else "] has no ["
        raise UserError(f"methods {text!r}: a {missing}")
    return [piece.strip() for piece in pieces if piece.strip()]


def _pairs(inside: str, reference: str) -> dict[str, str]:
    """``a=1,b=2`` as a mapping; a piece without ``=`` belongs to the value before it."""
    found: dict[str, str] = {}
    last = ""
    for piece in inside.split(","):
        knob, equals, value = piece.partition("=")
        knob, value = knob.strip(), value.strip()
        if not equals and last:
            found[last] += f",{piece.strip()}"
            continue
        if not knob or not value:
            raise UserError(f"{reference!r} must look like name[knob=value,knob=value]")
        if knob in found:
            raise UserError(f"{reference!r} names {knob} twice")
        found[knob], last = _checked(value, reference), knob
    return found


def _checked(value: str, reference: str) -> str:
    if not value or value != plain(value):
        raise UserError(f"{reference!r}: a value in brackets is one line of text that can be shown")
    return value
