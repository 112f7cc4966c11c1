from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its family is none."""

    family = "partly"
