"""``pfltune run``."""

import inspect
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune import figures
from pfltune.cli import options

if TYPE_CHECKING:
    from pfltune.federation.trial import FederatedTrial, RoundReport
    from pfltune.method import Method


@click.command(
    epilog=options.examples(
        "pfltune run fedavg",
        "pfltune run fedperfix --scenario digits --set lr=0.02 --set prefix=tokens"
        " --set prefix_length=8",
        "pfltune run my_method.py:MyMethod --seed 3",
    )
)
@click.argument("method")
@options.scenario
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
    from pfltune.isolation import in_a_line
    from pfltune.registry import make_method, title_of
    from pfltune.running.hardware import choose_compute, precision_for
    from pfltune.running.pool import this_machine
    from pfltune.scenario import load_scenario

    chosen = make_method(method, values)
    title = title_of(type(chosen))
    chosen_scenario = load_scenario(scenario, overrides)
    chosen_scenario.check([chosen])
    chosen_device = options.pick_device(device, this_machine().gpus)
    asked = precision_for([chosen], precision)
    compute = choose_compute(chosen_scenario, threads, chosen_device, asked, deterministic)
    console = Console(highlight=False, markup=False)
    federation = chosen_scenario.build(threads)
    for note in chosen_scenario.notes():
        console.print(note, soft_wrap=True)
    with in_a_line(title, inspect.getfile(type(chosen))):
        trial = FederatedTrial(chosen, federation, seed, compute)
        console.print(f"{title}, seed {seed}: {_knobs(chosen)}", soft_wrap=True)
        console.print(_sizes(trial), soft_wrap=True)
        for report in trial.run():
            console.print(_line(report))
    console.print(_result(trial))
    if federation.unseen:
        accuracy = 100 * report.metrics[figures.UNSEEN_TEST.name]
        console.print(
            f"{len(federation.unseen)} unseen clients: test accuracy {accuracy:.2f} % after "
            f"personalisation on the server's state of round {trial.selection.round}",
            soft_wrap=True,
        )


def _knobs(method: "Method") -> str:
    """The knobs that have an effect, as they are written on the command line."""
    from pfltune.knobs import knobs_of, written

    knobs = knobs_of(type(method))
    values = {name: getattr(method, name) for name in knobs}
    return " ".join(f"{n}={written(v)}" for n, v in values.items() if knobs[n].applies(values))


def _sizes(trial: "FederatedTrial") -> str:
    sizes, compute = trial.footprint(), trial.compute
    return (
        f"{figures.SHARED.text(sizes[figures.SHARED.name])} shared and "
        f"{figures.PERSONAL.text(sizes[figures.PERSONAL.name])} personal "
        f"parameters on {compute.device} in {compute.precision}; {len(trial.personal)} clients"
    )


def _line(report: "RoundReport") -> str:
    m = report.metrics
    accuracies = (
        f"val {100 * m[figures.VAL.name]:6.2f} %  test {100 * m[figures.TEST.name]:6.2f} %"
        if figures.VAL.name in m
        else " " * 27
    )
    return (
        f"round {report.round:3d}  loss {m[figures.LOSS.name]:7.4f}  {accuracies}  "
        f"{m[figures.TOTAL.name]:9.3f} MB  {m[figures.SECONDS.name]:6.1f} s"
    )


def _result(trial: "FederatedTrial") -> str:
    test = trial.selection.evaluation.metrics()
    return (
        f"test accuracy {100 * test[figures.TEST.name]:.2f} % (std over clients "
        f"{100 * test[figures.TEST_STD.name]:.2f}) at round {trial.selection.round}, chosen on "
        "validation"
    )
