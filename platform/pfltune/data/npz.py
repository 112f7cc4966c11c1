"""Data sets as arrays in an .npz file: one's own, and MedMNIST's."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.arrays import NpzReader
from pfltune.data.source import Chunk, Decoded
from pfltune.errors import UserError

SPLITS = ("train", "val", "test")
# Without names of classes, the largest label says how many there are: it must be no accident.
MOST_CLASSES = 2**16


@dataclass(frozen=True)
class Npz:
    """An .npz file of one's own, see :func:`decode_npz`.

    Attributes:
        path: the file.
    """

    path: Path

    def identity(self) -> dict[str, Any]:
        """The digest of the file."""
        try:
            with self.path.open("rb") as file:
                return {"npz": hashlib.file_digest(file, "sha256").hexdigest()}
        except FileNotFoundError as error:
            raise UserError(f"there is no file {self.path}") from error
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from error

    def decode(self) -> Decoded:
        """Begin to read the file."""
        return decode_npz(self.path)


def decode_npz(path: Path, class_names: tuple[str, ...] | None = None) -> Decoded:
    """Check everything in an .npz file but the pixels, and read these in chunks.

    The arrays are ``images`` and ``labels``, or MedMNIST's ``train_images``, ``train_labels``,
    ``val_images``, …, which are merged. Images are uint8 (samples, height, width) or (samples,
    height, width, channels) with 1 or 3 channels; (samples, channels, height, width) is understood
    where the last axis can be no channels. Labels are whole numbers 0 … C-1 of shape (samples,) or
    (samples, 1). Optional are ``domains``, numbers or strings, one per sample, and ``class_names``.

    Args:
        path: the file.
        class_names: one per class; None takes the file's, and without those the numbers.

    Raises:
        UserError: the file is missing or damaged, or an array is missing or not like that.
    """
    npz = NpzReader(path)
    image_names, label_names = _names_of_arrays(npz)
    counts = _check_images(npz, image_names)
    if class_names is None and "class_names" in npz.names:
        class_names = _strings(npz, "class_names")
    labels = np.concatenate(
        [_labels(npz, n, count, class_names) for n, count in zip(label_names, counts, strict=True)]
    )
    if class_names is None:
        class_names = tuple(str(number) for number in range(labels.max(initial=-1) + 1))
    domain_names, domains = _domains(npz, len(labels))
    return Decoded(class_names, _chunks(npz, image_names, labels, domains), domain_names)


def _names_of_arrays(npz: NpzReader) -> tuple[list[str], list[str]]:
    """What the arrays of images and of labels are called, in the order in which they are merged."""
    splits = [split for split in SPLITS if f"{split}_images" in npz.names]
    if splits and "images" in npz.names:
        raise UserError(
            f"{npz.path} holds both images and {splits[0]}_images; which are meant is not clear"
        )
    if not splits:
        npz.require("images")
    images = [f"{split}_images" for split in splits] or ["images"]
    labels = [f"{split}_labels" for split in splits] or ["labels"]
    for name in labels:
        npz.require(name)
    return images, labels


def _check_images(npz: NpzReader, names: Sequence[str]) -> list[int]:
    """The number of images in each array; all must be uint8 and of one size."""
    headers = [npz.header(name) for name in names]
    for name, header in zip(names, headers, strict=True):
        if header.dtype != np.uint8:
            raise UserError(f"{npz.path}: {name} are {header.dtype}; they must be uint8, 0 to 255")
        _channel_axis(header.shape, f"{npz.path}: {name}")
        if header.shape[1:] != headers[0].shape[1:]:
            raise UserError(
                f"{npz.path}: {names[0]} are of shape {headers[0].shape[1:]} each, "
                f"{name} of {header.shape[1:]}"
            )
    return [header.shape[0] for header in headers]


def _channel_axis(shape: tuple[int, ...], where: str) -> int | None:
    """The axis of the colour channels; None if there is none."""
    if 0 not in shape[1:]:
        if len(shape) == 3:
            return None
        if len(shape) == 4 and shape[3] in (1, 3):
            return 3
        if len(shape) == 4 and shape[1] in (1, 3):
            return 1
    raise UserError(
        f"{where} are of shape {shape}; they must be (samples, height, width) or "
        "(samples, height, width, channels) with 1 or 3 channels"
    )


def _labels(
    npz: NpzReader, name: str, count: int, class_names: tuple[str, ...] | None
) -> np.ndarray:
    """Labels as int64 (count,), each the number of a class."""
    values = _per_sample(npz, name, count)
    if values.dtype.kind not in "biuf":
        raise UserError(f"{npz.path}: {name} are {values.dtype}; they must be whole numbers")
    bound = MOST_CLASSES if class_names is None else len(class_names)
    why = "" if class_names is None else f", since there are {bound} class_names"
    exact = values.astype(np.float64)
    for wrong, must in (
        (exact != np.floor(exact), "a whole number"),  # NaN is not even itself
        (~((exact >= 0) & (exact < bound)), f"from 0 to {bound - 1}{why}"),
    ):
        if wrong.any():
            first = int(wrong.argmax())
            raise UserError(f"{npz.path}: {name}[{first}] is {values[first]}; it must be {must}")
    return values.astype(np.int64)


def _per_sample(npz: NpzReader, name: str, count: int) -> np.ndarray:
    """An array of shape (samples,) or (samples, 1), without the second axis."""
    npz.require(name)
    shape = npz.header(name).shape
    if shape not in ((count,), (count, 1)):
        wrong_length = len(shape) == 1 or shape[1:] == (1,)
        told = f"{shape[0]} {name}" if wrong_length else f"{name} of shape {shape}"
        raise UserError(f"{npz.path}: {count} images but {told}; there must be one per image")
    return npz.read(name).reshape(count)


def _strings(npz: NpzReader, name: str) -> tuple[str, ...]:
    values = npz.read(name)
    if values.ndim != 1 or values.dtype.kind not in "USiu":
        raise UserError(
            f"{npz.path}: {name} is {values.dtype} of shape {values.shape}; "
            "it must be one string per class"
        )
    names = _texts(values)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{npz.path}: {name} has {twice!r} twice")
    return names


def _texts(values: np.ndarray) -> tuple[str, ...]:
    decoded = np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values
    return tuple(str(value) for value in decoded)


def _domains(npz: NpzReader, count: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """The domains' names, sorted, and each sample's; none if the file has none."""
    if "domains" not in npz.names:
        return (), None
    values = _per_sample(npz, "domains", count)
    if values.dtype.kind not in "USiu":
        raise UserError(
            f"{npz.path}: domains are {values.dtype}; they must be whole numbers or strings"
        )
    known, domains = np.unique(values, return_inverse=True)
    return _texts(known), domains.reshape(count)


def _chunks(
    npz: NpzReader, names: Sequence[str], labels: np.ndarray, domains: np.ndarray | None
) -> Iterator[Chunk]:
    start = 0
    for name in names:
        axis = _channel_axis(npz.header(name).shape, f"{npz.path}: {name}")
        for rows in npz.chunks(name):
            images = rows[:, None] if axis is None else np.moveaxis(rows, axis, 1)
            span = slice(start, start + len(rows))
            yield Chunk(images, labels[span], None if domains is None else domains[span])
            start = span.stop
