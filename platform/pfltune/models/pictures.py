"""Images as people hand them over, as the uint8 images that a model's clients had."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pfltune.data.folders import files_below
from pfltune.data.pictures import decode_image
from pfltune.errors import UserError

Shape = tuple[int, int, int]
"""Channels, height and width."""


def as_images(given: Any, shape: Shape) -> Tensor:
    """Images as uint8 (images, channels, height, width), resized where they have another size.

    Args:
        given: uint8 arrays or tensors (height, width), (images, height, width), with the channels
            before or behind height and width, or a list of them; paths of image files or folders.
        shape: of one image of the clients.

    Raises:
        UserError: they are no images, have other colours, or cannot be read.
    """
    if isinstance(given, str | PathLike):
        given = [given]
    if hasattr(given, "to_numpy") and not isinstance(given, np.ndarray):  # of pandas
        given = list(np.asarray(given.to_numpy()).reshape(-1))
    if isinstance(given, Sequence) and given and all(isinstance(p, str | PathLike) for p in given):
        found = [_decoded(path, shape) for path in files_in(given)]
        return torch.stack(found)
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    try:
        array = np.asarray(given)
    except ValueError as error:  # of several shapes
        raise UserError(f"images of several shapes cannot be one array: {error}") from error
    return _resized(_channels_first(array, shape), shape)


def files_in(paths: Sequence[str | PathLike]) -> list[Path]:
    """Image files, and those in folders, in the order of their names; hidden ones are none.

    Raises:
        UserError: there is no such file, or no image in a folder.
    """
    return [file for path in paths for file in _files(Path(path))]


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if not path.is_file():
            raise UserError(f"there is no image {path}")
        yield path
        return
    inside = files_below(path)
    if not inside:
        raise UserError(f"{path} has no images")
    yield from inside


def _decoded(path: Path, shape: Shape) -> Tensor:
    """One file, read as those of an image folder are."""
    channels, height, width = shape
    square = decode_image(path, max(height, width), gray=channels == 1)
    (found,) = _resized(torch.from_numpy(np.array(square))[None], shape)
    return found


def _channels_first(array: np.ndarray, shape: Shape) -> Tensor:
    channels, *_ = shape
    if array.dtype != np.uint8:
        raise UserError(f"images are {array.dtype}; they must be uint8, from 0 to 255")
    if array.ndim == 2 or (array.ndim == 3 and channels != 1 and channels in _ends(array)):
        array = array[None]
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise UserError(f"images of shape {array.shape}; {_possible(channels)}")
    if array.shape[1] != channels and array.shape[-1] == channels:
        array = np.moveaxis(array, -1, 1)
    if array.shape[1] != channels:
        raise UserError(f"images of shape {array.shape}; {_possible(channels)}")
    return torch.from_numpy(np.ascontiguousarray(array))


def _ends(array: np.ndarray) -> tuple[int, int]:
    return array.shape[0], array.shape[-1]


def _possible(channels: int) -> str:
    if channels == 1:
        return (
            "possible: (images, height, width), or with one channel before or behind the last two"
        )
    return f"possible: (images, {channels}, height, width) or (images, height, width, {channels})"


def _resized(images: Tensor, shape: Shape) -> Tensor:
    """uint8 again, with antialiasing."""
    size = tuple(shape[1:])
    if tuple(images.shape[-2:]) == size or not len(images):
        return images
    resized = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
