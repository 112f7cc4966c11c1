"""``pfltune sensitivity``."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune sensitivity",
        "pfltune sensitivity --scenario fedperfix-cifar100 --lr 0.01 --seeds 3",
        "pfltune sensitivity -o protocol.rounds=30",
    )
)
@options.ground
@click.option(
    "--lr", type=click.FloatRange(min=1e-4, max=1.0), default=0.03, show_default=True, help="Rate."
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Per part.")
@options.hardware
def command(
    scenario: str,
    overrides: tuple[str, ...],
    lr: float,
    seeds: int,
    name: str | None,
    seed: int,
    workers: int | None,
    threads: int,
    device: str | None,
    precision: Any,
    gpus_per_trial: float | None,
    results: Path,
) -> None:
    """Keep each kind of layer personal, alone and with the head: FedPerfix's Table 1.

    FedSim with one personal part after the other, at one learning rate, beside everything shared
    and everything personal. Test accuracy is read at the round that validation chose.
    """
    console = Console()
    console.print("Loading torch and timm")
    from pfltune.report.sensitivity import terminal_table, write_sensitivity
    from pfltune.scenario import load_scenario
    from pfltune.tracking.store import writable_folder
    from pfltune.tuning.comparison import checked_name
    from pfltune.tuning.hardware import Hardware
    from pfltune.tuning.sensitivity import Study, run_study

    ground = load_scenario(scenario, overrides)
    chosen = checked_name(name or f"{ground.name}-sensitivity-{datetime.now():%Y%m%d-%H%M%S}")
    place = options.pick_device(device)
    hardware = Hardware.choose(ground, workers, threads, place, gpus_per_trial, precision)
    study = Study(chosen, ground, lr, seeds, seed, hardware, writable_folder(results))
    store, experiment, run = run_study(study, console)
    folder = study.folder / "report"
    console.print(terminal_table(write_sensitivity(store, experiment, run, folder)))
    console.print(f"Report: {folder}", soft_wrap=True, highlight=False)
