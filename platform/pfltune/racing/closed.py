"""Many hypotheses at once: closed testing with the mean of e-values."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from pfltune.ties import settled

ALPHA = 0.05
"""Probability of a wrong claim anywhere, at any time, at most."""
THRESHOLD = 1 / ALPHA
Key = TypeVar("Key")


def lack(value: float) -> float:
    """What an e-value lacks of the threshold."""
    return max(0.0, THRESHOLD - value)


def needed(values: Mapping[Key, float]) -> dict[Key, float]:
    """What each e-value must reach for its hypothesis to be rejected.

    A hypothesis is rejected where every set of hypotheses that contains it is, and a set is where
    the mean of its e-values reaches the threshold T (Vovk and Wang 2021, arXiv 1912.06116). The
    worst set for one of them holds all others that are below T; its mean reaches T if and only if
    the one has T and what all those lack.

    Args:
        values: e-values of all hypotheses that are not rejected; those that are, have reached the
            threshold and lack nothing.
    """
    lacks = {key: lack(value) for key, value in values.items()}
    whole = sum(lacks.values())
    return {key: THRESHOLD + whole - lacks[key] for key in values}


def rejected(values: Mapping[Key, float], among: Collection[Key]) -> list[Key]:
    """Those of ``among`` that are rejected."""
    wanted = needed(values)
    return [key for key in among if settled(values[key]) >= settled(wanted[key])]
