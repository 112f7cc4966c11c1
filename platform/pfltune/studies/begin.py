"""From the options that were given to the job that they ask for, all of it checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.method import Method
from pfltune.method_list import MethodList, method_list
from pfltune.racing.race import fewest_seeds
from pfltune.record import WHY_NOT_EXTENDED, Asked, Grid, Record, Sensitivity
from pfltune.registry import canonical, short_name
from pfltune.running.folder_lock import checked_name
from pfltune.running.hardware import Hardware, pick_device, precision_for
from pfltune.running.pool import cluster, this_machine
from pfltune.scenario import Scenario, load_scenario, overridden
from pfltune.settings import validated
from pfltune.studies.comparison import Comparison, first_methods, methods_at_ends, plan_on, together
from pfltune.studies.grid import GridJob, axes_of, plan_grid, telling_methods
from pfltune.studies.options import (
    defaults,
    free_options,
    override_texts,
    results_folder,
)
from pfltune.studies.optuna_start import start_points
from pfltune.studies.resume import HERE, begun, check_files, completed, known, see_files
from pfltune.studies.sensitivity import Study, study_methods, study_plan
from pfltune.studies.spaces import largest, space_options, with_batches
from pfltune.studies.tuned import all_chosen, warnings
from pfltune.tracking.store import writable_folder
from pfltune.variants import parsed

OF_BUDGET = (
    *("eta", "halving", "sampler", "studies", "seeds", "control", "seed"),
    *("finalists", "finalist_seeds", "objective", "front", "max_mb"),
)
RACING = ("decide", "max_seeds")
"""Only of comparisons of several methods."""
GROWING = (
    *("seeds", "studies", "trials", "generation", "control"),
    *("finalists", "finalist_seeds", "front", *RACING),
)
"""Options of a budget that may be given anew to have more."""


def comparison(
    command: str, given: Mapping[str, Any], sweep: str = "", like: Record | None = None
) -> Comparison:
    """The comparison, or the search of one method, that options ask for; new or to go on.

    Args:
        command: ``compare`` or ``tune``.
        given: the options that were given. ``methods`` are references, ``fixed`` are knobs by
            short name of the method; those under an empty name are of the only one.
        sweep: the name of the sweep of which it is a cell.
        like: the record of a cell that has begun, whose options hold for one that has not.

    Raises:
        UserError: something of it is not possible.
    """
    record, options = _completed(command, given, like)
    scenario = scenario_of(given, record, options)
    named = methods_of(given, record or like, options)
    job = _comparison(
        command,
        name_of(given, scenario.name),
        scenario,
        named,
        budget_of(given, options),
        options,
        results_folder(given),
        record or like,
    )
    return replace(tested_again(job, record), sweep=sweep)


def tested_again(job: Comparison, record: Record | None) -> Comparison:
    """A job as its record has it: one that tests what was chosen before searches nothing."""
    return job.testing(record.chosen, record.tuned) if record and record.chosen else job


def extension(given: Mapping[str, Any]) -> Comparison:
    """The comparison that is there with what is to be added to it.

    Args:
        given: the options that were given, ``name`` among them. ``methods`` are references.

    Raises:
        UserError: something of it is not possible, or nothing is to be added.
    """
    if "wrap" in given and "methods" not in given:
        raise UserError("--wrap is for methods that are added: name them with --methods")
    addable = ("methods", *GROWING, "keep_models")
    if not given.keys() & set(addable):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in addable)
        raise UserError(f"say what to add, with any of {flags}")
    results = results_folder(given)
    record = known(given["name"], results)
    if not isinstance(record.budget, Budget):
        raise UserError(f"{record.name} {WHY_NOT_EXTENDED[record.command]}")
    budget = record.budget.grown(**{name: given.get(name) for name in GROWING})
    _see_finalists(given, budget)
    named = methods_of(given, None, {"methods": ()})
    methods = together(record.methods, named.references)
    brought = record.scenario.strangers()
    check_files(record, methods, brought, bool(given.get("accept_new_code")))
    free = {key: value for key, value in given.items() if key in free_options()}
    command = "compare" if len(methods) > len(record.methods) else record.command
    # What a comparison was begun with --fresh has trained is known to it.
    known_too = {"fresh": False, **free}
    options = completed(known_too, record, {"methods": (), **defaults("compare"), "fixed": {}})
    scenario = scenario_of(free, record, options)
    every = replace(named, references=methods)
    job = _comparison(command, record.name, scenario, every, budget, options, results, record)
    return replace(job, extends=True)


def _comparison(
    command: str,
    name: str,
    scenario: Scenario,
    named: MethodList,
    budget: Budget,
    options: Mapping[str, Any],
    results: Path,
    before: Record | None,
) -> Comparison:
    _see_race(budget, len(named.references))
    only = short_name(canonical(named.references[0]))
    held = {method or only: knobs for method, knobs in options["fixed"].items()}
    tuned = all_chosen(named.references, results, held, scenario, before)
    held |= {method: elsewhere.values for method, elsewhere in tuned.items()}
    origins = {method: elsewhere.origin for method, elsewhere in tuned.items()}
    wanted = space_options(options, [short_name(canonical(m)) for m in named.references])
    asked = (list(named.references), budget, scenario, held)
    plan, spaces, notes = plan_on(*asked, wanted)
    if options.get("start_from"):
        found = start_points(options["start_from"], spaces[plan.methods[0]].searched)
        wanted = wanted.model_copy(update={"start": (*wanted.start, *found.points)})
        plan, spaces, notes = plan_on(*asked, wanted)
        notes = (*notes, *found.notes())
    return Comparison(
        name=name,
        command=command,
        scenario=scenario,
        plan=plan,
        hardware=hardware_of(
            options, largest(scenario, spaces), first_methods(spaces), methods_at_ends(spaces)
        ),
        asked=asked_of(options),
        results=writable_folder(results),
        notes=(*notes, *warnings(origins)),
        spaces=spaces,
        space_options=wanted,
        titles={short_name(canonical(m)): title for m, title in named.titles.items()},
        tuned=origins,
    )


def budget_of(given: Mapping[str, Any], options: Mapping[str, Any]) -> Budget:
    """What the options say that each method may spend; a part that is given stands by itself.

    Raises:
        UserError: it is not possible.
    """
    wanted = {key: options[key] for key in ("trials", "generation", *OF_BUDGET)}
    wanted |= {key: options[key] for key in RACING if options.get(key) is not None}
    if isinstance(wanted["generation"], tuple) and "trials" not in given:
        wanted["trials"] = None
    elif isinstance(wanted["generation"], tuple) and "generation" not in given:
        wanted["generation"] = wanted["generation"][0]
    if "finalists" not in given and "objective" in given:
        several = validated(Budget, {**wanted, "finalists": 0}, "budget").several
        wanted["finalists"] = 0 if several else wanted["finalists"]
    budget = validated(Budget, wanted, "budget")
    _see_finalists(given, budget)
    if "eta" in given and not budget.halving:
        raise UserError(f"--eta {given['eta']}: there is no halving, which it would be of")
    return budget


def _see_finalists(given: Mapping[str, Any], budget: Budget) -> None:
    """See that seeds are given to somebody, and that there is a front where its size is said.

    Raises:
        UserError: there are no finalists, or there is no front.
    """
    if "front" in given and not budget.several:
        raise UserError(
            f"--front {given['front']}: with one objective one configuration is chosen; a front is "
            "found with --objective accuracy,comm"
        )
    if "finalist_seeds" in given and not budget.finalists:
        raise UserError(
            f"--finalist-seeds {given['finalist_seeds']}: there are no finalists, which would be "
            "trained with them; say with --finalists how many there shall be"
        )


def _see_race(budget: Budget, methods: int) -> None:
    """See that something could be decided.

    Raises:
        UserError: it could not, whatever comes.
    """
    if budget.decide is None:
        return
    if methods < 2:
        raise UserError(
            f"--decide {budget.decide}: there is one method, and nothing to decide; name more"
        )
    fewest = fewest_seeds(budget.decide, methods)
    if budget.most_seeds < fewest:
        raise UserError(
            f"--max-seeds {budget.most_seeds}: nothing could be decided of {methods} methods "
            f"before {fewest} seeds, even if all of them agreed"
        )


def study(given: Mapping[str, Any]) -> Study:
    """The sensitivity study that options ask for, new or to go on.

    Raises:
        UserError: something of it is not possible.
    """
    command = "sensitivity"
    record, options = _completed(command, given)
    scenario = scenario_of(given, record, options)
    wanted = {key: options[key] for key in Sensitivity.model_fields}
    budget = validated(Sensitivity, wanted, command)
    return Study(
        name=name_of(given, f"{scenario.name}-{command}"),
        command=command,
        scenario=scenario,
        plan=study_plan(budget, scenario.protocol),
        hardware=hardware_of(options, scenario, study_methods(budget.lr)),
        asked=asked_of(options),
        results=writable_folder(results_folder(given)),
        budget=budget,
    )


def grid(given: Mapping[str, Any]) -> GridJob:
    """The grid that options ask for, new or to go on.

    Args:
        given: the options that were given. ``methods`` are references, ``over`` is the values of
            each knob, ``fixed`` are knobs by short name of the method; those under an empty name
            are of each.

    Raises:
        UserError: something of it is not possible.
    """
    command = "grid"
    record, options = _completed(command, given)
    if not options["methods"]:
        raise UserError("name METHODS (see `pfltune methods`), or --resume what was begun")
    scenario = scenario_of(given, record, options)
    named = methods_of(given, record, options)
    wanted = {key: options[key] for key in Grid.model_fields} | {"over": axes_of(options["over"])}
    plan, budget = plan_grid(named.references, wanted, scenario, options["fixed"])
    if record and record.budget == budget:
        budget = record.budget  # in whatever order its knobs are named now
    return GridJob(
        name=name_of(given, f"{scenario.name}-{command}"),
        command=command,
        scenario=scenario,
        plan=plan,
        hardware=hardware_of(
            options, with_batches(scenario, budget.over), telling_methods(plan, budget)
        ),
        asked=asked_of(options),
        results=writable_folder(results_folder(given)),
        budget=budget,
        titles={short_name(canonical(m)): title for m, title in named.titles.items()},
    )


def _completed(
    command: str, given: Mapping[str, Any], like: Record | None = None
) -> tuple[Record | None, dict[str, Any]]:
    """What goes on, and all options of the job."""
    record = begun(command, given, results_folder(given))
    known = record or like
    see_files(given, known)
    return record, completed(given, known, {"methods": (), **defaults(command), "fixed": {}})


def methods_of(
    given: Mapping[str, Any], record: Record | None, options: Mapping[str, Any]
) -> MethodList:
    """The methods of a job, wrapped as is asked for; those of a record are so already.

    Raises:
        UserError: there is none, or those of the record are not wrapped like this.
    """
    wraps = given.get("wrap") or ()
    if "methods" in given:
        return method_list(given["methods"]).wrapped(wraps)
    named = MethodList(tuple(options["methods"]))
    if record is None:
        return named.wrapped(wraps)
    _see_wrapped(named, wraps, record.name)
    return named


def _see_wrapped(named: MethodList, wraps: str | Sequence[str], name: str) -> None:
    for method in named.references if wraps else ():
        known = parsed(method)
        again = parsed(canonical(MethodList((known.method,)).wrapped(wraps).references[0]))
        behind = again.base_name.removeprefix(parsed(known.method).base_name)
        if not known.base_name.endswith(behind) or not again.held.items() <= known.held.items():
            raise UserError(
                f"{name} began with {short_name(method)}, which is not wrapped as --wrap says; go "
                "on with it without --wrap"
            )


def scenario_of(
    given: Mapping[str, Any], record: Record | None, options: Mapping[str, Any]
) -> Scenario:
    """The scenario that the options name or are; what they leave open is as in the record."""
    overrides = override_texts(options["overrides"])
    if record is not None and "scenario" not in given:
        return overridden(record.scenario, overrides)
    chosen = options["scenario"]
    if isinstance(chosen, Scenario):
        return overridden(chosen, overrides)
    return load_scenario(str(chosen), overrides)


def name_of(given: Mapping[str, Any], default: str) -> str:
    """The name that was given, or one made of the time.

    Raises:
        UserError: it cannot be the name of a folder.
    """
    made = f"{default}-{datetime.now():%Y%m%d-%H%M%S}"
    return checked_name(given.get("resume") or given.get("name") or made)


def hardware_of(
    options: Mapping[str, Any],
    scenario: Scenario,
    measured: Iterable[Method],
    others: Iterable[Method] = (),
) -> Hardware:
    """What the options say of hardware, with what they leave open measured.

    Args:
        options: of the job.
        scenario: as it is largest.
        measured: methods of which it is measured how much of a GPU they need.
        others: that may say, too, what they need.
    """
    first = list(measured)
    address = options["ray_address"] if options["ray_address"] != HERE else None
    if address and options["workers"]:
        raise UserError(
            f"--workers {options['workers']} is for this machine alone; with --ray-address as "
            "many trials run as the cluster has room for"
        )
    machines = cluster(address) if address else this_machine()
    return Hardware.choose(
        scenario,
        first,
        machines,
        options["workers"],
        options["threads"],
        pick_device(options["device"], machines.gpus),
        options["gpus_per_trial"],
        precision_for((*first, *others), options["precision"]),
        options["deterministic"],
    )


def asked_of(options: Mapping[str, Any]) -> Asked:
    """The options that touch no figure, for the record.

    Raises:
        UserError: models are to be registered, and none are kept, or MLflow takes no such name.
    """
    known = {key: options[key] for key in Asked.model_fields if key in options}
    asked = validated(Asked, known, "options")
    if asked.register_as is not None and asked.keep_models == "none":
        raise UserError(
            f"--register {asked.register_as}: no model is kept, which could be registered; add "
            "--keep-models best"
        )
    if asked.register_as is not None and (
        asked.register_as.strip() in ("", ".", "..") or set("/:") & {*asked.register_as}
    ):
        raise UserError(
            f"--register {asked.register_as!r}: MLflow takes any name of a model but blanks, . and "
            "..; / and : cannot be in it"
        )
    return asked
