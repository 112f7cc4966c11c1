"""``pfltune tune``."""

from typing import Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.compare import compare_and_report, show_where


@click.command(
    epilog=options.examples(
        "pfltune tune fedperfix --trials 20",
        "pfltune tune fedperfix --set prefix=tokens --trials 12",
        "pfltune tune fedrep --scenario my_scenario.yaml --workers 4",
    )
)
@click.argument("method")
@options.ground
@options.knobs
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Fresh seeds on which the best configuration is tested at the end.",
)
@options.pool
def command(method: str, settings: tuple[str, ...], seeds: int, **others: Any) -> None:
    """Tune METHOD over its search space and show the best configuration.

    The search sees validation data only. At the end the best configuration is trained anew with a
    fresh seed and tested.
    """
    console = Console()
    fixed: dict[str, dict[str, object]] = {method: dict(options.key_values(settings))}
    folder, result = compare_and_report([method], seeds, fixed, console, **others)
    tuned = result.methods[0]
    if not tuned.runs:
        console.print(f"{tuned.title}: every trial failed: {'; '.join(tuned.failures)}")
    else:
        words = " ".join(f"--set {key}={value}" for key, value in tuned.best.items())
        console.print(
            f"Best of {tuned.search_trials} trials: test accuracy "
            f"{100 * tuned.mean('selected/test_accuracy'):.2f} % with {seeds} fresh seed(s)\n"
            f"Again:  pfltune run {method} --scenario {others['scenario']} {words}",
            soft_wrap=True,
            highlight=False,
        )
    show_where(console, folder, result.experiment, others["results"])
