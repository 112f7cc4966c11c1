"""Encoded images of whatever kind, decoded to squares of one size by several threads."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pfltune.data.looks import Looks, look_at
from pfltune.data.pictures import Picture, decode_image
from pfltune.data.source import spans
from pfltune.errors import UserError

# Images are read by this many threads, one image each; Pillow lets go of the interpreter.
THREADS = min(8, os.cpu_count() or 1)
COLOURS = 3

Batches = Callable[[], Iterable[Sequence[Picture]]]
"""Begins to go through all images in their order, some at a time."""


class Squares(NamedTuple):
    """Images of one size, some at a time.

    Attributes:
        images: uint8 (some, channels, size, size).
        sizes: columns of how large each image is in its file.
        notes: what decoding does to them, a line each.
    """

    images: Iterator[np.ndarray]
    sizes: Mapping[str, np.ndarray]
    notes: tuple[str, ...]


def squares(batches: Batches, size: int) -> Squares:
    """All images as squares of ``size`` pixels.

    They are gone through twice: what one image becomes depends on what the others are. If all of
    them are gray they keep their one channel.

    Raises:
        UserError: one cannot be read, or too little would be left of them.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        looks = Looks(tuple(look for batch in batches() for look in pool.map(look_at, batch)))
    looks.check()
    return Squares(_decoded(batches, size, looks), looks.sizes, tuple(looks.notes(size)))


def _decoded(batches: Batches, size: int, looks: Looks) -> Iterator[np.ndarray]:
    decode = partial(decode_image, size=size, gray=looks.gray, levels=looks.levels)
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in batches():
            if batch:
                yield np.stack(list(pool.map(decode, batch)))


def in_batches(files: Sequence[Path], size: int) -> Batches:
    """Image files, as many at a time as make a chunk of their squares."""
    return lambda: (files[span] for span in spans(len(files), COLOURS * size**2))


def digests(files: Sequence[Path]) -> Iterator[bytes]:
    """SHA-256 of each file's bytes.

    Raises:
        UserError: one is no file or cannot be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(_digest, files)


def _digest(path: Path) -> bytes:
    try:
        # A pipe would wait for ever.
        if not path.is_file():
            raise UserError(f"{path} is no file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
