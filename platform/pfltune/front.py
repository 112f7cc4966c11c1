"""The configurations of one method's front: which is which, by its letter."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from pfltune.stages import Stage

Trial = TypeVar("Trial")


class Identity(Protocol):
    """What says which configuration a trial confirms."""

    @property
    def stage(self) -> Stage:
        """What it is for."""

    @property
    def index(self) -> int:
        """Its number within method and stage."""

    @property
    def knobs(self) -> Mapping[str, Any]:
        """Its configuration."""


def letter_of(place: int) -> str:
    """``a`` for the first configuration of a front, ``b`` for the second; after ``z`` ``aa``."""
    first, last = divmod(place, 26)
    return (letter_of(first - 1) if first else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def fronted(
    trials: Iterable[Trial], identity: Callable[[Trial], Identity]
) -> tuple[list[Trial], ...]:
    """The confirmation trials of each configuration, in the order in which they were dealt.

    All configurations are dealt with one seed before any is with the next, the most accurate of the
    search first.

    Args:
        trials: of one method.
        identity: of a trial.
    """
    found: list[tuple[Mapping[str, Any], list[Trial]]] = []
    for trial in sorted(trials, key=lambda trial: identity(trial).index):
        known = identity(trial)
        if known.stage != "confirm":
            continue
        own = next((each for knobs, each in found if knobs == known.knobs), None)
        if own is None:
            found.append((known.knobs, own := []))
        own.append(trial)
    return tuple(own for _, own in found)
