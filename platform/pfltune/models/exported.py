"""One client's model as one file: safetensors for torch, or ONNX for all else."""

import json
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from pfltune.backbones.vit import TimmBackbone
from pfltune.errors import UserError
from pfltune.isolation import in_a_line
from pfltune.method import Tensors
from pfltune.models.assembled import backbone_of, classes_and_channels, is_plain
from pfltune.models.code import see_code, with_copies
from pfltune.models.kept import KeptModel
from pfltune.models.loaded import LoadedModel
from pfltune.models.tensors import as_bytes, header, parsed
from pfltune.ownership import see_own_ground
from pfltune.settings import RECORDED, Settings, validated
from pfltune.storage import whole, write_whole

TOLD, TIMM = "pfltune", "timm"
"""What stands in the header of a file: what the model is, and how timm makes it where it can."""
TOLD_IN_ONNX = ("class_names", "method", "client")
"""What stands among the properties of an ONNX file."""
CLOSE = 1e-4
"""How far logits of an ONNX file may be from torch's, of 1 or of their size."""
CHECKED = 8
"""Random images on which that is seen."""


class Exported(Settings):
    """What an exported model says of itself.

    Attributes:
        format: of this text.
        client: whose model it is.
        model: what it is; of its clients only this one.
    """

    format: int = Field(1, ge=1, le=1)
    client: int
    model: KeptModel


def export_model(model: LoadedModel, target: Path) -> str:
    """Write a client's model; returns what it can be read with, in words.

    Args:
        model: what to write.
        target: FILE.safetensors or FILE.onnx; an older one of ours that is there is replaced.

    Raises:
        UserError: it is neither, something else is there, it cannot be written, or the ONNX file
            does not say what torch says.
    """
    writers: Mapping[str, Callable[[LoadedModel, Path], str]] = {
        ".safetensors": _to_safetensors,
        ".onnx": _to_onnx,
    }
    write = writers.get(target.suffix)
    if write is None:
        raise UserError(f"--to {target}: the name must end in {' or '.join(writers)}")
    _see_place(target, model.manifest.owner)
    try:
        return write(model, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error


def read_exported(path: Path, code: Collection[str] = ()) -> tuple[KeptModel, int, Tensors]:
    """What is in an exported .safetensors file; its code has been compared, and none was run.

    Args:
        path: the file.
        code: the user's copies of files of code that the model needs.

    Raises:
        UserError: it is no such file, or needs code that is not named.
    """
    told = header(path).get("__metadata__")
    text = told.get(TOLD) if isinstance(told, dict) else None
    try:
        raw = json.loads(str(text))
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise UserError(f"{path} is no model that pfltune export wrote")
    found = validated(Exported, raw, path.name, context=RECORDED)
    manifest = with_copies(found.model, code)
    see_code(manifest)
    manifest.figures(found.client)
    return manifest, found.client, parsed(path.read_bytes(), path)


def loaded_file(path: str | PathLike, code: Collection[str] = ()) -> LoadedModel:
    """A client's model from a .safetensors file, see :func:`read_exported`.

    Raises:
        UserError: it is no such file, or needs code that is not named.
    """
    return LoadedModel(*read_exported(Path(path), code))


def timm_arguments(manifest: KeptModel) -> dict[str, Any] | None:
    """How ``timm.create_model`` makes the model; None where it cannot.

    That is where the method leaves the backbone plain, and the backbone is timm's.
    """
    backbone = backbone_of(manifest)
    if not isinstance(backbone, TimmBackbone) or not is_plain(manifest):
        return None
    classes, channels = classes_and_channels(manifest)
    sizes = {
        "patch_size": backbone.patch_size,
        "embed_dim": backbone.width,
        "depth": backbone.depth,
        "num_heads": backbone.heads,
    }
    return {
        "model_name": backbone.model,
        "img_size": backbone.image_size,
        "num_classes": classes,
        "in_chans": channels,
        **{name: size for name, size in sizes.items() if size is not None},
    }


def _see_place(target: Path, owner: str) -> None:
    """See that nothing is there but a model that pfltune export wrote.

    Raises:
        UserError: something is, or it is in the folder of another comparison.
    """
    instead = "name another file with --to"
    see_own_ground(target, owner, instead)
    if not (target.exists() or target.is_symlink()):
        return
    is_ours = _is_ours_in_onnx if target.suffix == ".onnx" else _is_ours_in_safetensors
    if target.is_symlink() or not target.is_file() or not is_ours(target):
        raise UserError(f"{target} is there and is no model that pfltune export wrote; {instead}")


def _is_ours_in_safetensors(path: Path) -> bool:
    try:
        told = header(path).get("__metadata__")
    except UserError:
        return False
    return isinstance(told, dict) and TOLD in told


def _is_ours_in_onnx(path: Path) -> bool:
    _see_onnx(path)
    import onnx

    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception:  # protobuf's own, which has no types for checking
        return False
    return {*TOLD_IN_ONNX} <= {each.key for each in proto.metadata_props}


def _to_safetensors(model: LoadedModel, target: Path) -> str:
    arguments = timm_arguments(model.manifest)
    told = {"format": "pt", TOLD: _exported(model).model_dump_json()}
    if arguments is not None:
        told[TIMM] = json.dumps(arguments)
    write_whole(target, as_bytes(model.module.model.state_dict(), told))
    if arguments is None:
        return f"pfltune.load_model({str(target)!r})"
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"timm.create_model({given}), or pfltune.load_model({str(target)!r})"


def _exported(model: LoadedModel) -> Exported:
    own = model.manifest.model_copy(update={"clients": (model.figures,)})
    return Exported(client=model.client, model=own)


def _to_onnx(model: LoadedModel, target: Path) -> str:
    _see_onnx(target)
    size = model.manifest.scenario.backbone.image_size
    channels = model.manifest.bundle.image[0]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CHECKED, channels, size, size)).astype(np.uint8)
    with whole(target) as partial:
        _write_onnx(model, torch.from_numpy(images), partial)
        _see_same_answers(model, images, partial, target)
    return (
        f"onnxruntime: uint8 images (batch, {channels}, {size}, {size}) as `images`, "
        f"logits of {len(model.class_names)} classes"
    )


def _see_onnx(target: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(name) is None:
            raise UserError(
                f"{target} needs the package {name}: install pfltune[onnx], or name a "
                ".safetensors file"
            )


def _write_onnx(model: LoadedModel, images: torch.Tensor, path: Path) -> None:
    import onnx

    module: nn.Module = model.module
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        module,
        (images,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: batch}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    told = (json.dumps(model.class_names), model.manifest.method, str(model.client))
    onnx.helper.set_model_props(proto, dict(zip(TOLD_IN_ONNX, told, strict=True)))
    path.write_bytes(proto.SerializeToString())


def _see_same_answers(model: LoadedModel, images: np.ndarray, path: Path, target: Path) -> None:
    import onnxruntime

    with torch.inference_mode():
        wanted = model.module(torch.from_numpy(images)).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for first in (images, images[:1]):  # batches of another size, too
        with in_a_line(f"{target} is not written: onnxruntime refuses a batch of {len(first)}"):
            (found,) = session.run(["logits"], {"images": first})
        far = np.abs(found - wanted[: len(first)]) / np.maximum(1, np.abs(wanted[: len(first)]))
        if not np.isfinite(found).all() or far.max() > CLOSE:
            raise UserError(
                f"{target} is not written: onnxruntime's logits are {far.max():.2g} from torch's, "
                f"more than {CLOSE:g}"
            )
