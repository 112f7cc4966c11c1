"""Which models of a comparison are kept, and how they come from a trial's process to its folder."""

from collections.abc import Iterable, Iterator
from math import isnan
from pathlib import Path
from typing import Protocol

from pfltune.errors import UserError
from pfltune.figures import or_none
from pfltune.goal import LOWEST, mean_score
from pfltune.models.bundle import Bundle, read_bundle, remove_bundle
from pfltune.models.kept import (
    FOLDER,
    MANIFEST,
    ClientFigures,
    KeptModel,
    ModelFolder,
    clients_data,
    folder_of,
    kept_models,
    worth_of,
)
from pfltune.ownership import MARK, published
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.seal import digest
from pfltune.stages import KeepModels, Stage
from pfltune.storage import Storage, open_storage, remove_files
from pfltune.tracking.events import Selected
from pfltune.trials.kept import Trial as KnownTrial


class Trial(KnownTrial, Protocol):
    """A trial of a comparison, with what names its model and its checkpoints."""

    @property
    def index(self) -> int:
        """Its number within method and stage."""

    @property
    def study(self) -> int:
        """Which of the searches of its method it is of."""

    @property
    def folder(self) -> str:
        """Name of the folder of its checkpoints."""


def is_wanted(which: KeepModels, stage: Stage) -> bool:
    """Whether a trial of a stage is to keep its selected round at all."""
    return which != "none" and stage == "confirm"


def bundle_place(checkpoints: str, folder: str) -> Storage:
    """Where a trial writes with what its clients predict, until that is taken.

    Args:
        checkpoints: folder or address of all checkpoints.
        folder: the trial's own.
    """
    return open_storage(checkpoints, f"{folder}-model")


class Models:
    """The models of a comparison, as many as are asked for.

    With ``best`` there is one of each method at a time: that of the best trial of those that have
    ended, by its validation score in the chosen round, of equals the first.

    Args:
        which: of them.
        record: of the comparison.
        folder: the comparison's.
        checkpoints: folder or address of all checkpoints.
    """

    def __init__(self, which: KeepModels, record: Record, folder: Path, checkpoints: str) -> None:
        self.which = which
        self._record = record
        self._folder = folder
        self._checkpoints = checkpoints
        self._ended: dict[str, tuple[Trial, Selected]] = {}

    def hear(self, trial: Trial, selected: Selected | None) -> None:
        """A trial has ended, here or earlier; told before :meth:`take`."""
        if selected is not None and is_wanted(self.which, trial.stage):
            self._ended[trial.name] = trial, selected

    def take(self, trial: Trial) -> None:
        """Keep the model that a trial has written, if it is wanted; drop what it has outdone.

        Raises:
            OSError: it cannot be read or written.
            UserError: somebody else's files are where it belongs.
        """
        if trial.name not in self._ended:
            return
        place = bundle_place(self._checkpoints, trial.folder)
        if self._is_wanted(trial) and (bundle := read_bundle(place)) is not None:
            self._publish(trial, bundle, place)
            if self.which == "best":
                self._drop_others(trial)
        remove_bundle(place)

    def missing(self) -> list[str]:
        """Names of the trials that have ended whose models are wanted and not there."""
        ended = [trial for trial, _ in self._ended.values()]
        return [t.name for t in ended if self._is_wanted(t) and not self._is_kept(t)]

    def _is_wanted(self, trial: Trial) -> bool:
        if self.which != "best":
            return True
        rivals = (t for t, _ in self._ended.values() if t.method == trial.method)
        return max(rivals, key=self._worth).name == trial.name

    def _worth(self, trial: Trial) -> tuple[float, int, int]:
        """As of :attr:`KeptModel.worth`."""
        _, selected = self._ended[trial.name]
        return worth_of(mean_score(selected, "val"), trial.study, trial.index)

    def _is_kept(self, trial: Trial) -> bool:
        """Whether the model of this very trial is there."""
        try:
            found = ModelFolder.read(self._path(trial))
        except UserError:  # damaged: it is written again
            return False
        if found is None or not found.is_whole:
            return False
        manifest = found.manifest
        same = (manifest.comparison, manifest.seed, dict(manifest.knobs))
        return same == (self._record.id, trial.seed, dict(trial.knobs))

    def _path(self, trial: Trial) -> Path:
        where = folder_of(short_name(trial.method), trial.study, trial.index)
        return self._folder.joinpath(FOLDER, *where)

    def _publish(self, trial: Trial, bundle: Bundle, place: Storage) -> None:
        """The files, then what they are: without that there is no model."""
        path, instead = self._path(trial), "move it away"
        with published(path, self._record.owner, instead) as draft:
            for name, expected in bundle.files.items():
                content = place.read(name)
                if digest(content) != expected.digest:
                    raise OSError(f"{name} of {trial.name} is not what was written")
                (draft / name).write_bytes(content)
        with published(path, self._record.owner, instead, beside=True) as draft:
            text = self._manifest(trial, bundle).model_dump_json(indent=1)
            (draft / MANIFEST).write_text(text + "\n")

    def _manifest(self, trial: Trial, bundle: Bundle) -> KeptModel:
        record, (_, selected) = self._record, self._ended[trial.name]
        if selected["round"] != bundle.round:
            raise OSError(f"the model of {trial.name} is of another round than its figures")
        name = short_name(trial.method)
        return KeptModel(
            comparison=record.id,
            name=record.name,
            trial=trial.name,
            method=trial.method,
            title=record.titles.get(name, name),
            study=trial.study,
            index=trial.index,
            seed=trial.seed,
            knobs=dict(trial.knobs),
            scenario=record.scenario,
            computing=record.computing,
            program=record.program,
            data=clients_data(record.data),
            bundle=bundle,
            clients=tuple(figures_of(selected)),
            score=None if "metric" not in selected else _known(mean_score(selected, "val")),
        )

    def _drop_others(self, trial: Trial) -> None:
        """Remove the models of this comparison that the trial's method had before."""
        for each in kept_models(self._folder):
            manifest = each.manifest
            ours = manifest.comparison == self._record.id and manifest.method == trial.method
            if ours and manifest.trial != trial.name:
                names = [MANIFEST, *manifest.bundle.files, MARK]
                remove_files(each.path, names, with_folder=True)


def _known(score: float) -> float:
    return LOWEST if isnan(score) else score


def figures_of(selected: Selected) -> Iterator[ClientFigures]:
    """Accuracy and other figures of each client in the selected round."""
    metrics = selected.get("metrics", ())
    clients = selected.get("clients") or range(len(selected["val"]))
    samples = selected["samples"]
    parts: Iterable = (clients, selected["val"], selected["test"], samples["val"], samples["test"])
    for place, (client, val, test, of_val, of_test) in enumerate(zip(*parts, strict=True)):
        yield ClientFigures(
            client=client,
            val=val,
            test=test,
            val_samples=of_val,
            test_samples=of_test,
            figures={each["name"]: or_none(each["test"][place]) for each in metrics},
        )
