from dataclasses import dataclass

from pfltune import Method, Phase, knob


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its decay counts in either mode."""

    mode: str = knob("plain", choices=("plain", "decay"), doc="whether weights decay")
    decay: float = knob(0.1, low=0.0, high=1.0, when={"mode": "decay"}, doc="L2 coefficient")

    def phases(self):
        double = 2 if self.mode == "decay" else 1
        return (Phase("all", self.lr, weight_decay=double * self.decay),)
