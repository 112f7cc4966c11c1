"""``pfltune sensitivity``."""

from typing import Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.job import asked_of, hardware_of, name_of, scenario_of, voice
from pfltune.cli.resume import begun, repeated, see_files
from pfltune.errors import Halted


@click.command(
    epilog=options.examples(
        "pfltune sensitivity",
        "pfltune sensitivity --scenario fedperfix-cifar100 --lr 0.01 --seeds 3",
        "pfltune sensitivity -o protocol.rounds=30",
        "pfltune sensitivity --resume my-study",
    )
)
@options.scenario
@click.option(
    "--lr", type=click.FloatRange(min=1e-4, max=1.0), default=0.03, show_default=True, help="Rate."
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Per part.")
@options.hardware
def command(**asked: Any) -> None:
    """Keep each kind of layer personal, alone and with the head: FedPerfix's Table 1.

    FedSim with one personal part after the other, at one learning rate, beside everything shared
    and everything personal. Test accuracy is read at the round that validation chose.
    """
    console = Console(markup=False)
    console.print("Loading torch and timm")
    from pfltune.cli.lines import LineProgress
    from pfltune.cli.tables import sensitivity_table
    from pfltune.record import Sensitivity
    from pfltune.report.attachment import attach
    from pfltune.report.partition import write_partition
    from pfltune.report.sensitivity import write_sensitivity
    from pfltune.running.session import run_session
    from pfltune.settings import validated
    from pfltune.studies.sensitivity import METHOD, Study, study_methods
    from pfltune.tracking.store import writable_folder

    record = begun("sensitivity", asked)
    see_files(record, asked["accept_new_code"])
    settings = repeated(asked, record)
    scenario = scenario_of(settings, record)
    name = name_of(settings, f"{scenario.name}-sensitivity")
    wanted = {key: settings[key] for key in Sensitivity.model_fields}
    budget = validated(Sensitivity, wanted, "sensitivity")
    hardware = hardware_of(settings, scenario, study_methods(budget.lr))
    results = writable_folder(settings["results"])
    study = Study(name, scenario, budget, hardware, asked_of(settings), results)
    progress = LineProgress(study.trials, console)
    written = run_session(
        study, progress, voice(console), write_partition, settings["accept_new_code"]
    )
    cells = write_sensitivity(written, study.folder)
    console.print(sensitivity_table(cells))
    folder = study.folder / "report"
    console.print(f"Report: {folder}", soft_wrap=True, highlight=False)
    attach(results, name, written.id, {METHOD: {}}, folder, console.print)
    if not cells:
        raise Halted("no part has a figure: every trial failed")
