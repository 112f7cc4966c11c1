"""``pfltune compare``."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pfltune.cli import options

TABLE_WIDTH = 100
DEFAULT_METHODS = "fedperfix,fedavg,fedper,fedrep,pfedpg,local"


@click.command(
    epilog=options.examples(
        "pfltune compare",
        "pfltune compare --methods fedperfix,fedavg,local --trials 12 --seeds 5",
        "pfltune compare -o protocol.rounds=30 --name digits-30-rounds",
        "pfltune compare --methods fedavg,local,my_method.py:MyMethod",
    )
)
@click.option(
    "--methods",
    default=DEFAULT_METHODS,
    show_default=True,
    help="Names (see `pfltune methods`) or path/to/file.py:Class, separated by commas.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Fresh seeds of the confirmation.",
)
@options.ground
@options.pool
def command(methods: str, seeds: int, **settings: Any) -> None:
    """Compare methods on one scenario: equal search, fresh seeds, one table.

    Every method gets the same number of search trials on validation data, its published values
    first, halved in generations. The best configuration of each is then trained anew with seeds
    that the search never used, and tested at the round that validation chose. The same settings
    give the same table, with one worker or many.
    """
    console = Console()
    folder, result = compare_and_report(options.names(methods), seeds, {}, console, **settings)
    from pfltune.report.table import terminal_table

    Console(width=max(console.width, TABLE_WIDTH)).print(terminal_table(result))
    console.print(
        "test accuracy: mean over clients ± std over seeds, at the round chosen on validation",
        soft_wrap=True,
    )
    for method in result.methods:
        for reason in method.failures:
            console.print(f"{method.title}: failed trials: {reason}", highlight=False)
    show_where(console, folder, result.experiment, settings["results"])


def compare_and_report(
    names: list[str],
    seeds: int,
    fixed: dict[str, dict[str, object]],
    console: Console,
    *,
    scenario: str,
    overrides: tuple[str, ...],
    name: str | None,
    trials: int,
    generation: int,
    eta: int,
    seed: int,
    workers: int | None,
    threads: int,
    device: str | None,
    precision: Any,
    gpus_per_trial: float | None,
    results: Path,
) -> tuple[Path, Any]:
    """Check, run and report; returns the comparison's folder and its result."""
    console.print("Loading torch and timm")
    from pfltune.report.writer import write_report
    from pfltune.scenario import load_scenario
    from pfltune.settings import validated
    from pfltune.tracking.store import Store
    from pfltune.tuning.comparison import plan_comparison
    from pfltune.tuning.hardware import Hardware
    from pfltune.tuning.plan import Budget
    from pfltune.tuning.runner import run_comparison

    ground = load_scenario(scenario, overrides)
    budget = {
        "trials": trials,
        "generation": generation,
        "eta": eta,
        "seed": seed,
        "seeds": seeds,
    }
    comparison = plan_comparison(
        name or f"{ground.name}-{datetime.now():%Y%m%d-%H%M%S}",
        ground,
        names,
        validated(Budget, budget, "budget"),
        Hardware.choose(
            ground, workers, threads, options.pick_device(device), gpus_per_trial, precision
        ),
        results,
        fixed,
    )
    experiment = run_comparison(comparison, console)
    console.print("Writing the report")
    result = write_report(Store(comparison.results), experiment, comparison.folder / "report")
    return comparison.folder, result


def show_where(console: Console, folder: Path, experiment: str, asked: Path) -> None:
    """The last lines: the report, the command for the MLflow pages, and where it stands there."""
    report = folder / "report" / "report.html"
    near = report.relative_to(Path.cwd()) if report.is_relative_to(Path.cwd()) else report
    flag = "" if asked == Path("results") else f" --results {asked}"
    console.print(f"Report: {near}", soft_wrap=True, highlight=False)
    page = f"http://127.0.0.1:5000/#/experiments/{experiment}/runs"
    console.print(f"Browse: pfltune ui{flag}, then {page}", soft_wrap=True, highlight=False)
