"""Tensors in safetensors files, of which it is known how long they may be and what is in them."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pfltune.errors import UserError
from pfltune.method import Tensors
from pfltune.ownership import see_inside
from pfltune.seal import digest
from pfltune.settings import Settings

LONGEST_HEADER = 32 * 1024 * 1024
"""Bytes of the names and shapes in a file that are read: some hundred for each tensor."""


class FileOf(Settings):
    """What a file of tensors must be.

    Attributes:
        size: bytes.
        digest: of its content.
    """

    size: int = Field(ge=0)
    digest: str = Field(pattern="^[0-9a-f]{32}$")


def as_bytes(tensors: Mapping[str, Tensor], told: Mapping[str, str] | None = None) -> bytes:
    """Tensors as a safetensors file, whatever memory they share.

    Args:
        tensors: by name.
        told: texts that stand in the file's header.
    """
    alone = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    return save(alone, metadata=dict(told) if told else None)


def file_of(content: bytes) -> FileOf:
    """What a file with this content is."""
    return FileOf(size=len(content), digest=digest(content))


def read(path: Path, expected: FileOf, root: Path) -> Tensors:
    """The tensors of a file whose size and content are known.

    Args:
        path: the file.
        expected: what it must be.
        root: which no link may lead out of.

    Raises:
        UserError: it is anything else; nothing longer than it has been read.
    """
    see_inside(path, root)
    try:
        with path.open("rb") as file:
            content = file.read(expected.size + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) != expected.size or digest(content) != expected.digest:
        raise UserError(f"{path} is not what was written; keep the model again")
    return parsed(content, path)


def parsed(content: bytes, path: Path) -> Tensors:
    """The tensors in the content of a file.

    Raises:
        UserError: it is no safetensors file.
    """
    try:
        # Into memory that torch has aligned: the last bits may depend on it.
        return {name: tensor.clone() for name, tensor in load(content).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from error


def header(path: Path) -> dict[str, Any]:
    """What a safetensors file says of itself, before any tensor is read.

    Raises:
        UserError: it is none.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LONGEST_HEADER:
                raise ValueError(f"its header would have {length} bytes")
            found = json.loads(file.read(length))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, struct.error, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} cannot be read as safetensors: its header is no mapping")
    return found


def same_bits(one: Tensor, other: Tensor | None) -> bool:
    """Whether two tensors are the same in type, shape and every bit."""
    if other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one is other:
        return True
    return torch.equal(_bits(one), _bits(other.to(one.device)))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(-1).view(torch.uint8)
