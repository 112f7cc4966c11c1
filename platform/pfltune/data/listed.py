"""Image files of which a table says what they are."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.source import Decoded, in_chunks
from pfltune.data.squares import digests, in_batches, squares
from pfltune.data.table import Table
from pfltune.errors import UserError


@dataclass(frozen=True)
class Listed:
    """Image files, decoded to squares in the order in which they are listed.

    Attributes:
        files: one per sample.
        columns: what is said of each sample, see :mod:`pfltune.data.columns`.
        class_names: one per class.
        domain_names: one per domain; empty if there are none.
        client_names: one per client; empty if there are none.
        size: side in pixels.
        told: what a user should hear of the table, a line each.
    """

    files: tuple[Path, ...]
    columns: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]
    domain_names: tuple[str, ...]
    client_names: tuple[str, ...]
    size: int
    told: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """The digest of all bytes and of what is said of them; where they lie is none of it."""
        digest = hashlib.sha256()
        for content in digests(self.files):
            digest.update(content)
        for name, values in sorted(self.columns.items()):
            digest.update(name.encode() + b"\0" + values.tobytes())
        return {
            "listed": digest.hexdigest(),
            "size": self.size,
            "classes": self.class_names,
            "domains": self.domain_names,
            "clients": self.client_names,
        }

    def notes(self) -> tuple[str, ...]:
        """What is in the table and is not read, and what became of labels."""
        return self.told

    def decode(self) -> Decoded:
        """Decode the images; if all of them are gray they keep their one channel."""
        found = squares(in_batches(self.files, self.size), self.size)
        return Decoded(
            class_names=self.class_names,
            chunks=in_chunks(found.images, {**self.columns, **found.sizes}),
            domain_names=self.domain_names,
            notes=found.notes,
            client_names=self.client_names,
        )


def see_files(table: Table, files: Sequence[Path], rows: Sequence[int]) -> None:
    """See that files are there, each once.

    Args:
        table: names them, one per row.
        files: of all rows.
        rows: places of those that are read.

    Raises:
        UserError: with the first row of which that is not so.
    """
    first: dict[str, int] = {}
    for place in rows:
        path = os.path.normpath(files[place])
        if first.setdefault(path, place) != place:
            raise UserError(
                f"{table.at(place)}: {path} is already in row {table.rows[first[path]]}; an image "
                "is one sample, with one label"
            )
    missing = [place for place in rows if not _is_file(files[place])]
    if missing:
        more = f" ({len(missing):,} of {len(rows):,} are missing)" if len(missing) > 1 else ""
        raise UserError(f"{table.at(missing[0])}: there is no file {files[missing[0]]}{more}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, for one
        return False
