"""Data sets of the Hugging Face hub, or in its formats in a folder, by the library ``datasets``."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pfltune.data.columns import NOT_GIVEN, PART_NAMED, counted, named, owners, told_of
from pfltune.data.hub_loading import Splits, loaded
from pfltune.data.labels import Classes, number, one_label_each
from pfltune.data.manifest import wanted
from pfltune.data.names import some_of
from pfltune.data.pictures import Picture, Stored
from pfltune.data.settings import Columns
from pfltune.data.source import Decoded, in_chunks
from pfltune.data.squares import digests, squares
from pfltune.data.table import places_of
from pfltune.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

MUST = ("image", "label")
MAY = ("client", "domain")
# At a time: images, and labels alone.
BATCH, ROWS = 256, 10_000
UNKNOWN = (None, -1)
"""What stands for a class that nobody tells."""


@dataclass(frozen=True)
class _Rows:
    """All that the rows of a data set say, but for the pixels.

    Attributes:
        digest: of the encoded images.
        columns: what is said of each sample.
        names: of classes, domains and clients, by column.
        told: what a user should hear, a line each.
    """

    digest: str
    columns: dict[str, np.ndarray]
    names: dict[str, tuple[str, ...]]
    told: tuple[str, ...]


@dataclass(frozen=True)
class Hub:
    """A data set that the library ``datasets`` reads.

    Attributes:
        name: NAME or NAME:CONFIG on the hub, or a folder with what it saves or with Parquet files.
        columns: what its columns are called where they are not image, label, client and domain.
        size: side in pixels at which images are decoded.
    """

    name: str
    columns: Columns
    size: int

    def identity(self) -> dict[str, Any]:
        """The digest of all images, and what is said of them."""
        rows = self._rows
        said = {n: hashlib.sha256(v.tobytes()).hexdigest() for n, v in rows.columns.items()}
        names = {name: list(names) for name, names in rows.names.items()}
        return {"hf": rows.digest, "said": said, "names": names, "size": self.size}

    def notes(self) -> tuple[str, ...]:
        """What became of splits, and which columns are not read."""
        return self._rows.told

    def decode(self) -> Decoded:
        """Decode the images; if all of them are gray they keep their one channel."""
        rows = self._rows
        found = squares(self._pictures, self.size)
        return Decoded(
            class_names=rows.names["labels"],
            chunks=in_chunks(found.images, {**rows.columns, **found.sizes}),
            domain_names=rows.names.get("domains", ()),
            notes=found.notes,
            client_names=rows.names.get("clients", ()),
        )

    @cached_property
    def _whole(self) -> Splits:
        return loaded(self.name)

    @cached_property
    def _hidden(self) -> frozenset[str]:
        """Splits none of whose samples has a class, as a challenge publishes its test."""
        hidden = dict.fromkeys(self._whole.by_name, True)
        for split, _, table in self._whole.tables([self._names["label"]], ROWS):
            hidden[split] &= all(label in UNKNOWN for label in table.column(0).to_pylist())
        secret = frozenset(split for split, every in hidden.items() if every)
        return secret if len(secret) < len(hidden) else frozenset()

    @cached_property
    def _splits(self) -> Splits:
        """Those that are read."""
        return self._whole.without(self._hidden)

    @cached_property
    def _names(self) -> dict[str, str]:
        """What the columns that are read are called, by what they are for."""
        header = list(self._whole.features)
        asked = wanted(self.columns, MUST, MAY)
        places = places_of(f"data set hf:{self.name}", header, asked)
        return {purpose: header[place] for purpose, place in places.items()}

    @cached_property
    def _rows(self) -> _Rows:
        digest = hashlib.sha256()
        for pictures in self._pictures():
            for content in _contents(pictures):
                digest.update(content)
        values: dict[str, list[Any]] = {name: [] for name in self._names if name != "image"}
        parts: list[int] = []
        for split, _, table in self._tables([*values]):
            parts += [PART_NAMED.get(split.lower(), NOT_GIVEN)] * len(table)
            for purpose, found in values.items():
                found += table.column(self._names[purpose]).to_pylist()
        return self._said(digest.hexdigest(), values, np.array(parts, np.uint8))

    def _said(self, digest: str, values: dict[str, list[Any]], parts: np.ndarray) -> _Rows:
        classes = self._classes(values["label"])
        columns, names = {"labels": classes.numbers}, {"labels": classes.names}
        told = [note for note in classes.notes if "are words" not in note]
        for purpose, read in (("domain", named), ("client", owners)):
            if purpose in values:
                texts = np.array(self._texts(purpose, values[purpose]))
                names[f"{purpose}s"], columns[f"{purpose}s"] = read(texts)
        if "client" in values:
            told.append(
                f"column {self._names['client']}: {told_of(names['clients'], columns['clients'])}"
            )
        if self._hidden:
            told.append(
                f"passed over, since no label is told: split {some_of(sorted(self._hidden))}"
            )
        if len(set(parts.tolist())) > 1:
            columns["splits"] = parts
            told.append(f"its splits are given, {counted(parts)}")
        unread = [name for name in self._splits.features if name not in self._names.values()]
        if unread:
            told.append(f"columns that are not read: {some_of(unread)}")
        return _Rows(digest, columns, names, tuple(told))

    def _classes(self, labels: list[Any]) -> Classes:
        where = f"hf:{self.name}: {self._names['label']}"
        if None in labels:
            raise UserError(f"{where}[{labels.index(None)}] is missing")
        names = self._splits.class_names(self._names["label"])
        return number(one_label_each(np.array(labels), where), names, where)

    def _texts(self, purpose: str, values: list[Any]) -> list[str]:
        """A column as texts; a missing value is an empty one."""
        names = self._splits.class_names(self._names[purpose])
        if names:
            values = [None if value is None else names[value] for value in values]
        return ["" if value is None else str(value) for value in values]

    def _pictures(self) -> Iterator[list[Picture]]:
        for split, start, table in self._tables(["image"]):
            column = table.column(self._names["image"]).to_pylist()
            yield [
                _picture(f"hf:{self.name}, {split}, row {row}", value)
                for row, value in enumerate(column, start=start)
            ]

    def _tables(self, purposes: Sequence[str]) -> "Iterator[tuple[str, int, pa.Table]]":
        """Some rows at a time: their split, the number of the first of them, and they."""
        names = [self._names[purpose] for purpose in purposes]
        return self._splits.tables(names, BATCH)


def _picture(where: str, value: Any) -> Picture:
    """An image as Arrow has it: its bytes, or the place of a file on this machine.

    Raises:
        UserError: it is neither.
    """
    content = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(content, bytes):
        return Stored(where, content)
    path = value.get("path") if isinstance(value, dict) else None
    if path and Path(path).is_file():
        return Path(path)
    raise UserError(f"{where} holds no image: neither its bytes nor the place of a file")


def _contents(pictures: Sequence[Picture]) -> Iterator[bytes]:
    """The digest of each image."""
    for picture in pictures:
        if isinstance(picture, Stored):
            yield hashlib.sha256(picture.content).digest()
        else:
            yield from digests([picture])
