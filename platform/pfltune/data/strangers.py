"""Data sets of strangers' code: asked, checked, and read like any other."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pfltune.data.cache import cached, in_memory
from pfltune.data.columns import NOBODY, NOT_GIVEN, PARTS
from pfltune.data.dataset import Dataset
from pfltune.data.selection import Selected
from pfltune.data.settings import DataSource
from pfltune.data.source import Chunk, Decoded, Source
from pfltune.errors import UserError
from pfltune.plugins import running, short_name
from pfltune.sources import code_digest

LARGEST_SIDE = np.iinfo(np.int32).max


def from_code(data: DataSource) -> Dataset:
    """The samples of a stranger's data set.

    Raises:
        UserError: its code fails, or the samples are not what they must be.
    """
    name = short_name(data.reference)
    with running(data):
        keeps = data.identity()
        source: Source = _Checked(data, keeps)
        if data.classes is not None or data.domains is not None:
            source = Selected(source, data.classes, data.domains)
        return in_memory(name, source) if keeps is None else cached(name, source)


class _Checked:
    """A stranger's data set as a source, see :class:`pfltune.data.source.Source`."""

    def __init__(self, data: DataSource, keeps: Any) -> None:
        self._data = data
        self._keeps = keeps

    def identity(self) -> dict[str, Any]:
        """Its code, its settings and what it says itself."""
        settings = self._data.by_content()
        return {"code": code_digest(type(self._data)), "settings": settings, "own": self._keeps}

    def notes(self) -> tuple[str, ...]:
        """Its own."""
        return tuple(self._data.notes())

    def decode(self) -> Decoded:
        """Begin to read, with a look at every chunk."""
        decoded = self._data.decode()
        if not isinstance(decoded, Decoded):
            raise self._wrong(f"decode() gives {type(decoded).__name__}, not pfltune.Decoded")
        kinds = {
            "class": decoded.class_names,
            "domain": decoded.domain_names,
            "client": decoded.client_names,
        }
        for kind, names in kinds.items():
            if not all(isinstance(n, str) for n in names) or len({*names}) < len(names):
                raise self._wrong(f"names of a {kind} must be different texts: {list(names)}")
        return replace(
            decoded,
            class_names=tuple(decoded.class_names),
            domain_names=tuple(decoded.domain_names),
            client_names=tuple(decoded.client_names),
            chunks=self._looked_at(decoded),
        )

    def _looked_at(self, decoded: Decoded) -> Iterator[Chunk]:
        named = {"domains": decoded.domain_names, "clients": decoded.client_names}
        for chunk in decoded.chunks:
            self._check_images(chunk.images)
            self._check_numbers("labels", chunk.labels, chunk, len(decoded.class_names))
            for what, names in named.items():
                column = getattr(chunk, what)
                if names or column is not None:
                    lowest = NOBODY if what == "clients" else 0
                    self._check_numbers(what, column, chunk, len(names), lowest)
            if chunk.splits is not None:
                self._check_splits(chunk.splits, chunk)
            for what in ("widths", "heights"):
                if (sides := getattr(chunk, what)) is not None:
                    self._check_numbers(what, sides, chunk, LARGEST_SIDE + 1, lowest=1)
            yield chunk

    def _check_images(self, images: Any) -> None:
        told = _told(images)
        if told != "uint8" or images.ndim != 4:
            shape = f" of shape {images.shape}" if isinstance(images, np.ndarray) else ""
            raise self._wrong(
                f"images are {told}{shape}; they must be a uint8 array (samples, channels, "
                "height, width)"
            )

    def _check_numbers(
        self, what: str, values: Any, chunk: Chunk, kinds: int, lowest: int = 0
    ) -> None:
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
            raise self._wrong(f"{what} are {_told(values)}; they must be an array of whole numbers")
        if values.shape != (len(chunk.images),):
            raise self._wrong(f"{len(chunk.images)} images but {what} of shape {values.shape}")
        if len(values) and not lowest <= values.min() <= values.max() < kinds:
            odd = values.min() if values.min() < lowest else values.max()
            raise self._wrong(f"there is {odd} among the {what}; possible: {lowest} to {kinds - 1}")

    def _check_splits(self, splits: np.ndarray, chunk: Chunk) -> None:
        self._check_numbers("splits", splits, chunk, NOT_GIVEN + 1)
        odd = np.setdiff1d(splits, [*range(len(PARTS)), NOT_GIVEN])
        if len(odd):
            raise self._wrong(
                f"there is {odd[0]} among the splits; possible: 0 (train), 1 (val), 2 (test), "
                f"{NOT_GIVEN} (not given)"
            )

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self._data.called}: {what}")


def _told(values: Any) -> str:
    return str(values.dtype) if isinstance(values, np.ndarray) else type(values).__name__
