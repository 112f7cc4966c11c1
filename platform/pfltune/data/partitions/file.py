"""Clients that stand in a file: another tool's, a colleague's, or an earlier scenario's."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pfltune.data.assignment import content_of, read
from pfltune.data.columns import NOBODY, NOT_GIVEN
from pfltune.data.dataset import Dataset
from pfltune.data.home import own_path
from pfltune.data.partitions.base import given_split
from pfltune.data.partitions.given import Given, Owners
from pfltune.errors import UserError


class FromFile(Given):
    """Which client has which sample, and for which part, as a file says: see its how-to.

    The digest of the file is taken when a scenario is read, and is what counts of it: a comparison
    knows its clients again wherever the file lies, and never goes on with others.
    """

    kind: Literal["file"]
    path: str = Field(min_length=1, description="a .csv or .json file of samples and clients")
    digest: str = Field(
        "", pattern="^([0-9a-f]{32})?$", description="of the file's content; filled in by itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_digest(cls, raw: Any) -> Any:
        """A record, which has the digest, is read where the file is not."""
        if not isinstance(raw, dict) or raw.get("digest") or not isinstance(raw.get("path"), str):
            return raw
        try:
            return {**raw, "digest": _digest(content_of(own_path(raw["path"])))}
        except UserError as error:
            raise ValueError(str(error)) from error

    def by_content(self) -> dict[str, Any]:
        """All settings as plain data, the same wherever the file lies."""
        return {name: value for name, value in super().by_content().items() if name != "path"}

    def describe(self) -> str:
        """Kind and settings in one line, without folders."""
        clients = "" if self.clients is None else f", clients {self.clients}"
        return f"file {Path(self.path).name}{clients}, min_samples {self.min_samples}"

    def owners(self, dataset: Dataset) -> Owners:
        """Those of the file, checked against the data set."""
        path = own_path(self.path)
        content = content_of(path)
        if _digest(content) != self.digest:
            raise UserError(
                f"{path} is not what it was: partition.digest={self.digest} is of other content; "
                "bring that file back, or leave partition.digest out to take this one"
            )
        found, number = read(content, path), len(dataset.labels)
        if len(found.samples) and found.samples.max() >= number:
            raise UserError(
                f"{path}: sample {found.samples.max()}; {dataset.name!r} has 0 to {number - 1}"
            )
        if found.data and found.data != dataset.digest:
            raise UserError(
                f"{path} was written for other data than {dataset.name!r} is now (other images, "
                "classes, order or size); without its first line it is read all the same"
            )
        clients = np.full(number, NOBODY, np.int64)
        clients[found.samples] = found.clients
        splits = given_split(dataset)
        if found.splits is not None:
            splits = np.full(number, NOT_GIVEN, np.uint8)
            splits[found.samples] = found.splits
        return Owners(found.names, clients, splits, found.notes)

    def may_set_aside(self, dataset: Dataset) -> np.ndarray:
        """What the file gives to nobody."""
        nobodys: np.ndarray = self.owners(dataset).clients == NOBODY
        return nobodys


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
