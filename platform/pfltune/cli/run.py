"""``pfltune run``."""

from typing import Any

import click
from rich.console import Console

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune run fedavg",
        "pfltune run fedperfix --scenario digits --set lr=0.02 --set prefix=tokens"
        " --set prefix_length=8",
        "pfltune run my_method.py:MyMethod --seed 3",
    )
)
@click.argument("method")
@options.ground
@options.knobs
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed.")
@options.threads
@options.device
@options.precision
@options.deterministic
def command(
    method: str,
    scenario: str,
    overrides: tuple[str, ...],
    knobs: tuple[str, ...],
    seed: int,
    threads: int,
    device: str | None,
    precision: Any,
    deterministic: bool,
) -> None:
    """Run one federated trial of METHOD without Ray and print its rounds.

    METHOD is a name (see `pfltune methods`) or path/to/file.py:Class. Knobs that are not set have
    their published defaults. The result is the test accuracy at the round with the best validation
    accuracy.
    """
    values = options.key_values(knobs)
    from pfltune.federation.trial import FederatedTrial
    from pfltune.registry import make_method
    from pfltune.scenario import load_scenario
    from pfltune.tuning.hardware import choose_compute
    from pfltune.tuning.pool import this_machine

    chosen = make_method(method, values)
    ground = load_scenario(scenario, overrides)
    ground.check([chosen])
    chosen_device = options.pick_device(device, this_machine().gpus)
    compute = choose_compute(ground, threads, chosen_device, precision, deterministic)
    console = Console(highlight=False, markup=False)
    for note in ground.notes():
        console.print(note, soft_wrap=True)
    trial = FederatedTrial(chosen, ground.build(), seed, compute)
    sizes = trial.footprint()
    console.print(
        f"{chosen}\n{sizes['params/shared']:,.0f} shared and {sizes['params/personal']:,.0f} "
        f"personal parameters on {compute.device} in "
        f"{compute.precision}; {len(trial.personal)} clients",
        soft_wrap=True,
    )
    for report in trial.run():
        m = report.metrics
        accuracies = (
            f"val {100 * m['val/accuracy']:6.2f} %  test {100 * m['test/accuracy']:6.2f} %"
            if "val/accuracy" in m
            else " " * 27
        )
        console.print(
            f"round {report.round:3d}  loss {m['train/loss']:7.4f}  {accuracies}  "
            f"{m['comm/total_mb']:9.3f} MB  {m['time/total_s']:6.1f} s"
        )
    selection = trial.selection
    test = selection.evaluation.metrics()
    console.print(
        f"test accuracy {100 * test['test/accuracy']:.2f} % (std over clients "
        f"{100 * test['test/accuracy_std']:.2f}) at round {selection.round}, chosen on validation"
    )
    if trial.federation.unseen:
        console.print(
            f"{len(trial.federation.unseen)} unseen clients: test accuracy "
            f"{100 * m['unseen/test/accuracy']:.2f} % after personalisation in the last round"
        )
