"""Names of classes, domains and files: their order, and how they stand in a line of text."""

import re
from collections.abc import Iterable, Sequence

LONGEST = 40
SHOWN = 5


def in_natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted with the numbers in them as numbers: 2 before 10, scan2 before scan10."""
    return tuple(sorted(names, key=_natural))


def _natural(name: str) -> tuple[list[str | int], str]:
    # Texts and numbers take turns, so that two keys never compare one with the other.
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def on_one_line(name: str, longest: int = LONGEST) -> str:
    """The name without what a terminal or a picture would obey, cut to ``longest`` characters."""
    printable = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name
    )
    return printable if len(printable) <= longest else f"{printable[: longest - 1]}…"


def some_of(names: Sequence[str]) -> str:
    """The first of ``names`` and how many more there are."""
    shown = ", ".join(on_one_line(name) for name in names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
