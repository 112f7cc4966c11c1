"""Data sets as arrays in an .npz file: one's own, and MedMNIST's."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.arrays import NpzReader
from pfltune.data.labels import Classes, number, one_label_each, strings
from pfltune.data.names import in_natural_order, some_of
from pfltune.data.pixels import Pixels
from pfltune.data.source import Chunk, Decoded
from pfltune.errors import UserError

SPLITS = ("train", "val", "valid", "validation", "test")
# Arrays of images and of labels, alone or of each split: those here, MedMNIST's and Keras'.
PAIRS = (("images", "labels"), ("x", "y"))
FORMS = ("{name}", "{split}_{name}", "{name}_{split}")


@dataclass(frozen=True)
class Npz:
    """An .npz file of one's own, see :func:`decode_npz`.

    Attributes:
        path: the file.
        channels: "first" or "last", where the shape of the images does not say.
    """

    path: Path
    channels: str | None = None

    def identity(self) -> dict[str, Any]:
        """The digest of the file, and how it is read."""
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise UserError(f"there is no file {self.path}") from error
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from error
        return {"npz": digest, "channels": self.channels}

    def notes(self) -> tuple[str, ...]:
        """None: what is not read is in the file, and so part of the key."""
        return ()

    def decode(self) -> Decoded:
        """Begin to read the file."""
        return decode_npz(self.path, channels=self.channels)


def decode_npz(
    path: Path, class_names: tuple[str, ...] | None = None, channels: str | None = None
) -> Decoded:
    """Check everything in an .npz file but the pixels, and read these in chunks.

    The arrays are ``images`` and ``labels``, or MedMNIST's ``train_images``, ``train_labels``,
    ``val_images``, …, or Keras' ``x_train``, ``y_train``, …, which are merged. Images are (samples,
    height, width), or (samples, height, width, channels) with 1 or 3 channels; (samples, channels,
    height, width) is understood where the last axis can be no channels. They are uint8, or what can
    become it, see :class:`Pixels`. Labels are one whole number, one word or one one-hot row per
    sample. Optional are ``domains``, numbers or words, one per sample, and ``class_names``.

    Args:
        path: the file.
        class_names: one per class; None takes the file's, and without those the labels.
        channels: "first" or "last", where the shape of the images does not say.

    Raises:
        UserError: the file is missing or damaged, or an array is missing or not like that.
    """
    npz = NpzReader(path)
    pairs = _pairs_of_arrays(npz)
    pixels = Pixels(npz, tuple(images for images, _ in pairs), channels)
    if class_names is None and "class_names" in npz.names:
        class_names = _class_names(npz)
    classes = _classes(npz, [labels for _, labels in pairs], pixels.counts(), class_names)
    domain_names, domains = _domains(npz, len(classes.numbers))
    images, done = pixels.chunks()
    return Decoded(
        classes.names,
        _chunks(images, classes.numbers, domains),
        domain_names,
        (*_told_of_arrays(npz, pairs), *done, *classes.notes),
    )


def _pairs_of_arrays(npz: NpzReader) -> list[tuple[str, str]]:
    """What the arrays of images and of labels are called, in the order in which they are merged."""
    known = {name.lower(): name for name in reversed(npz.names)}
    layouts = []
    for form, (images, labels) in product(FORMS, PAIRS):
        splits = SPLITS if "{split}" in form else ("",)
        names = [[form.format(name=n, split=split) for n in (images, labels)] for split in splits]
        layouts.append([(known[i], known.get(name, name)) for i, name in names if i in known])
    found = [layout for layout in layouts if layout]
    if not found:
        npz.require("images")
    if len(found) > 1:
        raise UserError(
            f"{npz.path} holds both {found[0][0][0]} and {found[1][0][0]}; which are meant is not "
            "clear"
        )
    for _, labels in found[0]:
        npz.require(labels)
    return found[0]


def _told_of_arrays(npz: NpzReader, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Which arrays are merged, and which are not read."""
    if len(pairs) > 1:
        merged = ", ".join(images for images, _ in pairs)
        yield f"{merged} are merged: each client's samples are split by the scenario"
    if any(npz.header(labels).shape[1:] > (1,) for _, labels in pairs):
        yield "labels are one-hot rows, and became the number of the column"
    read = {"class_names", "domains", *(name for pair in pairs for name in pair)}
    unread = [name for name in npz.names if name not in read]
    if unread:
        yield (
            f"arrays that are not read: {some_of(unread)} (whose each sample is can be said by an "
            "array domains and partition.kind=domains)"
        )


def _classes(
    npz: NpzReader, names: Sequence[str], counts: Sequence[int], class_names: tuple[str, ...] | None
) -> Classes:
    """The labels of all arrays, numbered together."""
    labels = [
        one_label_each(_per_sample(npz, name, count, rows=True), f"{npz.path}: {name}")
        for name, count in zip(names, counts, strict=True)
    ]
    if len({each.dtype.kind for each in labels}) > 1:
        raise UserError(f"{npz.path}: some of {', '.join(names)} are words and some are numbers")
    return number(np.concatenate(labels), class_names, f"{npz.path}: {names[0]}")


def _per_sample(npz: NpzReader, name: str, count: int, *, rows: bool = False) -> np.ndarray:
    """An array of shape (samples,) or (samples, 1), without the second axis.

    With ``rows`` also one of shape (samples, two or more).
    """
    npz.require(name)
    shape = npz.header(name).shape
    if rows and len(shape) == 2 and shape[0] == count and shape[1] > 1:
        return npz.read(name)
    if shape not in ((count,), (count, 1)):
        wrong_length = len(shape) == 1 or shape[1:] == (1,)
        told = f"{shape[0]} {name}" if wrong_length else f"{name} of shape {shape}"
        raise UserError(f"{npz.path}: {count} images but {told}; there must be one per image")
    return npz.read(name).reshape(count)


def _class_names(npz: NpzReader) -> tuple[str, ...]:
    values = npz.read("class_names")
    if values.ndim != 1 or values.dtype.kind not in "USiu":
        raise UserError(
            f"{npz.path}: class_names is {values.dtype} of shape {values.shape}; "
            "it must be one string per class"
        )
    names = strings(values)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{npz.path}: class_names has {twice!r} twice")
    return names


def _domains(npz: NpzReader, count: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """The domains' names, in natural order, and each sample's; none if the file has none."""
    if "domains" not in npz.names:
        return (), None
    values = _per_sample(npz, "domains", count)
    if values.dtype.kind not in "USiu":
        raise UserError(
            f"{npz.path}: domains are {values.dtype}; they must be whole numbers or strings"
        )
    known, domains = np.unique(np.array(strings(values), dtype=np.str_), return_inverse=True)
    names = in_natural_order(strings(known))
    places = np.array([names.index(name) for name in strings(known)], dtype=np.int64)
    return names, places[domains.reshape(count)]


def _chunks(
    images: Iterator[np.ndarray], labels: np.ndarray, domains: np.ndarray | None
) -> Iterator[Chunk]:
    start = 0
    for rows in images:
        span = slice(start, start + len(rows))
        yield Chunk(rows, labels[span], None if domains is None else domains[span])
        start = span.stop
