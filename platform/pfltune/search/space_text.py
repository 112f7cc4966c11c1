"""Search spaces as they are written on the command line: ``lr=1e-3:0.3:log``, ``size=1,2,4``."""

import csv
import re
from collections.abc import Mapping
from typing import Any

from pfltune.errors import UserError
from pfltune.federation.searched_settings import SECTION
from pfltune.knobs import Knob
from pfltune.settings import validated
from pfltune.space_file import Dimension, Point

SCALES = {"log": True, "linear": False}
BETWEEN = ("..", ":", "to", "-")
"""What somebody may write between the ends of a range."""
HOW = "--search must look like lr=1e-3:0.3:log, prefix_length=1,2,4 or learn_alpha=true,false"
_NAMED = re.compile(r"((?:[^\[\]=]*\[[^\]]*\])?[^\[\]=]+)=(.*)", re.DOTALL)


def dimension_of(text: str) -> tuple[str, Dimension]:
    """``KNOB=LOW:HIGH``, with ``:log`` or ``:linear`` at its end, or ``KNOB=A,B,C``.

    The knob may be one method's, ``METHOD.KNOB``. A choice with a comma stands in double quotes.

    Raises:
        UserError: it is neither, or one value only.
    """
    found = _NAMED.fullmatch(text)
    if found is None or not found[2].strip():
        raise UserError(f"{HOW}, not {text!r}")
    name = found[1].strip()
    return name, specified(name, found[2].strip())


def specified(name: str, spec: object) -> Dimension:
    """What a knob is searched over: a text as above, several values, or a mapping as in a YAML.

    Raises:
        UserError: it is none of them.
    """
    where = f"--search {name}"
    if isinstance(spec, Dimension):
        return spec
    if isinstance(spec, str):
        return _written(name, spec)
    if isinstance(spec, Mapping):
        return validated(Dimension, spec, where)
    if isinstance(spec, list | tuple):
        return _chosen(name, list(spec))
    raise UserError(f"{where}: {spec!r} is neither a text, as '1:32' or '1,2,4', nor values")


def point_of(text: str) -> Point:
    """``lr=0.1,prefix_length=8`` as a start point.

    Raises:
        UserError: it does not look like that, or names a knob twice.
    """
    pairs = [piece.partition("=") for piece in _pieces(text)]
    if not pairs or not all(name and equals and value for name, equals, value in pairs):
        raise UserError(f"--start must look like lr=0.1,prefix_length=8, not {text!r}")
    point: Point = {name.strip(): value.strip() for name, _, value in pairs}
    if len(point) < len(pairs):
        raise UserError(f"--start {text!r} names a knob twice")
    return point


def search_hint(knob: Knob, value: object) -> str:
    """What to write instead of several values where one is wanted; empty for one value."""
    if not isinstance(value, str) or (knob.type is not str and knob.typed(value) is not None):
        return ""
    for between in BETWEEN if knob.type in (int, float) else ():
        low, found, high = (part.strip() for part in value.partition(between))
        if found and None not in (knob.typed(low), knob.typed(high)):
            return f"--search {knob.name}={low}:{high}"
    pieces = _pieces(value)
    if len(pieces) > 1 and None not in map(knob.typed, pieces):
        return f"--search {knob.name}={','.join(pieces)}"
    return ""


def _written(name: str, spec: str) -> Dimension:
    ends = spec.split(":")
    if "," in spec or len(ends) == 1:
        return _chosen(name, _pieces(spec))
    low, high, *scale = (end.strip() for end in ends)
    if len(scale) > 1 or not set(scale) <= SCALES.keys():
        told = ":".join(scale)
        raise UserError(f"--search {name}={spec}: the scale is log or linear, not {told!r}")
    content = {"low": low, "high": high, "log": SCALES[scale[0]] if scale else None}
    return validated(Dimension, content, f"--search {name}={spec}")


def _chosen(name: str, choices: list[Any]) -> Dimension:
    if len(choices) < 2:
        told = choices[0] if choices else ""
        held = "-o" if name.split(".")[0] == SECTION else "--set"
        raise UserError(
            f"--search {name}={told} is one value; hold it with {held} {name}={told}, or give "
            f"several: {HOW.removeprefix('--search must look like ')}"
        )
    return validated(Dimension, {"choices": choices}, f"--search {name}")


def _pieces(text: str) -> list[str]:
    """What stands between the commas that are not in double quotes."""
    try:
        (row,) = csv.reader([text], skipinitialspace=True)
    except csv.Error:  # a line's end within
        return [text]
    return [piece.strip() for piece in row if piece.strip()]
