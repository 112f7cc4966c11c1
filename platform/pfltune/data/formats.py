"""The files of CIFAR, SVHN and MNIST's relatives, read in chunks; their checksums were checked."""

import gzip
import pickle
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pfltune.data.source import Chunk, spans
from pfltune.errors import UserError

Stream = IO[bytes] | gzip.GzipFile


def cifar_names(path: Path, member: str, key: str) -> tuple[str, ...]:
    """The names of the classes in CIFAR's archive."""
    with tarfile.open(path) as archive:
        names: list[bytes] = _unpickled(archive, member, path.parent)[key.encode()]
    return tuple(name.decode() for name in names)


def cifar_chunks(path: Path, batches: Sequence[str]) -> Iterator[Chunk]:
    """The batches of CIFAR's archive, one after another."""
    with tarfile.open(path) as archive:
        for batch in batches:
            entry = _unpickled(archive, batch, path.parent)
            labels = entry[b"labels"] if b"labels" in entry else entry[b"fine_labels"]
            images, numbers = entry[b"data"].reshape(-1, 3, 32, 32), np.array(labels)
            for span in spans(len(images), images[0].size):
                yield Chunk(images[span], numbers[span])


def _unpickled(archive: tarfile.TarFile, member: str, scratch: Path) -> Any:
    """What Python 2 pickled.

    CIFAR-100 is one pickle of 150 MB. Read from a real file by the unpickler in Python, its bytes
    are in memory once; the one in C, or a compressed stream, would hold them two or three times.
    """
    source = archive.extractfile(member)
    if source is None:
        raise UserError(f"{scratch} holds an archive without the file {member}")
    with source, tempfile.TemporaryFile(dir=scratch) as file:
        shutil.copyfileobj(source, file)
        file.seek(0)
        try:
            return _ArraysOnly(file, encoding="bytes").load()
        except pickle.UnpicklingError as error:
            raise UserError(f"{member} in the archive in {scratch}: {error}") from error


_OF_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
"""The names in the pickles of CIFAR; numpy has moved one of them since."""


class _ArraysOnly(pickle._Unpickler):
    """Reads arrays and plain values; no other code is ever called."""

    def find_class(self, module: str, name: str) -> Any:
        """What an array is rebuilt with.

        Raises:
            UnpicklingError: anything else is asked for.
        """
        if (module, name) not in _OF_ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return _OF_ARRAYS[module, name]


def svhn_chunks(paths: Sequence[Path]) -> Iterator[Chunk]:
    """MATLAB files with X (height, width, channels, samples) and y, one in memory at a time."""
    for path in paths:
        yield from _svhn_file(path)


def _svhn_file(path: Path) -> Iterator[Chunk]:
    from scipy.io import loadmat

    arrays = loadmat(path, variable_names=("X", "y"))
    pixels = arrays["X"].transpose(3, 2, 0, 1)
    # SVHN calls the digit 0 class 10.
    labels = arrays["y"].reshape(-1).astype(np.int64) % 10
    for span in spans(len(labels), pixels[0].size):
        yield Chunk(pixels[span], labels[span])


def fashion_chunks(paths: Sequence[Path]) -> Iterator[Chunk]:
    """Files in MNIST's format: images, their labels, images, their labels."""
    for images, labels in zip(paths[::2], paths[1::2], strict=True):
        with gzip.open(images) as pixels, gzip.open(labels) as numbers:
            yield from _idx_chunks(pixels, numbers)


def emnist_chunks(path: Path, split: str) -> Iterator[Chunk]:
    """Train and test of a ``split`` such as balanced, out of EMNIST's one archive."""
    with zipfile.ZipFile(path) as archive:
        for part in ("train", "test"):
            stem = f"gzip/emnist-{split}-{part}"
            with (
                archive.open(f"{stem}-images-idx3-ubyte.gz") as images,
                archive.open(f"{stem}-labels-idx1-ubyte.gz") as labels,
                gzip.open(images) as pixels,
                gzip.open(labels) as numbers,
            ):
                yield from _idx_chunks(pixels, numbers)


def _idx_chunks(images: Stream, labels: Stream) -> Iterator[Chunk]:
    count, height, width = _idx_shape(images)
    _idx_shape(labels)
    for span in spans(count, height * width):
        samples = span.stop - span.start
        pixels = np.frombuffer(images.read(samples * height * width), np.uint8)
        numbers = np.frombuffer(labels.read(samples), np.uint8)
        yield Chunk(pixels.reshape(samples, 1, height, width), numbers)


def _idx_shape(stream: Stream) -> tuple[int, ...]:
    """Read the head: two zeros, the type (always bytes here), the number of axes, their lengths."""
    (axes,) = struct.unpack(">3xB", stream.read(4))
    return struct.unpack(f">{axes}I", stream.read(4 * axes))
