"""The options of the jobs: their names, what is possible and what holds where they are not given.

The command line and the Python interface take the same ones.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Len
from typing_extensions import TypedDict

from pfltune.racing.race import Decide
from pfltune.stages import KeepModels

MOST_THREADS = 1024
MOST_PARTITIONS = 100
RULES = ("budget", "metric")
"""Options that are short for an override of ``protocol.…``."""
RESULTS = "PFLTUNE_RESULTS"
"""The environment variable that names the results folder where no option does."""

Seed = Annotated[int, Ge(0)]
Number = Annotated[int, Ge(1)]
Finalists = Annotated[int, Ge(0)]
Partitions = Annotated[int, Ge(1), Le(MOST_PARTITIONS)]
AtOnce = Annotated[int, Ge(1), Le(MOST_THREADS)]
Share = Annotated[float, Ge(0)]
Seconds = Annotated[float, Ge(0)]
Limit = Annotated[float, Gt(0)]
RegisteredName = Annotated[str, Len(1, 200)]
Rate = Annotated[float, Ge(1e-4), Le(1.0)]


class FreeOptions(TypedDict, total=False):
    """What touches no figure, and may be given anew.

    Attributes:
        accept_new_code: go on although code, versions or processor have changed.
        workers: trials side by side; default: one per CPU core, or per GPU share.
        gpus_per_trial: share of a GPU per trial, or ``auto``; default: 1 where there are GPUs.
        ray_address: of a Ray cluster; ``local`` is this machine alone.
        checkpoints: folder or address that every machine reaches; default: in the results.
        checkpoint_seconds: a trial is written after the first round that ends so long after the
            last time.
        checkpoint_rounds: and after so many rounds.
        trial_limit: seconds that the rounds of a trial may take in all.
        fresh: train every trial, those too that were trained before and kept.
        system_metrics: MLflow's own figures of the machine, on the comparison's own run.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.
    """

    accept_new_code: bool
    workers: AtOnce
    gpus_per_trial: Share | Literal["auto"]
    ray_address: str
    checkpoints: str
    checkpoint_seconds: Seconds
    checkpoint_rounds: Number
    trial_limit: Limit
    fresh: bool
    system_metrics: bool
    results: str | Path


class JobOptions(FreeOptions, total=False):
    """What every job can be told besides.

    Attributes:
        overrides: changes of the scenario, ``["protocol.rounds=20"]`` or ``{"protocol.rounds":
            20}``.
        budget: what each trial may spend, ``"200MB"``, ``"20000steps"``, ``"5PFLOP"`` or ``"2h"``;
            the same as an override of ``protocol.budget``.
        name: of the folder in the results and of MLflow's experiment; one that is there goes on.
        resume: the name of what is to go on; options that are not given are those it began with.
        seed: of everything.
        threads: CPU threads per trial.
        device: ``cpu`` or ``cuda``; default: the GPU if torch sees one.
        precision: of passes through the model; ``auto`` measures which one is faster.
        deterministic: only kernels that repeat themselves to the last bit.
    """

    overrides: Mapping[str, Any] | Sequence[str]
    budget: str
    name: str
    resume: str
    seed: Seed
    threads: AtOnce
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    deterministic: bool


class MetricOptions(TypedDict, total=False):
    """By which figure all is judged; a claim has none, since it is of accuracies.

    Attributes:
        metric: what rounds are chosen and searches and tables go by: ``"accuracy"``, ``"loss"``,
            ``"balanced_accuracy"``, ``"macro_f1"``, ``"auroc"``, ``"ece"``, or one that the
            scenario names; the same as an override of ``protocol.metric``.
    """

    metric: str


class ModelOptions(TypedDict, total=False):
    """What is kept of the clients' models; it touches no figure either, and may be given anew.

    Attributes:
        keep_models: of each method keep no model, that of the ``best`` confirmation trial on
            validation data, or those of ``all``; trials whose models are not there train again.
        register_as: the name of a registered model of MLflow, of which each method's best kept
            model becomes a version; the best on validation data has the alias ``champion``.
    """

    keep_models: KeepModels
    register_as: RegisteredName


class MethodOptions(TypedDict, total=False):
    """What is said of all methods that are named.

    Attributes:
        wrap: stages of the channel that their payloads pass, in this order: ``"topk"``,
            ``["topk[share=0.05]", "float16"]``.
    """

    wrap: str | Sequence[str]


class SearchOptions(JobOptions, MetricOptions, MethodOptions, ModelOptions, total=False):
    """What a search can be told besides.

    Attributes:
        trials: search trials per method.
        generation: trials suggested together, which are halved among themselves; one size, or the
            size of each generation.
        eta: one of eta goes on at each rung.
        halving: whether trials are stopped at rungs at all.
        sampler: what suggests configurations: ``tpe``, ``random``, ``qmc``, ``gp`` or ``cmaes``.
        studies: independent searches of each method, each of which chooses its own configuration.
        seeds: fresh seeds of the confirmation.
        control: test each method's first start values with the same seeds, too.
        finalists: best configurations that are trained again before one is chosen; with 0 the
            search alone chooses.
        finalist_seeds: fresh validation seeds of each finalist.
        objective: what the search makes best: ``"accuracy"``, which stands for the metric, or
            ``"accuracy,comm"`` for that and MB at once, of which a front is found in place of one
            configuration.
        front: configurations of each method's front that are confirmed.
        max_mb: what a trial may send, up and down of all sampled clients; others are not trained
            to the end and never chosen.
        search: what is searched in place of a method's own dimensions or beside them, ``{"lr":
            "1e-3:0.3:log", "prefix_length": [1, 2, 4]}`` or texts such as ``"lr=1e-3:0.3"``.
        space: whole search spaces, as of a YAML file or its path.
        start: points that are tried first, such as ``[{"lr": 0.1}]``.
    """

    trials: int
    generation: int | tuple[int, ...]
    eta: int
    halving: bool
    sampler: Literal["tpe", "random", "qmc", "gp", "cmaes"]
    studies: Number
    seeds: Number
    control: bool
    finalists: Finalists
    finalist_seeds: Number
    objective: str | Sequence[str]
    front: Number
    max_mb: Limit
    search: Mapping[str, Any] | Sequence[str]
    space: str | Path | Mapping[str, Any]
    start: Sequence[Mapping[str, Any]]


class CompareOptions(SearchOptions, total=False):
    """What a comparison of several methods can be told besides.

    Attributes:
        decide: add confirmation seeds until it is decided which method is the ``best``, or the
            ``order`` of all; every method has ``seeds`` of them in any case.
        max_seeds: that a method has at the most then; default: 12.
        partitions: draws of clients that it is made on, each with the next ``data_seed``.
        tune_each: tune methods on each draw; default: on the first alone, whose configurations are
            tested on the others.
    """

    decide: Decide
    max_seeds: Number
    partitions: Partitions
    tune_each: bool


class TuneOptions(SearchOptions, total=False):
    """What the search of one method can be told besides.

    Attributes:
        knobs: hyperparameters that are held at a value, such as ``{"prefix": "tokens"}``.
        start_from: a study of Optuna's, ``sqlite:///FILE`` or ``sqlite:///FILE#STUDY``, whose best
            trials are tried first, as far as their values are searched.
    """

    knobs: Mapping[str, Any]
    start_from: str


class ExtendOptions(FreeOptions, MethodOptions, ModelOptions, total=False):
    """What a comparison that is extended can be told besides.

    Attributes:
        trials: search trials per method that there shall be.
        generation: size of each added generation, by default that of the first one; or the sizes of
            all, those that are there included.
        studies: independent searches of each method that there shall be.
        seeds: confirmation seeds that there shall be.
        control: test each method's first start values with the same seeds, too.
        finalists: configurations trained again before one is chosen that there shall be.
        finalist_seeds: validation seeds of each of them that there shall be.
        front: configurations of each method's front that are confirmed that there shall be.
        decide: what further seeds are added for, if nothing was to be decided so far.
        max_seeds: confirmation seeds that there shall be at the most, where something is.
        partitions: draws of clients that there shall be, of a comparison over several.
    """

    trials: int
    generation: int | tuple[int, ...]
    studies: Number
    seeds: Number
    control: bool
    finalists: Finalists
    finalist_seeds: Number
    front: Number
    decide: Decide
    max_seeds: Number
    partitions: Partitions


class GridOptions(JobOptions, MetricOptions, MethodOptions, total=False):
    """What a grid can be told besides.

    Attributes:
        over: the values of each knob that is varied, ``{"lr": [0.01, 0.1]}`` or
            ``["lr=0.01,0.1"]``.
        knobs: hyperparameters that are held at a value, such as ``{"prefix": "tokens"}``.
        seeds: that each cell is trained with.
        test: also tell the test figure, read at the round chosen on validation.
    """

    over: Mapping[str, Any] | Sequence[str]
    knobs: Mapping[str, Any]
    seeds: Number
    test: bool


class SensitivityOptions(JobOptions, MetricOptions, total=False):
    """What a sensitivity study can be told besides.

    Attributes:
        lr: learning rate of every trial.
        seeds: per personal part.
    """

    lr: Rate
    seeds: Number


class ClaimOptions(JobOptions, total=False):
    """What the replay of a claim can be told besides; what is not given is as its scale says.

    Attributes:
        scale: how large, by the claim's own names; default: the first one.
        footings: what shall be equal: ``trials``, ``bytes``, ``steps``, ``draws``,
            ``sensitivity``; default: all that the scale has.
        trials: search trials per method.
        generation: trials suggested together, which are halved among themselves; one size, or the
            size of each generation.
        seeds: fresh seeds of the confirmation.
    """

    scale: str
    footings: str | Sequence[str]
    trials: int
    generation: int | tuple[int, ...]
    seeds: Number


OPTIONS: Mapping[str, type] = {
    "compare": CompareOptions,
    "tune": TuneOptions,
    "extend": ExtendOptions,
    "grid": GridOptions,
    "sensitivity": SensitivityOptions,
    "claim": ClaimOptions,
}
"""By the command that takes them."""
METHODS = (
    *("fedperfix", "fedavg", "fedavg_ft", "fedper", "fedrep", "pfedpg", "fedsa_lora", "local"),
)
DEFAULTS: Mapping[str, Any] = {
    "scenario": "digits",
    "overrides": (),
    "accept_new_code": False,
    "fresh": False,
    "system_metrics": False,
    "keep_models": "none",
    "seed": 0,
    "threads": 1,
    "precision": "auto",
    "deterministic": False,
    "checkpoint_seconds": 30.0,
    "results": Path("results"),
    "trials": 8,
    "generation": 4,
    "eta": 3,
    "halving": True,
    "sampler": "tpe",
    "studies": 1,
    "control": False,
    "finalist_seeds": 3,
    "objective": ("accuracy",),
    "front": 3,
    "lr": 0.03,
}
"""Of the options that have one and the same in all commands; of the others it is None."""
OWN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "compare": {
        **{"methods": METHODS, "seeds": 5, "finalists": 0},
        **{"partitions": 1, "tune_each": False},
    },
    "tune": {"method": None, "knobs": {}, "seeds": 1, "finalists": 3},
    "extend": dict.fromkeys(
        (
            *("trials", "generation", "studies", "seeds", "control", "finalists"),
            *("finalist_seeds", "front", "decide", "max_seeds", "partitions"),
        )
    ),
    "grid": {"methods": None, "over": {}, "knobs": {}, "seeds": 3, "test": False},
    "sensitivity": {"seeds": 1},
    "claim": {
        **dict.fromkeys(
            ("claim", "scenario", "scale", "footings", "trials", "generation", "seeds")
        ),
    },
}
"""Of those that differ between commands."""


def defaults(command: str) -> dict[str, Any]:
    """What holds for each option of a command that is not given."""
    own = {"scenario": DEFAULTS["scenario"], **OWN_DEFAULTS[command]}
    return {name: DEFAULTS.get(name) for name in get_type_hints(OPTIONS[command])} | own


def free_options() -> frozenset[str]:
    """Names of the options that touch no figure."""
    return frozenset({*get_type_hints(FreeOptions), *get_type_hints(ModelOptions)})


def checked(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, each a value that is possible; None is as not given.

    Raises:
        UserError: an unknown one, or a value that is not possible.
    """
    from pydantic import create_model

    from pfltune.settings import Settings, validated

    known = get_type_hints(OPTIONS[command], include_extras=True)
    fields: Any = {name: (kind | None, None) for name, kind in known.items()}
    model = create_model(f"{command} options", __base__=Settings, **fields)
    given = {name: value for name, value in options.items() if value is not None}
    found = validated(model, given, command)
    return with_rules({name: getattr(found, name) for name in found.model_fields_set})


def with_rules(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options with those that are short for a rule of the rounds among the scenario's changes."""
    rest = {name: value for name, value in given.items() if name not in RULES}
    rules = {f"protocol.{name}": given[name] for name in RULES if name in given}
    if not rules:
        return rest
    before = given.get("overrides", ())
    if isinstance(before, Mapping):
        return {**rest, "overrides": {**before, **rules}}
    return {**rest, "overrides": [*before, *(f"{key}={value}" for key, value in rules.items())]}


def results_folder(given: Mapping[str, Any]) -> Path:
    """The results folder that is named, by an option or by the environment."""
    return Path(given.get("results") or os.environ.get(RESULTS) or DEFAULTS["results"])


def override_texts(overrides: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Overrides of a scenario as ``key=value``, also where they are a mapping."""
    if not isinstance(overrides, Mapping):
        return list(overrides)
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
