"""Running a comparison: checks, federation, one Tune experiment for search and confirmation."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pfltune.errors import UserError
from pfltune.federation.ground import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.knobs import Value, checked_values
from pfltune.registry import find_method, make_method, short_name, title_of
from pfltune.scenario import Scenario
from pfltune.tracking.environment import environment_tags
from pfltune.tracking.recorder import Recorder
from pfltune.tracking.store import Store, writable_folder
from pfltune.tuning.candidate import Candidate, search_seed
from pfltune.tuning.plan import Budget, Plan
from pfltune.tuning.pool import worker_pool
from pfltune.tuning.space import SearchSpace, load_space

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Hardware:
    """What trials run on; recorded, since threads and device move the last bits.

    Attributes:
        workers: trials side by side.
        threads: torch threads per trial.
        device: ``cpu`` or ``cuda``.
        gpus_per_trial: share of a GPU that a trial is given.
    """

    workers: int
    threads: int = 1
    device: str = "cpu"
    gpus_per_trial: float = 0.0

    @classmethod
    def choose(
        cls, workers: int | None, threads: int, device: str, gpus_per_trial: float | None
    ) -> "Hardware":
        """Fill in what was left open: a GPU per trial, as many workers as there is room for.

        Raises:
            UserError: more GPU than this machine has.
        """
        gpus = torch.cuda.device_count() if device == "cuda" else 0
        share = (1.0 if gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
        if share > gpus:
            raise UserError(
                f"--gpus-per-trial {share:g} asks for a GPU share that is not there: trials would "
                f"run on {device} with {gpus} GPUs; possible: 0 to {gpus}"
            )
        cores = max(1, (os.cpu_count() or 1) // threads)
        room = min(cores, int(gpus / share)) if share else cores
        return cls(workers or room, threads, device, share)


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison depends on.

    Attributes:
        name: of the MLflow experiment and the folder in results.
        scenario: the ground.
        plan: methods and budget.
        spaces: the search space of each method.
        hardware: what it runs on.
        results: the results folder.
    """

    name: str
    scenario: Scenario
    plan: Plan
    spaces: Mapping[str, SearchSpace]
    hardware: Hardware
    results: Path

    @property
    def folder(self) -> Path:
        """Where reports and Tune's state go."""
        return self.results / self.name

    def settings(self) -> dict[str, Any]:
        """As plain data, for the record."""
        return {
            "name": self.name,
            "scenario": self.scenario.model_dump(),
            "methods": list(self.plan.methods),
            "fixed": {m: dict(v) for m, v in self.plan.fixed.items()},
            "budget": self.plan.budget.model_dump(),
            "hardware": self.hardware.__dict__,
        }


