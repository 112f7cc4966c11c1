from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its phases are no function."""

    phases = ()
