"""Running a comparison: federation, records, one Tune experiment for search and confirmation."""

import json
from typing import Any

from rich.console import Console

from pfltune.data.census import take_census
from pfltune.errors import UserError
from pfltune.federation.ground import Federation
from pfltune.knobs import Value
from pfltune.registry import find_method, short_name, title_of
from pfltune.tracking.environment import environment_tags
from pfltune.tracking.recorder import Recorder
from pfltune.tracking.store import Store
from pfltune.tuning.candidate import Candidate
from pfltune.tuning.comparison import Comparison
from pfltune.tuning.pool import worker_pool


def run_comparison(comparison: Comparison, console: Console) -> str:
    """Run it to the end; returns the id of its MLflow experiment.

    Raises:
        UserError: a method does not fit the backbone, or the name is taken.
        KeyboardInterrupt: after Ctrl-C, once open runs are closed as killed.
    """
    if (comparison.folder / "tune").exists():
        raise UserError(f"{comparison.folder} exists already; choose another --name")
    plan, hardware = comparison.plan, comparison.hardware
    comparison.scenario.check(map(comparison.first_of, plan.methods))
    with worker_pool(hardware.workers, hardware.threads) as wait_for_pool:
        console.print(f"Preparing scenario {comparison.scenario.name}: data, clients, weights")
        federation = comparison.scenario.build()
        recorder, experiment = _open_records(comparison, federation)
        console.print(
            f"Comparing {len(plan.methods)} methods: {plan.budget.trials} search trials and "
            f"{plan.budget.seeds} confirmation seeds each, {plan.protocol.rounds} rounds, "
            f"{hardware.workers} trials side by side in "
            f"{hardware.compute.precision}",
            soft_wrap=True,
        )
        try:
            wait_for_pool()
            best = _run_tune(comparison, federation, recorder, console)
            for method in plan.methods:
                recorder.end_method(short_name(method), best.get(method))
        finally:
            recorder.end_all("KILLED")
    return experiment


def _open_records(comparison: Comparison, federation: Federation) -> tuple[Recorder, str]:
    from pfltune.report.partition import write_partition  # it imports matplotlib

    settings = json.dumps(comparison.settings(), indent=2, default=str) + "\n"
    scenario = comparison.scenario
    tags = {"scenario": scenario.name, **environment_tags()}
    store = Store(comparison.results)
    experiment = store.create_experiment(comparison.name, {"scenario": scenario.name})
    comparison.folder.mkdir(parents=True, exist_ok=True)
    (comparison.folder / "comparison.json").write_text(settings)
    recorder = Recorder(store, experiment, tags)
    census = take_census(federation.dataset, federation.clients)
    files = write_partition(scenario, census, comparison.folder)
    for method in comparison.plan.methods:
        title = title_of(find_method(method))
        recorder.start_method(short_name(method), title, {"comparison.json": settings}, files)
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
    progress = ProgressCallback(plan, console)
    trainable = tune.with_parameters(
        FederatedTrainable,
        grounds={"search": federation.without_test(), "confirm": federation},
        compute=hardware.compute,
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
            callbacks=[RecordingCallback(recorder), progress],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    try:
        return best_configurations(tuner.fit(), plan)
    finally:
        progress.close()


def _trial_folder(trial: Any) -> str:
    candidate = Candidate.from_config(trial.config)
    return f"{short_name(candidate.method)}-{candidate.phase}-{candidate.index}"
