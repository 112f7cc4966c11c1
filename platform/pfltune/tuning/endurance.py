"""How trials outlive their processes, and how long they may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Endurance:
    """Settings that do not touch a trial's figures.

    Attributes:
        checkpoints: folder or address of the trials' checkpoints, the same from every machine.
        seconds: a checkpoint is written after the first round that ends so long after the last.
        rounds: and after so many rounds.
        limit_s: seconds that the rounds of a trial may take in all.
    """

    checkpoints: str
    seconds: float = 30.0
    rounds: float = float("inf")
    limit_s: float = float("inf")
