"""A method with some of its knobs held: ``fedperfix[prefix=tokens,prefix_length=8]``.

``fedperfix@NAME`` holds all of them, at what the search of the comparison NAME chose, but for what
brackets after it say: ``fedperfix@NAME[prefix=zero]``. Brackets before it say which variant it was
there: ``fedperfix[prefix=tokens]@NAME``. The values are in the record and not in the text, which
would not be readable with seventeen digits of each.

``fedavg+topk+float16`` is a method whose payloads pass wraps, see :mod:`pfltune.wrapped`; it has
their knobs, too: ``fedavg+topk[topk_share=0.05]``.

The text is the variant's identity: it has its own name, search and row. Here it is only read and
written; what a knob may be is said by the method, see :mod:`pfltune.registry`, and what was chosen
by :mod:`pfltune.studies.tuned`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pfltune.errors import UserError
from pfltune.knobs import written
from pfltune.plugins import short_name
from pfltune.text import plain

WRAPPED = "+"
# The shortest path, so that a value may hold ".py:"; in a path brackets, @ and + are only
# characters, unless what stands before the + could be a name.
_PART = r"(?:[\w-]+(?=\+|\Z)|(?!\+)(?:.*?\.py:)?[^\[\]@+]+)"
_WHOLE = rf"{_PART}(?:\+{_PART})*"
_BASE = rf"(?P<base>{_WHOLE})"
_PARTS = re.compile(rf"(?P<first>{_PART})(?:\+(?P<rest>{_WHOLE}))?", re.DOTALL)
_BEFORE, _AFTER = r"(?:\[(?P<before>[^\]]*)\])?", r"(?:\[(?P<after>.*)\])?"
_TUNED = re.compile(f"{_BASE}{_BEFORE}@(?P<name>[^][@/]+){_AFTER}", re.DOTALL)
_VARIANT = re.compile(f"{_BASE}{_AFTER}", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """What stands for a method.

    Attributes:
        base: its name, or ``path/to/file.py:Class``; behind a ``+`` likewise each wrap.
        held: values of knobs as they are written, by knob.
        tuned_in: name of the comparison whose search chose its other values; empty if none did.
        searched: what the method held in that search.
    """

    base: str
    held: Mapping[str, str] = field(default_factory=dict)
    tuned_in: str = ""
    searched: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it is called in tables."""
        return self.base_name + self._rest

    @property
    def base_name(self) -> str:
        """The method's own name, whatever is held: of a file, the class in lower case."""
        return self.with_parts(short_name).base

    @property
    def parts(self) -> list[str]:
        """The method without wraps, whatever is held, and each wrap."""
        return _parts(self.base)

    @property
    def method(self) -> str:
        """The method without wraps, whatever is held."""
        return self.parts[0]

    @property
    def wraps(self) -> list[str]:
        """What it is wrapped in: names, or ``path/to/file.py:Class``."""
        return self.parts[1:]

    def with_parts(self, changed: Callable[[str], str]) -> "Reference":
        """The same with the method and each wrap named otherwise."""
        return replace(self, base=WRAPPED.join(map(changed, self.parts)))

    @property
    def there(self) -> "Reference":
        """What was searched where its values were chosen."""
        return Reference(self.base, self.searched)

    def words(self) -> str:
        """What is held, and where other values were chosen; empty if nothing is."""
        chosen = [f"tuned in {self.tuned_in}"] if self.tuned_in else []
        return ", ".join([*_written(self.searched), *chosen, *_written(self.held)])

    @property
    def _rest(self) -> str:
        chosen = f"{_brackets(self.searched)}@{self.tuned_in}" if self.tuned_in else ""
        return chosen + _brackets(self.held)

    def __str__(self) -> str:
        return self.base + self._rest


def parsed(reference: str) -> Reference:
    """A reference in its parts.

    Raises:
        UserError: what stands in its brackets is not ``knob=value,…``.
    """
    if found := _TUNED.fullmatch(reference):
        before, after = (_pairs(found[group], reference) for group in ("before", "after"))
        return Reference(found["base"], after, found["name"], before)
    if found := _VARIANT.fullmatch(reference):
        return Reference(found["base"], _pairs(found["after"], reference))
    return Reference(reference)


def holding(reference: str, values: Mapping[str, object]) -> str:
    """The reference that holds these values beside what it holds already.

    Raises:
        UserError: a knob is held at two values, or a value cannot stand in brackets.
    """
    old = parsed(reference)
    new = {knob: _checked(written(value), reference) for knob, value in values.items()}
    check_agreement(reference, old.held, new)
    return str(replace(old, held={**old.held, **new}))


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


def wrapping(reference: str, wraps: Iterable[str]) -> str:
    """The reference with wraps behind those that it has; ``topk[share=0.05]`` holds a knob.

    Raises:
        UserError: a text is none of a wrap.
    """
    for text in wraps:
        wrap, known = parsed(text), parsed(reference)
        if wrap.tuned_in or not text:
            raise UserError(f"--wrap {text!r} must look like topk or topk[share=0.05]")
        names = [short_name(part) for part in wrap.parts]
        if wrap.held and len(names) > 1:
            raise UserError(f"--wrap {text!r} holds knobs of several: give one --wrap for each")
        reference = str(replace(known, base=f"{known.base}{WRAPPED}{wrap.base}"))
        held = {knob_of_wrap(name, k): v for name in names for k, v in wrap.held.items()}
        reference = holding(reference, held)
    return reference


def knob_of_wrap(wrap: str, knob: str) -> str:
    """What a wrapped method calls a knob of a wrap of this short name."""
    return f"{wrap.replace('-', '_')}_{knob}"


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


def _parts(base: str) -> list[str]:
    """A method and its wraps."""
    found = _PARTS.fullmatch(base)
    if found is None:
        return [base]
    return [found["first"], *(_parts(found["rest"]) if found["rest"] else [])]


def _written(held: Mapping[str, str]) -> list[str]:
    """``knob=value``, sorted."""
    return [f"{knob}={value}" for knob, value in sorted(held.items())]


def _brackets(held: Mapping[str, str]) -> str:
    """What is held as it stands in a reference; empty if nothing is."""
    return f"[{','.join(_written(held))}]" if held else ""


def _pairs(inside: str | None, reference: str) -> dict[str, str]:
    """``a=1,b=2`` as a mapping; a piece without ``=`` belongs to the value before it."""
    found: dict[str, str] = {}
    last = ""
    for piece in [] if inside is None else inside.split(","):
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
