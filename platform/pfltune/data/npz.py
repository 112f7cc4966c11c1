"""Data sets as arrays in an .npz file: one's own, and MedMNIST's."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.arrays import NpzReader
from pfltune.data.columns import NOT_GIVEN, PART_NAMED, counted, given_parts, named, owners, told_of
from pfltune.data.labels import Classes, number, one_label_each, strings
from pfltune.data.names import some_of
from pfltune.data.pixels import Pixels
from pfltune.data.source import Decoded, in_chunks
from pfltune.errors import UserError

SPLITS = ("train", "val", "valid", "validation", "test")
# Arrays of images and of labels, alone or of each split: those here, MedMNIST's and Keras'.
PAIRS = (("images", "labels"), ("x", "y"))
FORMS = ("{name}", "{split}_{name}", "{name}_{split}")
CLIENTS = (
    *("clients", "client", "client_ids", "client_id", "users", "user", "user_ids", "user_id"),
    *("writers", "writer", "writer_ids", "writer_id"),
)
# What an array is called that says of each sample whose it is, or which part it is given for.
WHOSE = {"domains": ("domains",), "clients": CLIENTS, "splits": ("splits", "split")}


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


@dataclass(frozen=True)
class _Pair:
    """What the arrays of some images and of their labels are called.

    Attributes:
        images, labels: their names in the file.
        form: of the names of all arrays about these samples, such as ``train_{name}``.
        part: that their names give the samples for.
    """

    images: str
    labels: str
    form: str
    part: int


@dataclass(frozen=True)
class _Column:
    """What a file says of each sample beside its label.

    Attributes:
        names: of the arrays that say it.
        values: (samples,), of all pairs; words, unless they came from the names of arrays.
    """

    names: tuple[str, ...]
    values: np.ndarray


def decode_npz(
    path: Path, class_names: tuple[str, ...] | None = None, channels: str | None = None
) -> Decoded:
    """Check everything in an .npz file but the pixels, and read these in chunks.

    The arrays are ``images`` and ``labels``, or MedMNIST's ``train_images``, ``train_labels``,
    ``val_images``, …, or Keras' ``x_train``, ``y_train``, …, which are merged and are given splits.
    Images are (samples, height, width), or (samples, height, width, channels) with 1 or 3 channels;
    (samples, channels, height, width) is understood where the last axis can be no channels. They
    are uint8, or what can become it, see :class:`Pixels`. Labels are one whole number, one word or
    one one-hot row per sample. Optional are ``class_names`` and, one per sample, ``domains`` and
    ``clients`` (or as :data:`CLIENTS` has it), numbers or words, and ``splits``, see
    :func:`pfltune.data.columns.given_parts`.

    Args:
        path: the file.
        class_names: one per class; None takes the file's, and without those the labels.
        channels: "first" or "last", where the shape of the images does not say.

    Raises:
        UserError: the file is missing or damaged, or an array is missing or not like that.
    """
    npz = NpzReader(path)
    pairs = _pairs_of_arrays(npz)
    pixels = Pixels(npz, tuple(pair.images for pair in pairs), channels)
    counts = pixels.counts()
    if class_names is None and "class_names" in npz.names:
        class_names = _class_names(npz)
    classes = _classes(npz, [pair.labels for pair in pairs], counts, class_names)
    found = {what: _column(npz, pairs, counts, names) for what, names in WHOSE.items()}
    names: dict[str, tuple[str, ...]] = {}
    columns = {"labels": classes.numbers}
    for what, read in (("domains", named), ("clients", owners)):
        if (column := found[what]) is not None:
            names[what], columns[what] = read(column.values)
    splits = _splits(npz, pairs, counts, found["splits"])
    if splits is not None:
        columns["splits"] = splits
    client_names = names.get("clients", ())
    images, done = pixels.chunks()
    return Decoded(
        classes.names,
        in_chunks(images, columns),
        names.get("domains", ()),
        (*_told_of_arrays(npz, pairs, found, columns, client_names), *done, *classes.notes),
        client_names,
    )


def _pairs_of_arrays(npz: NpzReader) -> list[_Pair]:
    """The arrays of images and of labels, in the order in which they are merged."""
    known = _by_lower_case(npz)
    layouts = []
    for form, (images, labels) in product(FORMS, PAIRS):
        splits = SPLITS if "{split}" in form else ("",)
        layout = []
        for split in splits:
            of_split = form.replace("{split}", split)
            image, label = (of_split.format(name=name) for name in (images, labels))
            if image in known:
                part = PART_NAMED.get(split, NOT_GIVEN)
                layout.append(_Pair(known[image], known.get(label, label), of_split, part))
        layouts.append(layout)
    found = [layout for layout in layouts if layout]
    if not found:
        npz.require("images")
    if len(found) > 1:
        raise _unclear(npz, found[0][0].images, found[1][0].images)
    for pair in found[0]:
        npz.require(pair.labels)
    return found[0]


def _by_lower_case(npz: NpzReader) -> dict[str, str]:
    return {name.lower(): name for name in reversed(npz.names)}


def _unclear(npz: NpzReader, one: str, other: str) -> UserError:
    return UserError(f"{npz.path} holds both {one} and {other}; which are meant is not clear")


def _told_of_arrays(
    npz: NpzReader,
    pairs: Sequence[_Pair],
    found: Mapping[str, _Column | None],
    columns: Mapping[str, np.ndarray],
    client_names: tuple[str, ...],
) -> Iterator[str]:
    """Which arrays are merged, which say what, and which are not read."""
    if len(pairs) > 1:
        yield f"{', '.join(pair.images for pair in pairs)} are merged"
    if "splits" in columns:
        yield f"its samples have given splits, {counted(columns['splits'])}"
    if (clients := found["clients"]) is not None:
        told = told_of(client_names, columns["clients"])
        yield f"whose each sample is stands in {', '.join(clients.names)}: {told}"
    if any(npz.header(pair.labels).shape[1:] > (1,) for pair in pairs):
        yield "labels are one-hot rows, and became the number of the column"
    read = {"class_names", *(name for pair in pairs for name in (pair.images, pair.labels))}
    read |= {name for column in found.values() if column for name in column.names}
    unread = [name for name in npz.names if name not in read]
    if unread:
        yield (
            f"arrays that are not read: {some_of(unread)} (whose each sample is can be said by an "
            "array clients or domains, and which part it is given for by splits)"
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


def _column(
    npz: NpzReader, pairs: Sequence[_Pair], counts: Sequence[int], names: Sequence[str]
) -> _Column | None:
    """What an array of one of these names says of all samples, or one beside each pair's images.

    Raises:
        UserError: there are two such arrays, or not one for every pair.
    """
    known = _by_lower_case(npz)
    forms = dict.fromkeys(["{name}", *(pair.form for pair in pairs)])
    found = {f: [known[n] for n in (f.format(name=n) for n in names) if n in known] for f in forms}
    together = [name for each in found.values() for name in each]
    if not together:
        return None
    odd = next((each for each in found.values() if len(each) > 1), None)
    if odd is None and found["{name}"] and len(together) > 1:
        odd = together
    if odd is not None:
        raise _unclear(npz, odd[0], odd[1])
    if found["{name}"]:
        return _Column(tuple(together), _whose(npz, together[0], sum(counts)))
    lacking = next((pair for pair in pairs if not found[pair.form]), None)
    if lacking is not None:
        raise UserError(f"{npz.path} has {together[0]}, but no such array beside {lacking.images}")
    each = [_whose(npz, found[p.form][0], c) for p, c in zip(pairs, counts, strict=True)]
    return _Column(tuple(together), np.concatenate(each))


def _whose(npz: NpzReader, name: str, count: int) -> np.ndarray:
    """An array of words or whole numbers, one per sample, as words."""
    values = _per_sample(npz, name, count)
    if values.dtype.kind not in "USiu":
        raise UserError(
            f"{npz.path}: {name} are {values.dtype}; they must be whole numbers or strings"
        )
    return np.array(strings(values), dtype=np.str_)


def _splits(
    npz: NpzReader, pairs: Sequence[_Pair], counts: Sequence[int], said: _Column | None
) -> np.ndarray | None:
    """The part that each sample is given for; None where nothing is given."""
    parts = [pair.part for pair in pairs]
    by_name = len(set(parts)) > 1
    if said is not None and by_name:
        raise _unclear(npz, said.names[0], pairs[0].images)
    if said is not None:
        given = given_parts(said.values, f"{npz.path}: {said.names[0]}")
        return given if (given != NOT_GIVEN).any() else None
    return np.repeat(np.array(parts, np.uint8), counts) if by_name else None


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
