from dataclasses import dataclass

from pfltune import Method, knob


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Nothing reads its mu."""

    mu: float = knob(0.1, low=0.0, high=1.0, doc="strength")
