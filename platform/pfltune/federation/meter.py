"""What a trial has spent: bytes of payloads, local steps, seconds."""

from dataclasses import dataclass

from pfltune import figures
from pfltune.federation.payload import MB
from pfltune.federation.trial_budget import Kind


@dataclass
class Totals:
    """What was spent since the first round: bytes, local steps, operations, seconds.

    ``seconds`` are those of local training and aggregation; ``cpu_seconds`` those that the process
    computed for them and for evaluations, on all its threads together.
    """

    up: int = 0
    down: int = 0
    evaluation_down: int = 0
    steps: int = 0
    operations: int = 0
    adaptation_steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def of(self, kind: Kind) -> float:
        """What a budget of this kind counts."""
        counted = {
            "bytes": float(self.up + self.down),
            "steps": float(self.steps),
            "operations": float(self.operations),
            "seconds": self.seconds,
        }
        return counted[kind]

    def since(self, before: "Totals") -> dict[str, float]:
        """The figures of a round: its own bytes, and what has been spent up to its end."""
        return {
            figures.UP.name: (self.up - before.up) / MB,
            figures.DOWN.name: (self.down - before.down) / MB,
            figures.TOTAL.name: (self.up + self.down) / MB,
            figures.STEPS.name: float(self.steps),
            figures.PFLOP.name: self.operations / 1e15,
            figures.SECONDS.name: self.seconds,
        }
