"""What a trial has spent: bytes of payloads, local steps, seconds."""

from dataclasses import dataclass

from pfltune import figures
from pfltune.federation.payload import MB


@dataclass
class Totals:
    """What was spent since the first round: bytes of payloads, local steps and seconds.

    ``seconds`` are those of local training and aggregation; ``cpu_seconds`` those that the process
    computed for them and for evaluations, on all its threads together.
    """

    up: int = 0
    down: int = 0
    evaluation_down: int = 0
    steps: int = 0
    adaptation_steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def since(self, before: "Totals") -> dict[str, float]:
        """The figures of a round: its own bytes, and what has been spent up to its end."""
        return {
            figures.UP.name: (self.up - before.up) / MB,
            figures.DOWN.name: (self.down - before.down) / MB,
            figures.TOTAL.name: (self.up + self.down) / MB,
            figures.STEPS.name: float(self.steps),
            figures.SECONDS.name: self.seconds,
        }
