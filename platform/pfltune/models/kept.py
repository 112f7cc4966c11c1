"""Kept models of a comparison: one folder for each confirmation trial, and what stands in it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from math import inf, isnan
from pathlib import Path
from typing import Literal

from pydantic import Field

from pfltune.errors import UserError, unknown
from pfltune.federation.fingerprint import CLIENTS
from pfltune.knobs import Value
from pfltune.method import Tensors
from pfltune.models.bundle import FROZEN, SERVER, Bundle, client_file, resolved, state_file
from pfltune.models.tensors import read
from pfltune.ownership import owner_of, recorded, see_inside
from pfltune.program import Program
from pfltune.record import Computing
from pfltune.registry import short_name
from pfltune.scenario import Scenario
from pfltune.settings import RECORDED, Settings
from pfltune.stages import trial_name
from pfltune.ties import exact_mean

FOLDER, MANIFEST = "models", "model.json"
LARGEST = 64 * 1024 * 1024
"""Bytes of a manifest that is read; each client takes some hundred."""
_OTHER = re.compile(r"[^A-Za-z0-9_.=+,\[\]-]+")


class ClientFigures(Settings):
    """How a client's model did in the selected round.

    Attributes:
        client: its index.
        val, test: accuracy on its samples of each part, in [0, 1].
        val_samples, test_samples: how many these are.
        figures: what the scenario's metrics gave on the test samples, by name; None where one says
            nothing of them.
    """

    client: int = Field(ge=0)
    val: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)
    val_samples: int = Field(ge=1)
    test_samples: int = Field(ge=1)
    figures: Mapping[str, float | None] = {}


class KeptModel(Settings):
    """What is known of the models of one trial; nothing of it is code.

    Attributes:
        format: of this file.
        comparison, name: id and name of the comparison whose trial it is.
        trial: the trial's name.
        method: its reference.
        title: how the method is written in a paper.
        study, index: which of the method's confirmation trials it is.
        seed, knobs: of the trial.
        scenario: what it was trained on.
        computing: how.
        program: the code that made it.
        data: digests of images, labels and clients, by what they are of; empty in older files.
        bundle: the files, and what the images were.
        clients: those that trained in the rounds.
        score: mean validation score over clients in the selected round, by which it is chosen; None
            for accuracy.
    """

    format: Literal[1] = 1
    comparison: str = Field(pattern="^[0-9a-f]{32}$")
    name: str
    trial: str
    method: str
    title: str
    study: int = Field(ge=0)
    index: int = Field(ge=0)
    seed: int = Field(ge=0)
    knobs: Mapping[str, Value]
    scenario: Scenario
    computing: Computing
    program: Program
    data: Mapping[str, str] = {}
    bundle: Bundle
    clients: tuple[ClientFigures, ...] = Field(min_length=1)
    score: float | None = None

    @property
    def owner(self) -> str:
        """The comparison, as it stands in marks."""
        return owner_of("comparison", self.name, self.comparison)

    @property
    def short_name(self) -> str:
        """What the method is called in tables."""
        return short_name(self.method)

    @property
    def val(self) -> float:
        """Mean validation accuracy over clients in the selected round."""
        return exact_mean([each.val for each in self.clients])

    @property
    def test(self) -> float:
        """Mean test accuracy there, by which nothing is chosen."""
        return exact_mean([each.test for each in self.clients])

    @property
    def worth(self) -> tuple[float, int, int]:
        """Orders the models of a method: the best on validation is the largest, then the first."""
        return worth_of(self.val if self.score is None else self.score, self.study, self.index)

    def figures(self, client: int) -> ClientFigures:
        """Those of one client.

        Raises:
            UserError: it did not train in the rounds.
        """
        found = next((each for each in self.clients if each.client == client), None)
        if found is None:
            known = [each.client for each in self.clients]
            raise unknown(f"client of {self.trial}", str(client), map(str, known))
        return found

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.bundle.files.values())


def clients_data(digests: Mapping[str, str]) -> dict[str, str]:
    """Those of :func:`pfltune.federation.fingerprint.fingerprint` by which clients have data."""
    return {part: digests[part] for part in ("images", "labels", CLIENTS)}


def worth_of(score: float, study: int, index: int) -> tuple[float, int, int]:
    """See :attr:`KeptModel.worth`; without a score it is less than any other."""
    return (-inf if isnan(score) else score, -study, -index)


class ModelFolder:
    """A kept model on the disk.

    Args:
        path: its folder.
        manifest: what stands in it.
    """

    def __init__(self, path: Path, manifest: KeptModel) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def read(cls, path: Path) -> "ModelFolder | None":
        """What is kept in a folder; None if nothing is, or not all of it.

        Raises:
            UserError: its manifest is damaged.
        """
        manifest = recorded(path / MANIFEST, path, KeptModel, LARGEST, RECORDED)
        return None if manifest is None else cls(path, manifest)

    @property
    def is_whole(self) -> bool:
        """Whether all files are there, each as long as it must be."""
        try:
            sizes = {n: (self.path / n).stat().st_size for n in self.manifest.bundle.files}
        except OSError:
            return False
        return all(size == self.manifest.bundle.files[name].size for name, size in sizes.items())

    def tensors(self, client: int) -> Tensors:
        """With what a client predicts, and what its states hold beside that.

        Raises:
            UserError: there is no such client, or a file is not what was written.
        """
        self.manifest.figures(client)
        shared = state_file(self.manifest.bundle.heard[client])
        files = (client_file(client), shared, FROZEN)
        return resolved(*(self._read(name) for name in files))

    def server(self) -> Tensors:
        """The server's state after the selected round.

        Raises:
            UserError: the file is not what was written.
        """
        return self._read(SERVER)

    def frozen(self) -> Tensors:
        """The tensors of the model that never moved.

        Raises:
            UserError: the file is not what was written.
        """
        return self._read(FROZEN)

    def _read(self, name: str) -> Tensors:
        expected = self.manifest.bundle.files.get(name)
        if expected is None:
            raise UserError(f"{self.path / MANIFEST} is damaged: it does not know {name}")
        return read(self.path / name, expected, self.path)


def folder_of(method: str, study: int, index: int) -> tuple[str, str]:
    """The names of a kept model's folder and of the one above it.

    Args:
        method: short name of the method.
        study, index: of the trial.
    """
    plain = _OTHER.sub("-", method)[:80]
    mark = f"-{blake2b(method.encode(), digest_size=4).hexdigest()}" if plain != method else ""
    above = plain + mark
    return above, trial_name(method, "confirm", index, study).removeprefix(f"{method}-")


def kept_models(folder: Path) -> Iterator[ModelFolder]:
    """All models of a comparison that are whole, in the order of their folders' names.

    Args:
        folder: the comparison's.

    Raises:
        UserError: a manifest is damaged.
    """
    for path in sorted((folder / FOLDER).glob(f"*/*/{MANIFEST}")):
        see_inside(path, folder)
        found = ModelFolder.read(path.parent)
        if found is not None and found.is_whole:
            yield found


def best_of(models: Iterable[ModelFolder]) -> dict[str, ModelFolder]:
    """The best model of each method on validation data, by the method's short name."""
    best: dict[str, ModelFolder] = {}
    for each in models:
        name = each.manifest.short_name
        if name not in best or each.manifest.worth > best[name].manifest.worth:
            best[name] = each
    return best


def chosen_model(folder: Path, method: str | None, trial: str | None = None) -> ModelFolder:
    """The kept model of a comparison that a user means.

    Args:
        folder: the comparison's.
        method: short name, reference or title of the method; not needed if there is only one.
        trial: name of the trial; default: the best of the method on validation data.

    Raises:
        UserError: nothing is kept, not of this method or trial, or there are several methods.
    """
    models = list(kept_models(folder))
    if not models:
        raise UserError(
            f"{folder.name} has no kept model; go on with it with --resume {folder.name} "
            "--keep-models best"
        )
    if trial is not None:
        by_trial = {each.manifest.trial: each for each in models}
        if trial not in by_trial:
            raise unknown(f"kept model of {folder.name}", trial, by_trial)
        return by_trial[trial]
    best = best_of(models)
    if method is None:
        if len(best) > 1:
            raise UserError(f"say of which --method: {', '.join(best)} are kept")
        return next(iter(best.values()))
    named = {each.manifest.title: name for name, each in best.items()}
    name = named.get(method) or (method if method in best else short_name(method))
    if name not in best:
        raise unknown(f"method with a kept model in {folder.name}", method, best)
    return best[name]
