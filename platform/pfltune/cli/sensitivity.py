"""``pfltune sensitivity``."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.studies.options import DEFAULTS

if TYPE_CHECKING:
    from pfltune.report.notebook import SensitivityResults


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
    "--lr",
    type=click.FloatRange(min=1e-4, max=1.0),
    default=DEFAULTS["lr"],
    show_default=True,
    help="Rate.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Per part.")
@options.hardware
def command(**_: Any) -> None:
    """Keep each kind of layer personal, alone and with the head: FedPerfix's Table 1.

    FedSim with one personal part after the other, at one learning rate, beside everything shared
    and everything personal. The test figure is read at the round that validation chose.
    """
    console = Console(markup=False)
    console.print("Loading torch and timm")
    from pfltune.api import sensitivity
    from pfltune.cli.view import Terminal

    sensitivity(progress=Terminal(console, partial(_show, console)), **options.given())


def _show(console: Console, found: "SensitivityResults") -> None:
    from pfltune.cli.tables import sensitivity_table
    from pfltune.report.words import reuse_note

    console.print(sensitivity_table(found.cells))
    if note := reuse_note(found.all_trials):
        console.print(note, soft_wrap=True, highlight=False)
    console.print(f"Report: {found.report}", soft_wrap=True, highlight=False)
