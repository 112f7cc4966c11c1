"""One colour, marker and line per method, the same in every figure of every report."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

from matplotlib.colors import to_hex, to_rgb

# Nine hues that differ in lightness, L* from 16 to 72 in steps of 7, so that they differ in gray
# print; in CIELAB any two of them are 20 apart, for readers without red, green or blue cones, too.
# All are dark enough for lines on white. Found by random search (tests/test_styles.py checks them).
HUES = (
    *("#101f68", "#a46f14", "#ae3696", "#519b61", "#601c4a"),
    *("#c8af5b", "#5e42b4", "#ee6cdc", "#0c530c"),
)
COLOURS = HUES
"""For what is no method."""

# Beyond nine methods a shade and the line tell them apart: lighter ones of dark colours.
SHADES = (0.0, 0.35, 0.6)
MARKERS = "osD^vPX*p"
LINES = ("-", "--", ":")
SLOTS = len(HUES) * len(SHADES)


@dataclass(frozen=True)
class Style:
    """How a method is drawn.

    Attributes:
        colour: as #rrggbb.
        marker: of points.
        line: of curves.
    """

    colour: str
    marker: str
    line: str

    @property
    def points(self) -> dict[str, Any]:
        """Keywords of matplotlib for points."""
        return {"color": self.colour, "marker": self.marker}

    @property
    def curve(self) -> dict[str, Any]:
        """Keywords of matplotlib for a line with markers."""
        return {**self.points, "linestyle": self.line}


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """The style of each method by its short name.

    A built-in method has the hue of its place among the built-in ones, any other the hue of the
    hash of its name, or the next one that nobody has: so up to nine methods have nine hues. Most
    keep theirs whoever they are compared with. No two are alike, up to 27 methods.
    """
    known = _built_in()
    wanted = sorted(set(names), key=lambda name: (name not in known, name))
    slots: dict[str, int] = {}
    for name in wanted:
        slots[name] = _free(known.get(name, _hash(name)), set(slots.values()))
    return {name: _style(slots[name]) for name in sorted(slots)}


class Row(Protocol):
    """A row of a table, see :class:`pfltune.report.results.MethodResult`."""

    @property
    def name(self) -> str:
        """Its own."""

    @property
    def method(self) -> str:
        """Short name of its method."""

    @property
    def place(self) -> int:
        """Among the rows of its method."""


def row_styles(rows: Iterable[Row]) -> dict[str, Style]:
    """The style of each method and of each row by its name.

    The rows of one method have its colour, and markers and lines of their own.
    """
    shown = list(rows)
    found = styles_of(row.method for row in shown)
    return found | {row.name: _turned(found[row.method], row.place) for row in shown}


def _turned(style: Style, places: int) -> Style:
    marker = MARKERS[(MARKERS.index(style.marker) + places) % len(MARKERS)]
    line = LINES[(LINES.index(style.line) + places) % len(LINES)]
    return replace(style, marker=marker, line=line)


def _built_in() -> dict[str, int]:
    """The places of the built-in methods, none of which is imported for it: that takes seconds."""
    folder = importlib.import_module("pfltune.methods").__path__
    names = sorted(module.name for module in pkgutil.iter_modules(folder))
    return {name: place for place, name in enumerate(n for n in names if not n.startswith("_"))}


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest())


def _free(place: int, taken: set[int]) -> int:
    """The first slot that nobody has, from a place's hue on, all hues before the next shade."""
    hues = len(HUES)
    order = [
        shade * hues + (place + step) % hues for shade in range(len(SHADES)) for step in range(hues)
    ]
    return next((slot for slot in order if slot not in taken), order[0])


def _style(slot: int) -> Style:
    hue, shade = slot % len(HUES), slot // len(HUES)
    line = LINES[(hue + shade) % len(LINES)]
    return Style(_shaded(HUES[hue], SHADES[shade]), MARKERS[hue], line)


def _shaded(colour: str, share: float) -> str:
    """A dark colour made lighter, a light one darker, by a share of the way to white or black."""
    red, green, blue = to_rgb(colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.3
    towards = 0.0 if light else 0.85
    return to_hex([part + share * (towards - part) for part in (red, green, blue)])
