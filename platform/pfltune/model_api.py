"""Kept models from Python: loaded, exported, evaluated; what the commands do, as functions."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pfltune.errors import UserError
from pfltune.method import Method
from pfltune.models.evaluating import on_data, on_own_data
from pfltune.models.examined import Examined
from pfltune.models.exported import export_model as export_to
from pfltune.models.exported import loaded_file
from pfltune.models.kept import ModelFolder, chosen_model
from pfltune.models.loaded import LoadedModel, loaded_client
from pfltune.registry import reference_to, short_name
from pfltune.report.results import find_record
from pfltune.studies.options import results_folder

if TYPE_CHECKING:
    import pandas as pd

MethodLike = str | type[Method]
"""A short name, a title, or a class that is in a file."""


def load_model(
    name: str | Path,
    *,
    method: MethodLike | None = None,
    client: int | None = None,
    trial: str | None = None,
    results: str | Path | None = None,
    code: Collection[str] = (),
    accept_new_code: bool = False,
) -> LoadedModel:
    """A client's model, as it was in the chosen round of a confirmation trial.

    Its ``predict(images)`` takes uint8 arrays or paths of images, ``module`` is the
    ``torch.nn.Module`` from uint8 images to logits, ``class_names`` are what the classes are.

    Args:
        name: of a comparison that kept models, or a .safetensors file that was exported.
        method: whose model; not needed if the models of only one method are kept.
        client: whose model; default: the first client's. A file holds one client's.
        trial: name of the confirmation trial; default: the best on validation data of those kept.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.
        code: ``path/to/file.py:Class`` of methods and backbones whose code an exported file needs;
            no other file is run.
        accept_new_code: run files of code although they are others than the model was made with.

    Raises:
        UserError: there is no such model, it is damaged, or it needs other code than is here.
    """
    if str(name).endswith(".safetensors"):
        if method is not None or trial is not None:
            raise UserError(f"{name} is one model: method and trial are of a comparison")
        found = loaded_file(name, code)
        if client is not None and client != found.client:
            raise UserError(f"{name} is the model of client {found.client}, not of {client}")
        return found
    folder = kept_model(str(name), method=method, trial=trial, results=results)
    return loaded_client(folder, client, accept_new_code)


def export_model(
    name: str,
    to: str | Path,
    *,
    method: MethodLike | None = None,
    client: int | None = None,
    trial: str | None = None,
    results: str | Path | None = None,
) -> str:
    """Write a client's model as one file; returns with what it can be read, in words.

    Args:
        name: of a comparison that kept models.
        to: FILE.safetensors, which timm reads where the method leaves its model plain and
            :func:`load_model` in any case; or FILE.onnx, which has been seen to say what torch
            says.
        method, client, trial, results: as of :func:`load_model`.

    Raises:
        UserError: there is no such model, or it cannot be written like this.
    """
    model = load_model(name, method=method, client=client, trial=trial, results=results)
    return export_to(model, Path(to))


def evaluate_model(
    name: str,
    data: str | Path | None = None,
    *,
    method: MethodLike | None = None,
    client: int | None = None,
    by_client: bool = False,
    trial: str | None = None,
    results: str | Path | None = None,
    overrides: Sequence[str] = (),
    accept_new_code: bool = False,
) -> "pd.DataFrame":
    """How kept models do: a row for each client, with accuracy and every other metric.

    Without ``data`` each client's model is tested on the client's own samples, with the accuracy
    that the comparison recorded beside it. With ``data`` and ``client`` that client's model is
    tested on all of them. With ``by_client`` the data have clients, or else domains: one that the
    trial knows by its name, or by its number, is tested with its own model, any other is a new one.
    With ``data`` alone they are those of a new client, or of one for each client or domain of
    theirs. A new client trains its personal part on a share of its samples first, as the scenario's
    unseen clients do. Where the data have a given split, it is kept, and trained models are tested
    on what is given for tests.

    Args:
        name: of a comparison that kept models.
        data: what ``data.name`` of a scenario can be, such as clients:PATH, or a path alone.
        method, client, trial, results: as of :func:`load_model`.
        by_client: see above.
        overrides: of the scenario, where its own data lie elsewhere by now.
        accept_new_code: as of :func:`load_model`.

    Returns:
        ``test`` is the accuracy, in [0, 1], ``recorded`` what the comparison has for it, ``val``
        that on validation samples, ``new`` says who is a new client, ``number`` which one of
        the trial's it is otherwise, as ``client`` of :func:`load_model` means it. The metrics stand
        in columns of their names, each in its unit, first of all the one that the comparison goes
        by where that is not accuracy. ``attrs["pooled"]`` has the figures of all samples together,
        ``attrs["notes"]`` what was left out.

    Raises:
        UserError: there is no such model, the data do not fit it, or its own are others by now.
    """
    return examined_models(
        name,
        data,
        method=method,
        client=client,
        by_client=by_client,
        trial=trial,
        results=results,
        overrides=overrides,
        accept_new_code=accept_new_code,
    ).frame()


def examined_models(
    name: str,
    data: str | Path | None = None,
    *,
    method: MethodLike | None = None,
    client: int | None = None,
    by_client: bool = False,
    trial: str | None = None,
    results: str | Path | None = None,
    overrides: Sequence[str] = (),
    accept_new_code: bool = False,
) -> Examined:
    """The same as it is told, see :func:`evaluate_model`.

    Raises:
        UserError: as there.
    """
    folder = kept_model(name, method=method, trial=trial, results=results)
    if data is None and (client is not None or by_client):
        raise UserError("--client and --by-client say whose model is tested on --data: name them")
    if client is not None and by_client:
        raise UserError("give --client for one client's model, or --by-client for each one's")
    if data is None:
        return on_own_data(folder, overrides, accept_new_code)
    if overrides:
        raise UserError("-o changes the scenario, whose data are not used with --data")
    return on_data(folder, str(data), client, by_client, accept_new_code)


def kept_model(
    name: str,
    *,
    method: MethodLike | None = None,
    trial: str | None = None,
    results: str | Path | None = None,
) -> ModelFolder:
    """The kept model of a comparison that is meant, see :func:`load_model`.

    Raises:
        UserError: there is none.
    """
    place = results_folder({"results": results}).resolve()
    record = find_record(place, name)
    named = (
        method if method is None or isinstance(method, str) else short_name(reference_to(method))
    )
    found = chosen_model(place / name, named, trial)
    if found.manifest.comparison != record.id:
        raise UserError(f"{found.path} is not of the comparison {name}; move it away")
    return found
