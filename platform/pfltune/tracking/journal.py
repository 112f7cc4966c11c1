"""The journal of a comparison: a file to which a line is appended for everything that happens."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pfltune.errors import UserError
from pfltune.tracking.events import Event, RoundDone, from_json, to_json


class Journal:
    """Events in a file, one per line; MLflow is a copy of it.

    A line is with the operating system before :meth:`append` returns, so that it outlives the
    process however that ends. The start and the end of a trial outlive the machine, too: the search
    goes by them, and a trial's checkpoint goes when it ends. Rounds need not, since they can be had
    again from the checkpoint, and waiting for the disk in every round of every trial takes time.

    Args:
        path: the file; made with the first event.

    Attributes:
        events: those that were there when the journal was opened.

    Raises:
        UserError: a line is damaged which is not a torn last one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._observers: list[Callable[[Event], None]] = []
        self.events, self._length = _read(path)

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Have every event told to ``observer`` once it is written, not those of before."""
        self._observers.append(observer)

    def append(self, event: Event) -> None:
        """Write an event, or nothing at all.

        Raises:
            OSError: it cannot be written.
        """
        line = to_json(event).encode() + b"\n"
        try:
            file = self._file or self._open()
            _write_all(file.fileno(), line)
            if not isinstance(event, RoundDone):
                os.fsync(file.fileno())
            self._length += len(line)
        except BaseException:
            self._take_back()
            raise
        for observer in self._observers:
            observer(event)

    def close(self) -> None:
        """Close the file; it is opened again when something is appended."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        """Open the file behind its last whole line."""
        is_new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(self._length)
        if is_new:
            _sync_folder(self._path.parent)
        return self._file

    def _take_back(self) -> None:
        """Cut off what was written of a line; if not even that works, then before the next one."""
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(self._length)
            with suppress(OSError):
                self._file.close()
            self._file = None


def _read(path: Path) -> tuple[list[Event], int]:
    """The events in a file, and the number of bytes of its whole lines."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    whole = content[: content.rfind(b"\n") + 1]
    events = []
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            events.append(from_json(line))
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: this is no event of a comparison "
                f"({str(error).splitlines()[0]}); the journal is damaged"
            ) from error
    return events, len(whole)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """Bring a new file's name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
