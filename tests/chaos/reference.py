"""The small comparison that is disturbed, and what it comes to if nobody does."""

from dataclasses import dataclass
from pathlib import Path

from chaos.disturb import Disturbance, disturbed, plan
from chaos.outcome import Outcome, outcome_of

NAME = "small"
OPTIONS = [
    *("--methods", "fedavg,fedperfix"),
    *("-o", "protocol.rounds=4", "-o", "warm_start.epochs=2"),
    *("--trials", "4", "--generation", "2", "--eta", "2", "--seeds", "2"),
    *("--checkpoint-seconds", "0"),
]


@dataclass(frozen=True)
class Reference:
    """The undisturbed comparison.

    Attributes:
        folder: it ran in.
        output: what it printed.
        outcome: what it came to.
        lines: of its journal.
        confirmed_from: the first of them in which a confirmation trial starts.
    """

    folder: Path
    output: str
    outcome: Outcome
    lines: int
    confirmed_from: int

    def plan(self, seed: int, kills: int) -> list[Disturbance]:
        """Disturbances of a comparison like this one."""
        return plan(seed, kills, self.lines, self.confirmed_from)


def undisturbed(folder: Path) -> Reference:
    """Run the comparison once."""
    story = disturbed(folder, OPTIONS, NAME, [])
    assert story.ended, story.sittings[-1].errors
    journal = (folder / "results" / NAME / "journal.jsonl").read_text().splitlines()
    confirmed = [n for n, line in enumerate(journal, 1) if '"stage": "confirm"' in line]
    return Reference(
        folder,
        story.sittings[-1].output,
        outcome_of(folder / "results", NAME),
        len(journal),
        confirmed[0],
    )
