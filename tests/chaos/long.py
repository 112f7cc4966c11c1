"""Many disturbed comparisons, and a table of what they survived.

python tests/chaos/long.py --seeds 10 --kills 8
"""

import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos.disturb import Kind, Story, disturbed
from chaos.outcome import Differences, differences, outcome_of
from chaos.reference import NAME, OPTIONS, Reference, undisturbed


@dataclass
class Tally:
    """What all comparisons together went through and came to."""

    planned: int = 0
    comparisons: int = 0
    ended: int = 0
    sittings: int = 0
    missed: int = 0
    hung: int = 0
    tracebacks: int = 0
    left_over: int = 0
    slowest: dict[Kind, float] = field(default_factory=dict)
    survived: Counter[Kind] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, story: Story, found: Differences) -> None:
        """Count a comparison."""
        self.comparisons += 1
        self.ended += story.ended
        self.sittings += len(story.sittings)
        self.missed += len(story.missed)
        self.survived += story.survived
        for sitting in story.sittings:
            self.hung += sitting.hung
            self.tracebacks += "Traceback" in sitting.errors
            self.left_over += len(sitting.left_over)
            if sitting.done and sitting.code != 0:
                kind = sitting.done[-1].kind
                self.slowest[kind] = max(self.slowest.get(kind, 0.0), sitting.slow_to_end)
        for name in Differences.__dataclass_fields__:
            self.wrong[name] += len(getattr(found, name))

    @property
    def is_clean(self) -> bool:
        """Whether every comparison ended as the undisturbed one."""
        return self.ended == self.comparisons and not any(self.wrong.values()) and not self.hung

    def table(self) -> str:
        """As Markdown."""
        rows = [
            ("comparisons disturbed", self.comparisons),
            ("of these ended with exit code 0", self.ended),
            *((f"survived: {kind.value}", self.survived[kind]) for kind in Kind),
            ("disturbances survived in all", sum(self.survived.values())),
            ("disturbances that came too late", self.missed),
            ("restarts", self.sittings - self.comparisons),
            ("runs lost", self.wrong["lost"]),
            ("duplicated runs", self.wrong["duplicated"]),
            ("runs left open", self.wrong["open"]),
            ("missing points", self.wrong["missing"]),
            ("duplicated points", self.wrong["duplicated_points"]),
            ("runs that differ in anything", self.wrong["other"]),
            ("rows of tables that differ", self.wrong["table"]),
            ("commands that hung", self.hung),
            ("commands that showed a traceback", self.tracebacks),
            ("processes that outlived a command by 5 s", self.left_over),
            *((f"slowest end, s: {kind.value}", f"{s:.0f}") for kind, s in self.slowest.items()),
        ]
        lines = [("what", "number"), ("---", "---:"), *rows]
        return "\n".join(f"| {what} | {number} |" for what, number in lines)


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=10, help="Disturbed comparisons.")
@click.option("--kills", type=click.IntRange(min=1), default=8, help="Disturbances of each.")
@click.option("--first", type=int, default=100, help="The first seed.")
@click.option("--minutes", type=float, default=float("inf"), help="Begin none after so many.")
def main(seeds: int, kills: int, first: int, minutes: float) -> None:
    """Disturb a small comparison over and over, and compare it with the undisturbed one."""
    place = Path(tempfile.mkdtemp(prefix="pfltune-chaos-"))
    os.environ["PFLTUNE_DATA"] = str(place / "data")
    began, tally = time.monotonic(), Tally()
    (place / "undisturbed").mkdir()
    reference = undisturbed(place / "undisturbed")
    for seed in range(first, first + seeds):
        if time.monotonic() - began > 60 * minutes:
            break
        once(place / f"seed-{seed}", reference, seed, kills, tally)
    click.echo(tally.table())
    click.echo(f"{time.monotonic() - began:.0f} s; everything is in {place}", err=True)
    sys.exit(not tally.is_clean)


def once(folder: Path, reference: Reference, seed: int, kills: int, tally: Tally) -> None:
    """One disturbed comparison."""
    folder.mkdir()
    story = disturbed(folder, OPTIONS, NAME, reference.plan(seed, kills))
    found = differences(outcome_of(folder / "results", NAME), reference.outcome)
    tally.add(story, found)
    click.echo(f"seed {seed}:\n{story}\n{found or 'nothing differs'}\n", err=True)


if __name__ == "__main__":
    main()
