"""One colour, marker and line per method, the same in every figure of every report."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

from matplotlib.colors import to_hex, to_rgb

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, for what is no method."""

# Nine hues that colour-blind readers tell apart, after Paul Tol's "muted"; his two palest are
# darker here, for print. Beyond nine methods a shade, the marker and the line tell them apart too.
HUES = (
    *("#332288", "#56B4E9", "#44AA99", "#117733", "#999933"),
    *("#DDAA33", "#CC6677", "#882255", "#AA4499"),
)
SHADES = (0.0, 0.35, 0.6)
MARKERS = "osD^vPX*"
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

    A built-in method has the style of its place among the built-in ones, whoever it is compared
    with. Any other takes the first free one from the hash of its name on. No two are alike, up to
    27 methods.
    """
    known = _built_in()
    wanted = sorted(set(names))
    slots = {name: known[name] % SLOTS for name in wanted if name in known}
    for name in wanted:
        if name not in slots:
            slots[name] = _free(name, set(slots.values()), set(known.values()))
    return {name: _style(slots[name]) for name in wanted}


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


def _free(name: str, taken: set[int], reserved: set[int]) -> int:
    """The first slot from the name's hash on that nobody has, better one that nobody could have."""
    first = int.from_bytes(blake2b(name.encode(), digest_size=4).digest())
    order = [(first + step) % SLOTS for step in range(SLOTS)]
    free = [slot for slot in order if slot not in taken] or order
    return next((slot for slot in free if slot not in reserved), free[0])


def _style(slot: int) -> Style:
    hue, shade = slot % len(HUES), slot // len(HUES)
    marker = MARKERS[slot % len(MARKERS)]
    return Style(_shaded(HUES[hue], SHADES[shade]), marker, LINES[shade])


def _shaded(colour: str, share: float) -> str:
    """A dark colour made lighter, a light one darker, by a share of the way to white or black."""
    red, green, blue = to_rgb(colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.3
    towards = 0.0 if light else 0.85
    return to_hex([part + share * (towards - part) for part in (red, green, blue)])
