"""What a paper says is ahead of what: read from a text such as ``fedperfix > fedper, fedrep``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pfltune.errors import UserError, unknown
from pfltune.figures import FIGURES, TEST
from pfltune.layers import LAYERS
from pfltune.variants import split

Subject = Literal["methods", "layers"]
_BETWEEN = re.compile(
    r"(?P<first>\S.*?)\s+(?P<sign>[<>])\s+(?P<others>\S.*?)(?:\s+in\s+(?P<figure>\S+))?"
)
_MOST = re.compile(r"(?P<layers>\S.*?)\s+most\s+sensitive")
FORMS = (
    "'METHOD > METHOD, METHOD' of test accuracy, 'METHOD < METHOD in FIGURE' of another figure, or "
    "'LAYER, LAYER most sensitive'"
)


@dataclass(frozen=True)
class Ordering:
    """One thing ahead of another.

    Attributes:
        first, second: methods as the claim names them, or kinds of layers.
        sign: ``>`` where the first one's figure is said to be the higher, ``<`` where the lower.
        figure: in what; see :mod:`pfltune.figures`.
        of: of methods, or of which layers are personal.
    """

    first: str
    second: str
    sign: Literal["<", ">"] = ">"
    figure: str = TEST.name
    of: Subject = "methods"

    @property
    def text(self) -> str:
        """``fedperfix > fedper``, as a claim may say it."""
        of_what = "" if self.figure == TEST.name else f" in {self.figure}"
        return f"{self.first} {self.sign} {self.second}{of_what}"

    @property
    def direction(self) -> int:
        """Of the difference, first minus second, that is claimed: 1 or -1."""
        return 1 if self.sign == ">" else -1


def orderings_of(texts: Sequence[str], methods: Sequence[str]) -> tuple[Ordering, ...]:
    """What texts say, pair by pair.

    Args:
        texts: in one of the forms of :data:`FORMS`.
        methods: that may be named.

    Raises:
        UserError: a text has none of the forms, names what there is not, or says nothing new.
    """
    found = [ordering for text in texts for ordering in _read(text, methods)]
    pairs = [(o.of, o.figure, frozenset((o.first, o.second))) for o in found]
    for ordering, pair in zip(found, pairs, strict=True):
        if pairs.count(pair) > 1:
            raise UserError(f"{ordering.first} and {ordering.second} are ordered twice")
    return tuple(found)


def _read(text: str, methods: Sequence[str]) -> Iterator[Ordering]:
    if found := _MOST.fullmatch(text.strip()):
        yield from _most_sensitive(_names(found["layers"], "layer", tuple(LAYERS)))
    elif found := _BETWEEN.fullmatch(text.strip()):
        figure = found["figure"] or TEST.name
        if figure not in FIGURES:
            raise unknown("figure", figure, FIGURES)
        first = _names(found["first"], "method", methods)
        for second in _names(found["others"], "method", methods):
            if len(first) > 1 or first[0] == second:
                raise UserError(
                    f"ordering {text!r} must have one method, and others behind {found['sign']}"
                )
            yield Ordering(first[0], second, ">" if found["sign"] == ">" else "<", figure)
    else:
        raise UserError(f"ordering {text!r} must look like {FORMS}")


def _most_sensitive(most: Sequence[str]) -> Iterator[Ordering]:
    """Each of the most sensitive layers before each other one."""
    rest = [layer for layer in LAYERS if layer not in most]
    if not rest:
        raise UserError("all layers are said to be the most sensitive; name some of them")
    for layer in most:
        for other in rest:
            yield Ordering(layer, other, of="layers")


def _names(text: str, kind: str, known: Sequence[str]) -> list[str]:
    names = split(text)
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
    return names