def plan_comparison(
    name: str,
    scenario: Scenario,
    methods: list[str],
    budget: Budget,
    hardware: Hardware,
    results: Path,
    fixed: Mapping[str, Mapping[str, object]] | None = None,
) -> Comparison:
    """Check every setting; nothing is written but the results folder.

    Raises:
        UserError: a name, method, knob, search space or device that is not possible.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"the name {name!r} is not possible; letters, digits, '.', '_' and '-', at most 100"
        )
    repeated = {m for m in methods if [short_name(x) for x in methods].count(short_name(m)) > 1}
    if repeated:
        raise UserError(f"methods named twice: {', '.join(sorted(repeated))}")
    references = tuple(_absolute(method) for method in methods)
    held: dict[str, dict[str, Value]] = {}
    spaces: dict[str, SearchSpace] = {}
    for reference, given in zip(references, methods, strict=True):
        values = (fixed or {}).get(given, {})
        held[reference] = checked_values(find_method(reference), short_name(reference), values)
        spaces[reference] = load_space(reference).hold(held[reference])
    plan = Plan(references, budget, scenario.protocol, held)
    return Comparison(name, scenario, plan, spaces, hardware, writable_folder(results))


def run_comparison(comparison: Comparison, console: Console) -> str:
    """Run it to the end; returns the id of its MLflow experiment.

    Raises:
        UserError: a method does not fit the backbone, or the name is taken.
        KeyboardInterrupt: after Ctrl-C, once open runs are closed as killed.
    """
    if (comparison.folder / "tune").exists():
        raise UserError(f"{comparison.folder} exists already; choose another --name")
    plan, hardware = comparison.plan, comparison.hardware
    with worker_pool(hardware.workers, hardware.threads) as wait_for_pool:
        console.print(f"Preparing scenario {comparison.scenario.name}: data, clients, weights")
        torch.set_num_threads(hardware.threads)
        federation = comparison.scenario.build()
        check_methods(comparison, federation)
        recorder, experiment = _open_records(comparison, federation)
        console.print(
            f"Comparing {len(plan.methods)} methods: {plan.budget.trials} search trials and "
            f"{plan.budget.seeds} confirmation seeds each, {plan.protocol.rounds} rounds, "
            f"{hardware.workers} trials side by side"
        )
        try:
            wait_for_pool()
            best = _run_tune(comparison, federation, recorder, console)
            for method in plan.methods:
                recorder.end_method(short_name(method), best.get(method))
        finally:
            recorder.end_all("KILLED")
    return experiment


def check_methods(comparison: Comparison, federation: Federation) -> None:
    """Build the first trial of every method, so that a misfit shows before any trial starts."""
    for method in comparison.plan.methods:
        space = comparison.spaces[method]
        first = dict(space.start[0]) if space.start else {}
        FederatedTrial(
            make_method(method, {**first, **space.fixed}),
            federation.without_test(),
            search_seed(comparison.plan.budget.seed),
            comparison.hardware.device,
        )


def _open_records(comparison: Comparison, federation: Federation) -> tuple[Recorder, str]:
    settings = json.dumps(comparison.settings(), indent=2, default=str) + "\n"
    scenario = comparison.scenario
    tags = {"scenario": scenario.name, **environment_tags()}
    store = Store(comparison.results)
    experiment = store.create_experiment(
        comparison.name, {"scenario": scenario.name, "settings": settings[:5000]}
    )
    comparison.folder.mkdir(parents=True, exist_ok=True)
    (comparison.folder / "comparison.json").write_text(settings)
    recorder = Recorder(store, experiment, tags)
    artifacts = {"comparison.json": settings, "partition.csv": federation.partition_csv()}
    for method in comparison.plan.methods:
        recorder.start_method(short_name(method), title_of(find_method(method)), artifacts)
    return recorder, experiment


def _run_tune(
    comparison: Comparison, federation: Federation, recorder: Recorder, console: Console
) -> dict[str, dict[str, Value]]:
    """Search and confirm in one Tune experiment; returns the best configurations by method."""
    from ray import tune

    from pfltune.tuning.halving import GenerationHalving
    from pfltune.tuning.progress import ProgressCallback
    from pfltune.tuning.ranking import best_configurations
    from pfltune.tuning.recording import RecordingCallback
    from pfltune.tuning.searcher import ComparisonSearcher
    from pfltune.tuning.trainable import FederatedTrainable

    hardware, plan = comparison.hardware, comparison.plan
    trainable = tune.with_parameters(
        FederatedTrainable,
        searched=federation.without_test(),
        confirmed=federation,
        device=hardware.device,
        threads=hardware.threads,
    )
    resources = {"cpu": hardware.threads, "gpu": hardware.gpus_per_trial}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=ComparisonSearcher(plan, comparison.spaces),
            scheduler=GenerationHalving(plan),
            num_samples=plan.total_trials(),
            reuse_actors=True,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(comparison.folder),
            verbose=0,
            callbacks=[RecordingCallback(recorder), ProgressCallback(plan, console)],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    return best_configurations(tuner.fit(), plan)


def _trial_folder(trial: Any) -> str:
    candidate = Candidate.from_config(trial.config)
    return f"{short_name(candidate.method)}-{candidate.phase}-{candidate.index}"


def _absolute(method: str) -> str:
    """A method's file by its absolute path: workers run in other folders."""
    if ".py:" not in method:
        return method
    path, _, cls = method.rpartition(":")
    return f"{Path(path).resolve()}:{cls}"
