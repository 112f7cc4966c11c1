"""How much of a full grid halving trains, and whether it finds the same winners.

For each seed, 6 methods × 24 configurations drawn at random are trained to the end; then each
schedule halves the very same configurations. It finds all its trials among those that are kept, as
far as its brackets let them go, so that it costs nothing and is exact. A schedule's cost is the
local steps of its search over those of the full grid. Not a part of `make bench`: a seed takes
minutes. What a results folder holds already is not trained again.

python tests/benchmarks/time_to_table.py --seeds 10 --results table
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

import pfltune
from pfltune.ranking import Outcome, best_first
from pfltune.report.results import ComparisonResult, MethodResult, SearchedRun

METHODS = ("fedperfix", "fedavg", "fedper", "fedrep", "fedprox", "local")
TRIALS = 24
FULL: Mapping[str, Any] = {"halving": False}
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "generations of 4, η 3 (default)": {},
    "generations of 8, η 2": {"generation": 8, "eta": 2},
    "generations of 12, η 2": {"generation": 12, "eta": 2},
    "generations of 12, η 3": {"generation": 12},
    "one generation of 24, η 3": {"generation": 24},
}


@dataclass(frozen=True)
class Found:
    """What a comparison found.

    Attributes:
        steps: local steps of all searches.
        chosen: the search trial that each method chose.
        value: its validation accuracy at the end.
    """

    steps: float
    chosen: dict[str, int]
    value: dict[str, float]

    @classmethod
    def of(cls, result: ComparisonResult) -> "Found":
        """That of a comparison whose trials have all ended."""
        best = {method.name: _best(method) for method in result.methods}
        return cls(
            sum(method.search_steps for method in result.methods),
            {name: run.index for name, run in best.items()},
            {name: run.value for name, run in best.items()},
        )

    @property
    def winner(self) -> str:
        """The method with the best configuration."""
        return max(self.value, key=lambda name: self.value[name])


def _best(method: MethodResult) -> SearchedRun:
    runs = {run.index: run for run in method.searched}
    return runs[best_first((n, Outcome(run.rounds, run.value)) for n, run in runs.items())[0]]


def found(results: Path, seed: int, name: str, schedule: Mapping[str, Any], rounds: int) -> Found:
    """Train or replay one comparison."""
    options: dict[str, Any] = {"sampler": "random", "trials": TRIALS, "seeds": 1, "seed": seed}
    overrides = {"protocol.rounds": rounds}
    told = pfltune.compare(
        METHODS, results=results, name=name, overrides=overrides, **(options | dict(schedule))
    )
    return Found.of(told.result)


def lines(shares: Mapping[str, list[float]], same: Mapping[str, list[tuple[bool, float, float]]]):
    """A row for each schedule."""
    for name in SCHEDULES:
        winners = [winner for winner, _, _ in same[name]]
        chosen = sum(kept for _, kept, _ in same[name]) / len(winners)
        lost = max(lost for _, _, lost in same[name])
        yield (
            f"| {name} | {100 * median(shares[name]):.1f} % | {sum(winners)} of {len(winners)} | "
            f"{100 * chosen:.0f} % | {100 * lost:.1f} |"
        )


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=10)
@click.option("--rounds", type=click.IntRange(min=1), default=10)
@click.option("--results", type=click.Path(path_type=Path), required=True)
def main(seeds: int, rounds: int, results: Path) -> None:
    """Train the grids, replay the schedules, print a table after each seed."""
    shares: defaultdict[str, list[float]] = defaultdict(list)
    same: defaultdict[str, list[tuple[bool, float, float]]] = defaultdict(list)
    for seed in range(seeds):
        full = found(results, seed, f"full-{seed}", FULL, rounds)
        for place, (name, schedule) in enumerate(SCHEDULES.items()):
            ours = found(results, seed, f"schedule-{place}-{seed}", schedule, rounds)
            shares[name].append(ours.steps / full.steps)
            kept = sum(full.chosen[m] == ours.chosen[m] for m in full.chosen) / len(full.chosen)
            lost = max(full.value[m] - ours.value[m] for m in full.chosen)
            same[name].append((full.winner == ours.winner, kept, lost))
        click.echo(f"\n{seed + 1} seeds\n\n{HEADER}")
        for line in lines(shares, same):
            click.echo(line)


HEADER = (
    "| schedule | local steps of the full grid | same winning method | "
    "same configuration of a method | most lost, points |\n| --- | ---: | ---: | ---: | ---: |"
)

if __name__ == "__main__":
    main()
