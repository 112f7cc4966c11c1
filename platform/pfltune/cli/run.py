"""``pfltune run``."""

import inspect
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune import figures
from pfltune.cli import options

OF_ALL = {
    figures.POOLED: "all clients' samples together",
    figures.GLOBAL: "global model on these",
}

if TYPE_CHECKING:
    from pfltune.federation.compute import Compute
    from pfltune.federation.federation import Federation
    from pfltune.goal import Goal
    from pfltune.method import Method
    from pfltune.scenario import Scenario
    from pfltune.trials.entry import Entry
    from pfltune.trials.spec import TrialSpec
    from pfltune.trials.store import TrialStore
    from pfltune.trials.stored import StoredTrial


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
@options.wrap
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed.")
@options.threads
@options.device
@options.precision
@options.deterministic
@options.fresh
@options.results
def command(
    method: str,
    scenario: str,
    overrides: tuple[str, ...],
    budget: str | None,
    metric: str | None,
    knobs: tuple[str, ...],
    wrap: tuple[str, ...],
    seed: int,
    threads: int,
    device: str | None,
    precision: Any,
    deterministic: bool,
    fresh: bool,
    results: Path,
) -> None:
    """Run one federated trial of METHOD without Ray and print its rounds.

    METHOD is a name (see `pfltune methods`) or path/to/file.py:Class, and may hold knobs in
    brackets. Knobs that are not set have their defaults, or with METHOD@NAME what the search of
    NAME chose. The result is the test accuracy, or what --metric names in its place,
    at the round where it is best on validation data. A trial that was trained before, here or in a
    comparison, is shown and not trained again.
    """
    import torch

    from pfltune.federation.memory import whole_mb
    from pfltune.federation.setup import check_optimizer
    from pfltune.registry import canonical, make_method, reference_title
    from pfltune.running.affordable import see_affordable
    from pfltune.running.hardware import choose_compute, pick_device, precision_for, see_room
    from pfltune.running.pool import this_machine
    from pfltune.scenario import load_scenario
    from pfltune.studies.tuned import values_of
    from pfltune.trials.store import TrialStore
    from pfltune.variants import wrapping

    method = wrapping(method, wrap)
    asked_rules = {"budget": budget, "metric": metric}
    rules = (f"protocol.{key}={value}" for key, value in asked_rules.items() if value is not None)
    chosen_scenario = load_scenario(scenario, (*overrides, *rules))
    warn = partial(click.echo, err=True)
    values = values_of(method, results, options.key_values(knobs), chosen_scenario, warn)
    chosen = make_method(method, values)
    store = TrialStore(results)
    store.check()
    servers = chosen_scenario.check([chosen])
    check_optimizer(chosen, chosen_scenario.protocol.optimizer)
    chosen_device = pick_device(device, this_machine().gpus)
    see_room(servers, whole_mb(torch.device(chosen_device)), 1)
    asked = precision_for([chosen], precision)
    compute = choose_compute(chosen_scenario, threads, chosen_device, asked, deterministic)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    federation = chosen_scenario.build(threads)
    for note in chosen_scenario.notes():
        console.print(note)
    console.print(f"{reference_title(canonical(method))}, seed {seed}: {_knobs(chosen)}")
    spec = _spec(method, chosen, chosen_scenario, federation, compute, seed)
    repeats = federation.protocol.repeats
    known = store.find(spec.key) if repeats and not fresh else None
    if known is not None and known.trial.outcome == "finished":
        trial = known.trial
        console.print(_sizes(trial.rounds[-1].metrics, federation, compute))
        for done in trial.rounds:
            console.print(_line(done.round, done.metrics, federation.goal))
        _show_end(console, trial, federation)
        console.print(_origin(known))
        return
    see_affordable({method: (chosen, federation)}, federation.protocol, [seed])
    trial = _train(console, chosen, federation, compute, seed)
    _show_end(console, trial, federation)
    if repeats:
        _keep(store, spec, trial, method, chosen_scenario)


def _spec(
    reference: str,
    method: "Method",
    scenario: "Scenario",
    federation: "Federation",
    compute: "Compute",
    seed: int,
) -> "TrialSpec":
    """All that the trial's figures depend on: it is one of a confirmation."""
    from pfltune.federation.fingerprint import fingerprint
    from pfltune.federation.searched_settings import settings_of
    from pfltune.knobs import knobs_of
    from pfltune.program import Program
    from pfltune.record import Computing
    from pfltune.registry import short_name
    from pfltune.trials.spec import TrialSpec

    program = Program.of([reference], compute.device, scenario.strangers())
    values = {name: getattr(method, name) for name in knobs_of(type(method))}
    values |= settings_of(scenario.protocol)
    computing = Computing(**{name: getattr(compute, name) for name in Computing.model_fields})
    made_with = (program, fingerprint(federation), computing)
    return TrialSpec.made(*made_with, "confirm", short_name(reference), values, seed)


