"""Bytes under names, on this machine or in an object store: whole or not at all."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from pfltune.errors import UserError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

PARTIAL = ".*.partial"


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

    def clear(self) -> None:
        """Remove everything, and the folder itself."""


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
        self._path.mkdir(parents=True, exist_ok=True)
        for leftover in self._path.glob(PARTIAL):
            leftover.unlink(missing_ok=True)
        partial = self._path / PARTIAL.replace("*", uuid4().hex)
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        self._sync()

    def read(self, name: str) -> bytes:
        """See :class:`Storage`."""
        return self._at(name).read_bytes()

    def names(self) -> list[str]:
        """See :class:`Storage`."""
        if not self._path.exists():
            return []
        files = (path for path in self._path.iterdir() if path.is_file())
        return sorted(path.name for path in files if not path.match(PARTIAL))

    def remove(self, name: str) -> None:
        """See :class:`Storage`."""
        self._at(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """See :class:`Storage`."""
        if self._path.exists():
            shutil.rmtree(self._path)

    def _at(self, name: str) -> Path:
        return self._path / _check(name)

    def _sync(self) -> None:
        """A new name is on the disk only when its folder is."""
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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

    def clear(self) -> None:
        """See :class:`Storage`."""
        try:
            self._filesystem.delete_dir(self._path)
        except FileNotFoundError:
            return

    def _at(self, name: str) -> str:
        return f"{self._path}/{_check(name)}"


def _check(name: str) -> str:
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is no name of a file or folder")
    return name
