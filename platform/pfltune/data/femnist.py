"""FEMNIST as LEAF's scripts write it: handwritten characters by their writers.

Caldas et al., LEAF: a benchmark for federated settings, arXiv 1812.01097. Its JSON files have the
keys users, num_samples and user_data; the latter has for each user x, images of 28×28 gray values
from 0 to 1 in a row, and y, their classes from 0 to 61.
"""

import json
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.columns import NOT_GIVEN, TEST, TRAIN
from pfltune.data.names import in_natural_order, on_one_line
from pfltune.data.source import Chunk, Decoded
from pfltune.data.squares import digests
from pfltune.errors import UserError

SIDE = 28
CLASSES = (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase)
GIVEN = {"train": TRAIN, "test": TEST}
# A hundred writers take some 100 MB of text and five times that in memory.
MOST_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Writer:
    """The samples of one writer in one file.

    Attributes:
        name: the user's.
        images: uint8 (samples, 1, 28, 28).
        labels: int64 (samples,).
        part: which they are given for.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    part: int


@dataclass(frozen=True)
class Femnist:
    """LEAF's files in a folder: in its train and test if both are there, in all_data, or in it.

    Attributes:
        root: the folder, LEAF's data/femnist/data or a copy of what is in it.
    """

    root: Path

    def identity(self) -> dict[str, Any]:
        """The digests of the files, and what their folders say."""
        files = self._files()
        found = zip(digests([path for path, _ in files]), files, strict=True)
        return {"femnist": [[content.hex(), part] for content, (_, part) in found]}

    def notes(self) -> tuple[str, ...]:
        """Which folders are read, where there is a choice."""
        if self._is_split() and (self.root / "all_data").is_dir():
            return ("train and test are read, all_data beside them is not",)
        return ()

    def decode(self) -> Decoded:
        """Read the files, one after another, into memory: as JSON they would not fit there."""
        writers = [writer for path, part in self._files() for writer in _writers(path, part)]
        names = in_natural_order({writer.name for writer in writers})
        writers = [writer for writer in writers if len(writer.labels)]
        number = {name: place for place, name in enumerate(names)}
        return Decoded(
            class_names=CLASSES,
            chunks=(_chunk(writer, number[writer.name], self._is_split()) for writer in writers),
            client_names=names,
        )

    def _is_split(self) -> bool:
        return all((self.root / name).is_dir() for name in GIVEN)

    def _files(self) -> list[tuple[Path, int]]:
        """LEAF's files in the order of their names, and the part that each is given for."""
        if self._is_split():
            found = [(p, part) for name, part in GIVEN.items() for p in _json(self.root / name)]
        else:
            folder = self.root / "all_data"
            found = [(p, NOT_GIVEN) for p in _json(folder if folder.is_dir() else self.root)]
        if not found:
            raise UserError(
                f"{self.root} has none of LEAF's files: all_data_0.json and so on, in it or in "
                "all_data, or in train and test"
            )
        return found


def _json(folder: Path) -> list[Path]:
    try:
        names = [path.name for path in folder.iterdir() if path.suffix == ".json"]
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error
    return [folder / name for name in in_natural_order(names) if not name.startswith(".")]


def _chunk(writer: Writer, client: int, given: bool) -> Chunk:
    count = len(writer.labels)
    splits = np.full(count, writer.part, np.uint8) if given else None
    return Chunk(
        writer.images, writer.labels, clients=np.full(count, client, np.int64), splits=splits
    )


def _writers(path: Path, part: int) -> Iterator[Writer]:
    content = _content(path)
    try:
        users, data = content["users"], content["user_data"]
        samples = [(str(user), list(data[user]["x"]), list(data[user]["y"])) for user in users]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is none of LEAF's files: it must have users, and x and y of each in user_data"
        ) from error
    for user, x, y in samples:
        if len(x) != len(y):
            raise UserError(f"{path}: {on_one_line(user)} has {len(x)} images and {len(y)} labels")
        yield Writer(user, _images(path, user, x), _labels(path, user, y), part)


def _content(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"{path} has {size:,} bytes; at most {MOST_BYTES:,} are read at once")
        with path.open(encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON or is damaged: {on_one_line(str(error))}") from error


def _images(path: Path, user: str, x: Sequence[Any]) -> np.ndarray:
    try:
        values = np.array(x, dtype=np.float64).reshape(len(x), SIDE * SIDE)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path}: the images of {on_one_line(user)} are not {SIDE * SIDE} numbers each"
        ) from error
    if not ((values >= 0) & (values <= 1)).all():
        raise UserError(
            f"{path}: the images of {on_one_line(user)} run from {values.min():g} to "
            f"{values.max():g}; LEAF's run from 0 to 1"
        )
    return np.round(values * 255).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)


def _labels(path: Path, user: str, y: Sequence[Any]) -> np.ndarray:
    wrong = [label for label in y if type(label) is not int or not 0 <= label < len(CLASSES)]
    if wrong:
        raise UserError(
            f"{path}: {on_one_line(user)} has the label {on_one_line(str(wrong[0]))}; it must be "
            f"from 0 to {len(CLASSES) - 1}"
        )
    return np.array(y, dtype=np.int64)
