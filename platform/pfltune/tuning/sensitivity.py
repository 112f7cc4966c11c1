"""Where a model is sensitive: each kind of layer kept personal, alone and with the head.

The study of FedPerfix's Table 1 (Sun et al., ICCV 2023, arXiv 2308.09160): FedSim with one personal
part after the other at one learning rate, all seeds the same, as a grid of Ray Tune.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from rich.console import Console

from pfltune.errors import UserError
from pfltune.federation.ground import Federation
from pfltune.registry import make_method
from pfltune.scenario import Scenario
from pfltune.tracking.environment import environment_tags
from pfltune.tracking.recorder import Recorder
from pfltune.tracking.store import Store
from pfltune.tuning.callback import DriverCallback
from pfltune.tuning.candidate import Candidate, confirmation_seed
from pfltune.tuning.hardware import Hardware
from pfltune.tuning.pool import worker_pool
from pfltune.tuning.recording import RecordingCallback
from pfltune.tuning.trainable import FederatedTrainable

METHOD = "fedsim"
KINDS = ("patch_embed", "pos_embed", "norm", "attn", "mlp")
PERSONAL = (
    "all",
    "none",
    "head",
    *(part for kind in KINDS for part in (kind, f"{kind},head")),
)


@dataclass(frozen=True)
class Study:
    """What a sensitivity study depends on.

    Attributes:
        name: of the MLflow experiment and of the folder in results.
        scenario: the ground.
        lr: learning rate of every trial.
        seeds: number of seeds per personal part.
        seed: all of them are derived from it.
        hardware: what it runs on.
        results: the results folder.
    """

    name: str
    scenario: Scenario
    lr: float
    seeds: int
    seed: int
    hardware: Hardware
    results: Path

    @property
    def folder(self) -> Path:
        """Where Tune's state, table and figure go."""
        return self.results / self.name

    def grid(self) -> list[dict[str, Any]]:
        """The configuration of every trial."""
        parts = [part for part in PERSONAL for _ in range(self.seeds)]
        return [
            Candidate(
                METHOD,
                "confirm",
                index,
                generation=-1,
                seed=confirmation_seed(self.seed, index % self.seeds),
                knobs={"lr": self.lr, "personal": part},
            ).to_config()
            for index, part in enumerate(parts)
        ]


def run_study(study: Study, console: Console) -> tuple[Store, str, str]:
    """Run the grid; returns the store, the experiment's id and the id of the run above all trials.

    Raises:
        UserError: the name is taken, or the backbone lacks one of the parts.
    """
    if study.folder.exists():
        raise UserError(f"{study.folder} exists already; choose another --name")
    methods = [make_method(METHOD, {"lr": study.lr, "personal": part}) for part in PERSONAL]
    study.scenario.check(methods)
    hardware = study.hardware
    with worker_pool(hardware.workers, hardware.threads) as wait_for_pool:
        console.print(f"Preparing scenario {study.scenario.name}: data, clients, weights")
        federation = study.scenario.build()
        store = Store(study.results)
        experiment = store.create_experiment(study.name, {"scenario": study.scenario.name})
        study.folder.mkdir(parents=True)
        tags = {"scenario": study.scenario.name, **environment_tags()}
        recorder = Recorder(store, experiment, tags)
        recorder.start_method(METHOD, "Sensitivity", {"partition.csv": federation.partition_csv()})
        console.print(
            f"{len(PERSONAL)} personal parts, {study.seeds} seeds each, "
            f"{study.scenario.protocol.rounds} rounds, {hardware.workers} trials side by side in "
            f"{hardware.compute.precision}"
        )
        try:
            wait_for_pool()
            _run_grid(study, federation, [RecordingCallback(recorder), _Lines(study, console)])
            recorder.end_method(METHOD, {"lr": study.lr})
        finally:
            recorder.end_all("KILLED")
    return store, experiment, recorder.parents[METHOD]


def _run_grid(study: Study, federation: Federation, callbacks: list[tune.Callback]) -> None:
    hardware = study.hardware
    trainable = tune.with_parameters(
        FederatedTrainable,
        grounds={"confirm": federation},
        compute=hardware.compute,
    )
    resources = {"cpu": hardware.threads, "gpu": hardware.gpus_per_trial}
    tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space={"candidate": tune.grid_search(study.grid())},
        tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=_trial_folder),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(study.folder),
            verbose=0,
            callbacks=callbacks,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    ).fit()


def _trial_folder(trial: Trial) -> str:
    return f"{METHOD}-{Candidate.from_config(trial.config).index}"


class _Lines(DriverCallback):
    """One line for each trial that has ended."""

    def __init__(self, study: Study, console: Console) -> None:
        self._console = console
        self._total = len(study.grid())
        self._ended = 0

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Say how the trial ended."""
        selected = trial.last_result.get("selected")
        told = trial.last_result.get("failure", "stopped")
        if selected:
            told = f"test {100 * sum(selected['test']) / len(selected['test']):.2f} %"
        self._say(trial, told)

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Say that the trial crashed."""
        self._say(trial, "failed")

    def _say(self, trial: Trial, told: str) -> None:
        self._ended += 1
        part = Candidate.from_config(trial.config).knobs["personal"]
        self._console.print(
            f"{self._ended:3d} of {self._total}  personal: {part!s:18} {told}", highlight=False
        )
