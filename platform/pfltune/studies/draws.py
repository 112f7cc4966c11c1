"""From options with several partitions to the comparisons on each draw of clients.

The first draw says what is asked for; every other one is made like it. So what was interrupted in
the middle of an extension goes on alike everywhere, whatever a draw was asked for before.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pfltune.budget import Budget
from pfltune.data.partitions.given import Given
from pfltune.draws import SETTING, Draws, draws_with, read_draws
from pfltune.errors import UserError
from pfltune.record import Record, Tuned, read_record
from pfltune.registry import short_name
from pfltune.running.folder_lock import checked_name
from pfltune.running.job import After, Choice, Job
from pfltune.scenario import Scenario
from pfltune.settings import validated
from pfltune.studies import begin
from pfltune.studies.comparison import Comparison
from pfltune.studies.options import DEFAULTS, defaults, free_options, override_texts, results_folder
from pfltune.sweeps import cells_of, read_sweep

OF_ALL = ("partitions", "tune_each")
"""Options of the draws together, which none of them has."""


def draws_of(given: Mapping[str, Any]) -> Draws | None:
    """The draws that options ask for, new or to go on; None where they ask for one comparison.

    Raises:
        UserError: what has that name is something else, or has other draws.
    """
    name, results = given.get("resume") or given.get("name"), results_folder(given)
    known = read_draws(results / checked_name(name)) if name else None
    if known is not None:
        _see_same(known, given)
        return known
    if given.get("partitions", 1) == 1:
        if given.get("tune_each"):
            raise UserError("--tune-each is for several draws: say with --partitions how many")
        return None
    _see_new(given, results)
    _see_one_objective(given)
    scenario = begin.scenario_of(given, None, {**defaults("compare"), **given})
    _see_drawn(scenario)
    return _named(
        Draws(
            name=begin.name_of(given, scenario.name),
            first=scenario.data_seed,
            partitions=given["partitions"],
            tune_each=given.get("tune_each", False),
        )
    )


def _see_drawn(scenario: Scenario) -> None:
    """See that another data seed deals other clients.

    Raises:
        UserError: clients and their split are given, so that every draw would be the same.
    """
    drawn = scenario.unseen_clients or scenario.backbone.weights == "warm-start"
    if drawn or not isinstance(scenario.partition, Given):
        return
    scenario.dataset()  # read once for both
    first, second = (_dealt(scenario, scenario.data_seed + more) for more in (0, 1))
    if first == second:
        kind = scenario.partition.told
        raise UserError(
            f"--partitions draws clients by {SETTING}, but partition.kind={kind} gives all of them "
            "and their split: leave it out, or have some drawn with partition.clients"
        )


def _dealt(scenario: Scenario, seed: int) -> list[list[list[int]]]:
    own = scenario.model_copy(update={SETTING: seed})
    parts = ((client.train, client.val, client.test) for client in own.clients(own.dataset()))
    return [[part.tolist() for part in each if part is not None] for each in parts]


def _see_one_objective(given: Mapping[str, Any]) -> None:
    """See that each method has one configuration that draws are compared by.

    Raises:
        UserError: there are several objectives.
    """
    wanted = {"generations": (1,), "objective": given.get("objective", DEFAULTS["objective"])}
    if validated(Budget, wanted, "budget").several:
        raise UserError(
            "--partitions is for one objective, of which one configuration is chosen; compare the "
            "fronts of each draw with -o data_seed=0,1,2"
        )


def extended_draws(given: Mapping[str, Any]) -> Draws | None:
    """The draws that an extension is asked for, with those that are added; None for other names.

    Raises:
        UserError: it would be fewer, or a draw is to be extended by itself.
    """
    name, results = given["name"], results_folder(given)
    draws, wanted = read_draws(results / checked_name(name)), given.get("partitions")
    if draws is None:
        if whole := draws_with(results, name):
            raise UserError(
                f"{name} is a draw of {whole.name}, which are extended together: "
                f"pfltune extend {whole.name}"
            )
        if wanted is not None:
            raise UserError(
                f"{name} was not begun with --partitions; give its command with it and another "
                "--name: what is known is not trained again"
            )
        return None
    if wanted is not None and wanted < draws.partitions:
        raise UserError(f"there are {draws.partitions} partitions; {wanted} would be fewer")
    return _named(draws.model_copy(update={"partitions": wanted or draws.partitions}))


def _named(draws: Draws) -> Draws:
    """Draws of which every one has a possible name; the last one has the longest.

    Raises:
        UserError: one has not.
    """
    checked_name(draws.names[-1])
    return draws


def first_of(draws: Draws, given: Mapping[str, Any]) -> Comparison:
    """The comparison on the first draw, new or to go on.

    Raises:
        UserError: it is not possible, or nobody says what is to be compared.
    """
    _see_no_race(given)
    cell = draws.names[0]
    rest = {key: value for key, value in given.items() if key not in (*OF_ALL, "resume", "name")}
    if read_record(results_folder(given) / cell) is None and "resume" in given:
        raise UserError(f"nothing of {draws.name} has begun; give its command as it was")
    own = "resume" if "resume" in given else "name"
    return _one(draws, draws.first, begin.comparison("compare", {**rest, own: cell}, draws.name))


def _see_no_race(given: Mapping[str, Any]) -> None:
    if given.get("decide"):
        raise UserError(
            "--decide adds seeds until something is decided on one draw of clients: leave it out, "
            "or --partitions"
        )


def first_extended(draws: Draws, given: Mapping[str, Any]) -> Comparison:
    """The comparison on the first draw with what is added to each.

    Raises:
        UserError: something of it is not possible, or nothing is to be added.
    """
    _see_no_race(given)
    cell = draws.names[0]
    rest = {key: value for key, value in given.items() if key != "partitions"}
    if "partitions" in given and not rest.keys() & {"methods", "wrap", *begin.GROWING}:
        free = {key: value for key, value in rest.items() if key in free_options()}
        job = begin.comparison("compare", {**free, "resume": cell})
    else:
        job = begin.extension({**rest, "name": cell})
    return _one(draws, draws.first, replace(job, sweep=draws.name))


def followers(draws: Draws, first: Comparison) -> list[tuple[Comparison, After | None]]:
    """The comparisons on the other draws, and what each waits for."""
    found: list[tuple[Comparison, After | None]] = []
    for seed in draws.seeds[1:]:
        job = _one(draws, seed, first)
        if draws.tune_each:
            found.append((job, None))
            continue
        nothing = dict.fromkeys(job.plan.methods, (None,) * job.plan.budget.studies)
        waiting = replace(job, plan=replace(job.plan, chosen=nothing))
        found.append((waiting, After(first.name, partial(_testing, job))))
    return found


def _one(draws: Draws, seed: int, like: Comparison) -> Comparison:
    """The comparison on one draw, which is like the one on another."""
    return replace(
        like,
        name=draws.name_of(seed),
        scenario=like.scenario.model_copy(update={SETTING: seed}),
        tags={"pfltune.draws": draws.name, f"pfltune.{SETTING}": str(seed)},
        extends=like.extends or seed != draws.first,
    )


def _testing(job: Comparison, first: Record, chosen: Choice) -> Job:
    """The comparison on a further draw: tests what was chosen on the first one.

    What a method holds since it was tuned elsewhere is told as that.
    """
    differs = f"{SETTING} was {first.scenario.data_seed}, is {job.scenario.data_seed}"
    here = {
        short_name(method): Tuned(
            name=first.name,
            id=first.id,
            method=short_name(method),
            trials=job.plan.planned(method)["search"],
            differs=differs,
        )
        for method in job.plan.methods
    }
    return job.testing(chosen, {**here, **first.tuned})


def _see_same(known: Draws, given: Mapping[str, Any]) -> None:
    """See that options which go on ask for the same draws."""
    wanted = given.get("partitions")
    if wanted is None and "resume" not in given:
        raise UserError(
            f"{known.name} is a comparison over {known.in_words}; go on with it with --resume "
            f"{known.name}, or choose another --name"
        )
    if wanted is not None and wanted != known.partitions:
        raise UserError(
            f"{known.name} has {known.partitions} partitions, not {wanted}; to have more: "
            f"pfltune extend {known.name} --partitions {max(wanted, known.partitions + 1)}"
        )
    if given.get("tune_each", known.tune_each and wanted is None) != known.tune_each:
        raise UserError(
            f"{known.name} is {known.in_words.partition(', ')[2]}; resume it as that, or choose "
            "another --name"
        )


def _see_new(given: Mapping[str, Any], results: Path) -> None:
    """See that nothing else has the name, and that one scenario is asked for."""
    if (resume := given.get("resume")) is not None:
        raise UserError(
            f"{resume} was not begun with --partitions; give its command with it and another "
            "--name: what is known is not trained again"
        )
    if (name := given.get("name")) and (read_record(results / name) or read_sweep(results / name)):
        raise UserError(f"there is something else named {name}; choose another --name")
    _see_no_race(given)
    scenario = given.get("scenario", "")
    named = scenario.name if isinstance(scenario, Scenario) else str(scenario)
    if cells_of("one", named, override_texts(given.get("overrides", ()))):
        raise UserError(
            "several settings are a sweep, which is over one partition in each of its cells: leave "
            f"out --partitions, or sweep over {SETTING} too"
        )
