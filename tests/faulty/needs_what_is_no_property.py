from dataclasses import dataclass

from pfltune import Method, knob


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """What it needs is asked for and not called: every function counts as yes."""

    sharp: bool = knob(False, doc="whether it needs float32")

    def needs_float32(self):
        return self.sharp
