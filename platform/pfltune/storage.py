"""Bytes under names, on this machine or in an object store: whole or not at all."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from pfltune.errors import UserError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

PARTIAL = re.compile(r"\.pfltune-[0-9a-f]{32}\.partial")
"""Names of what is being written, which no file of anybody else has."""


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Write ``target`` whole or not at all; it survives a power cut from the block's end on.

    The block is given the path of a file beside it to write. Who reads meanwhile finds the old file
    or the new one; a link at ``target`` is replaced, not followed.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".pfltune-{uuid4().hex}.partial"
    try:
        yield partial
        sync(partial)
        partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync(target.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, see :func:`whole`."""
    with whole(path) as partial:
        partial.write_bytes(content)


def remove_files(folder: Path, names: Iterable[str], with_folder: bool = False) -> None:
    """Remove files of ours by name; if that is asked for, the folder too, unless more is in it."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    if with_folder:
        Folder(folder).remove_if_empty()


class Storage(Protocol):
    """A flat folder of named bytes, which one process at a time writes.

    What the place itself refuses (a full disk, no permission, no network) is raised as ``OSError``.
    """

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` under ``name``; who reads meanwhile finds the old bytes or the new."""

    def read(self, name: str) -> bytes:
        """What is under ``name``.

        Raises:
            FileNotFoundError: nothing is.
        """

    def names(self) -> list[str]:
        """All names, sorted; none if the folder does not exist."""

    def remove(self, name: str) -> None:
        """Remove what is under ``name``, if anything is."""

    def is_empty(self) -> bool:
        """Whether there is nothing in it, no folder either; so is one that does not exist."""

    def remove_if_empty(self) -> None:
        """Remove the folder itself, unless there is something in it."""


def open_storage(place: str, *parts: str) -> Storage:
    """The folder ``parts`` below ``place``, which is made when something is written.

    Args:
        place: a path, or an address that pyarrow knows: s3://, gs://, abfs://, hdfs://, file://.
        parts: names of folders below it.

    Raises:
        UserError: nothing is known of such an address.
        ValueError: a part leads elsewhere than one folder down.
    """
    for part in parts:
        _check(part)
    if "://" not in place:
        return Folder(Path(place, *parts))
    from pyarrow.fs import FileSystem, LocalFileSystem

    try:
        filesystem, path = FileSystem.from_uri(place)
    except (ValueError, NotImplementedError, ImportError) as error:
        raise UserError(
            f"cannot store anything at {place!r} ({' '.join(str(error).split())}); give a folder, "
            "or an address that begins with s3://, gs://, abfs://, hdfs:// or file://"
        ) from error
    if isinstance(filesystem, LocalFileSystem):
        return Folder(Path(path, *parts))
    return Remote(filesystem, "/".join([path.rstrip("/"), *parts]))


class Folder:
    """A folder of this machine, or of one that it mounts; what is written survives a power cut.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """See :class:`Storage`; what an interrupted write left behind is removed first."""
        target = self._at(name)
        if self._path.exists():
            for leftover in filter(is_partial, self._path.iterdir()):
                leftover.unlink(missing_ok=True)
        write_whole(target, data)

    def read(self, name: str) -> bytes:
        """See :class:`Storage`."""
        return self._at(name).read_bytes()

    def names(self) -> list[str]:
        """See :class:`Storage`."""
        if not self._path.exists():
            return []
        files = (path for path in self._path.iterdir() if path.is_file())
        return sorted(path.name for path in files if not is_partial(path))

    def remove(self, name: str) -> None:
        """See :class:`Storage`."""
        self._at(name).unlink(missing_ok=True)

    def is_empty(self) -> bool:
        """See :class:`Storage`."""
        return not self._path.exists() or not any(self._path.iterdir())

    def remove_if_empty(self) -> None:
        """See :class:`Storage`."""
        if self._path.exists() and self.is_empty():
            self._path.rmdir()

    def _at(self, name: str) -> Path:
        return self._path / _check(name)


class Remote:
    """A folder of any file system of pyarrow, meant for object stores.

    In an object store an object appears, or takes the place of another, when its stream is closed:
    whole, and without a temporary name. But an error on the way closes the stream too, and hdfs://
    shows what is being written; whoever must know compares a digest.

    Args:
        filesystem: the file system.
        path: the folder in it.
    """

    def __init__(self, filesystem: "FileSystem", path: str) -> None:
        self._filesystem = filesystem
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """See :class:`Storage`."""
        target = self._at(name)
        try:
            stream = self._filesystem.open_output_stream(target)
        except FileNotFoundError:  # object stores have no folders that would have to be made
            self._filesystem.create_dir(self._path, recursive=True)
            stream = self._filesystem.open_output_stream(target)
        with stream:
            stream.write(data)

    def read(self, name: str) -> bytes:
        """See :class:`Storage`."""
        with self._filesystem.open_input_stream(self._at(name)) as stream:
            return stream.read()

    def names(self) -> list[str]:
        """See :class:`Storage`."""
        from pyarrow.fs import FileSelector

        found = self._filesystem.get_file_info(FileSelector(self._path, allow_not_found=True))
        return sorted(info.base_name for info in found if info.is_file)

    def remove(self, name: str) -> None:
        """See :class:`Storage`."""
        try:
            self._filesystem.delete_file(self._at(name))
        except FileNotFoundError:
            return

    def is_empty(self) -> bool:
        """See :class:`Storage`."""
        from pyarrow.fs import FileSelector

        return not self._filesystem.get_file_info(FileSelector(self._path, allow_not_found=True))

    def remove_if_empty(self) -> None:
        """See :class:`Storage`."""
        if self.is_empty():
            with suppress(FileNotFoundError):
                self._filesystem.delete_dir(self._path)

    def _at(self, name: str) -> str:
        return f"{self._path}/{_check(name)}"


def _check(name: str) -> str:
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is no name of a file or folder")
    return name


def is_partial(path: Path) -> bool:
    """Whether a file is what an interrupted write of ours left behind."""
    return PARTIAL.fullmatch(path.name) is not None


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