def _train(
    console: Console, method: "Method", federation: "Federation", compute: "Compute", seed: int
) -> "StoredTrial":
    from pfltune.federation.trial import FederatedTrial
    from pfltune.isolation import in_a_line
    from pfltune.registry import title_of
    from pfltune.trials.stored import StoredTrial
    from pfltune.trials.training import round_of, selected_of

    rounds = []
    with in_a_line(title_of(type(method)), inspect.getfile(type(method))):
        trial = FederatedTrial(method, federation, seed, compute)
        console.print(_sizes(trial.footprint(), federation, compute))
        for report in trial.run():
            rounds.append(round_of(trial, report))
            console.print(_line(report.round, report.metrics, federation.goal))
    return StoredTrial(tuple(rounds), "finished", selected=selected_of(trial))


def _keep(
    store: "TrialStore", spec: "TrialSpec", trial: "StoredTrial", method: str, scenario: "Scenario"
) -> None:
    """For whoever asks for the same trial; that it cannot be kept costs time, no more."""
    from pfltune.registry import short_name
    from pfltune.trials.entry import Entry, Origin
    from pfltune.trials.kept import keep

    at = datetime.now().astimezone().isoformat(timespec="seconds")
    name = short_name(method)
    origin = Origin(method=name, scenario=scenario.name, comparison="", name="", at=at)
    try:
        told = keep(store, Entry(spec=spec, origin=origin, trial=trial), f"this trial of {name}")
    except OSError as error:
        told = f"The trial could not be kept for the next time: {error}"
    if told:
        click.echo(told, err=True)


def _origin(known: "Entry") -> str:
    return (
        f"Trained before (by {known.origin.told}, {known.origin.at}) and not again; --fresh does it"
    )


def _knobs(method: "Method") -> str:
    """The knobs that have an effect, as they are written on the command line."""
    from pfltune.knobs import knobs_of, written

    knobs = knobs_of(type(method))
    values = {name: getattr(method, name) for name in knobs}
    return " ".join(f"{n}={written(v)}" for n, v in values.items() if knobs[n].applies(values))


def _sizes(m: Mapping[str, float], federation: "Federation", compute: "Compute") -> str:
    return (
        f"{figures.SHARED.text(m[figures.SHARED.name])} shared and "
        f"{figures.PERSONAL.text(m[figures.PERSONAL.name])} personal "
        f"parameters on {compute.device} in {compute.precision}; {len(federation.clients)} clients"
    )


def _line(number: int, m: Mapping[str, float], goal: "Goal") -> str:
    both = [(part, goal.of(part).name) for part in figures.PARTS]
    found = "  ".join(
        f"{part} {goal.measure.text(m[name]) if name in m else '–':>6}{goal.unit}"
        for part, name in both
    )
    accuracies = found if any(name in m for _, name in both) else " " * len(found)
    share = figures.SPENT.name
    spent = f"  {figures.SPENT.text(m[share]):>5} % spent" if share in m else ""
    return (
        f"round {number:3d}  loss {m[figures.LOSS.name]:7.4f}  {accuracies}  "
        f"{m[figures.TOTAL.name]:9.3f} MB  {m[figures.SECONDS.name]:6.1f} s"
        f"{spent}"
    )


def _show_end(console: Console, trial: "StoredTrial", federation: "Federation") -> None:
    from pfltune.tracking.endings import final_figures
    from pfltune.tracking.events import TrialEnded

    assert trial.selected is not None
    goal, number = federation.goal, trial.selected["round"]
    found = final_figures(TrialEnded("", "finished", trial.round, selected=trial.selected))
    console.print(
        f"test {_told(goal, found, goal.selected('test'))} (std over clients "
        f"{_number(found, goal.selected('test', figures.STD))}) at round {number}, chosen on "
        "validation"
    )
    for ending, words in OF_ALL.items():
        name = figures.selected("test", goal.name + ending)
        if name in found:
            text = goal.measure.text(found[name])
            console.print(f"{words}: test {goal.noun} {text}{goal.unit}")
    if federation.unseen:
        last = trial.rounds[-1].metrics
        console.print(
            f"{len(federation.unseen)} unseen clients: test {_told(goal, last, goal.unseen)} after "
            f"personalisation on the server's state of round {number}"
        )


def _told(goal: "Goal", found: Mapping[str, float], figure: figures.Figure) -> str:
    return f"{goal.noun} {_number(found, figure)}{goal.unit}"


def _number(found: Mapping[str, float], figure: figures.Figure) -> str:
    """A dash where no client has a figure."""
    return figure.text(found[figure.name]) if figure.name in found else "–"
