"""Arrays in files, written and read a chunk at a time, never unpickled."""

import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from pfltune.data.source import spans
from pfltune.errors import UserError

# What zipfile, its decompressors and numpy's header parser raise on damaged files.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


class NpyWriter:
    """Appends rows to a new .npy file; on leaving, the file has its length and is on the disk."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self.rows = 0
        self._dtype = np.dtype(dtype)
        self._shape: tuple[int, ...] = ()
        self._file = path.open("wb")

    def __enter__(self) -> "NpyWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                self._file.seek(0)
                self._write_header()
                self._file.flush()
                os.fsync(self._file.fileno())

    def append(self, rows: np.ndarray) -> None:
        """Write ``rows``; all calls must agree in shape but for the first axis."""
        if not self.rows:
            self._shape = rows.shape[1:]
            self._write_header()
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} do not fit those of {self._shape}")
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.rows += len(rows)

    def _write_header(self) -> None:
        # numpy pads headers so that the first axis can grow: the last one overwrites the first.
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.rows, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


@dataclass(frozen=True)
class Header:
    """What an .npy file says before its numbers."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Size of the numbers."""
        # In Python's integers: a damaged header may name a shape that overflows numpy's.
        count = self.dtype.itemsize
        for length in self.shape:
            count *= length
        return count


class NpzReader:
    """The arrays of an .npz file; whatever is wrong with it becomes a UserError of one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the arrays are called, in the order of the file."""
        with self._told(), zipfile.ZipFile(self.path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
        return tuple(name.removesuffix(".npy") for name in members)

    def require(self, name: str) -> None:
        """Refuse the file if it has no array called ``name``."""
        if name not in self.names:
            held = ", ".join(self.names) or "no arrays"
            raise UserError(f"{self.path} has no array {name!r}; it holds: {held}")

    def header(self, name: str) -> Header:
        """Shape and type of an array, without reading its numbers."""
        with self._member(name) as (_, header):
            return header

    def read(self, name: str) -> np.ndarray:
        """An array in memory: for small ones."""
        with self._member(name) as (stream, _):
            return _whole(stream)

    def chunks(self, name: str) -> Iterator[np.ndarray]:
        """The rows of an array of at least one axis, some at a time."""
        with self._member(name) as (stream, header):
            # In Fortran order the first axis runs fastest: there are no rows to read one by one.
            whole = _whole(stream) if header.fortran else None
            row_bytes = header.bytes // max(1, header.shape[0])
            for span in spans(header.shape[0], row_bytes):
                if whole is not None:
                    yield whole[span]
                else:
                    shape = (span.stop - span.start, *header.shape[1:])
                    data = stream.read(shape[0] * row_bytes)
                    yield np.frombuffer(data, header.dtype).reshape(shape)

    @contextmanager
    def _member(self, name: str) -> Iterator[tuple[IO[bytes], Header]]:
        self.require(name)
        with self._told(name), zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as stream:
                header = _read_header(stream)
                if header.dtype.hasobject:
                    raise UserError(
                        f"{self.path}: {name} holds Python objects, which are never unpickled; "
                        "save whole numbers or strings"
                    )
                if stream.tell() + header.bytes != member.file_size:
                    raise ValueError(f"{member.file_size} bytes do not fit shape {header.shape}")
                yield stream, header

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        array = f" (in {name})" if name else ""
        try:
            yield
        except FileNotFoundError as error:
            raise UserError(f"there is no file {self.path}") from error
        except (PermissionError, IsADirectoryError) as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from error
        except _DAMAGE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"{self.path} is no npz file, is damaged or was cut short{array}: {reason}"
            ) from error


def _read_header(stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return Header(*np.lib.format.read_array_header_1_0(stream))
    if version == (2, 0):
        return Header(*np.lib.format.read_array_header_2_0(stream))
    raise ValueError(f"version {version} of the .npy format is not for plain arrays")


def _whole(stream: IO[bytes]) -> np.ndarray:
    stream.seek(0)
    array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array
