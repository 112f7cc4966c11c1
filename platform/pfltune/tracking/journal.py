"""The journal of a comparison: a file to which a line is appended for everything that happens."""

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from pfltune.errors import UserError
from pfltune.ownership import see_inside
from pfltune.storage import sync, whole
from pfltune.tracking.events import (
    Event,
    MethodEnded,
    RoundDone,
    TrialStarted,
    from_json,
    to_json,
)

JOURNAL = "journal.jsonl"
"""Its name in the folder of its comparison."""
SEAL = re.compile(rb', "check": "([0-9a-f]{16})"\}$')


class Journal:
    """Events in a file, one per line; MLflow is a copy of it.

    A line is with the operating system before :meth:`append` returns, so that it outlives the
    process however that ends. The start and the end of a trial outlive the machine, too: the search
    goes by them, and a trial's checkpoint goes when it ends. Rounds need not at once, since they
    can be had again from the checkpoint, and waiting for the disk in every round of every trial
    takes time; :meth:`sync` brings them there before anybody else is told of them.

    Each line ends with a digest of itself and of all that stands before it. So a changed, lost or
    foreign line is noticed; what stands before it is kept.

    Args:
        path: the file; made with the first event.
        comparison: whose it is; the first digest begins with it.

    Attributes:
        events: those that were there when the journal was opened, up to the first damaged line.
        damage: the line that is damaged and how, in words; None if none is.

    Raises:
        UserError: it cannot be read.
    """

    def __init__(self, path: Path, comparison: str = "") -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._opening = threading.Lock()
        self._observers: list[Callable[[Event], None]] = []
        found = _read(path, comparison)
        self.events, self.damage = found.events, found.damage
        self._length, self._check = found.length, found.check

    def keep_damaged(self) -> Path:
        """Go on behind the last whole line; returns where the file is kept as it was.

        Raises:
            UserError: nothing of it can be read.
            OSError: it cannot be copied.
        """
        if not self.events:
            raise UserError(
                f"{self.damage}; it may be another comparison's journal. Put the right one there, "
                "or move it away to begin anew"
            )
        copies = (self._path.with_name(f"{self._path.name}.damaged-{n}") for n in range(1, 10**6))
        kept = next(copy for copy in copies if not copy.exists())
        with whole(kept) as partial:
            partial.write_bytes(self._path.read_bytes())
        os.truncate(self._path, self._length)
        self.damage = None
        return kept

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Have every event told to ``observer`` once it is written, not those of before."""
        self._observers.append(observer)

    def append(self, event: Event) -> None:
        """Write an event, or nothing at all.

        Raises:
            OSError: it cannot be written.
        """
        body = to_json(event).encode()
        check = _check(self._check, body)
        line = _sealed(body, check)
        try:
            file = self._file or self._open()
            _write_all(file.fileno(), line)
            if not isinstance(event, RoundDone):
                os.fsync(file.fileno())
            self._length, self._check = self._length + len(line), check
        except BaseException:
            self._take_back()
            raise
        for observer in self._observers:
            observer(event)

    def sync(self) -> None:
        """Bring all lines to the disk; for any thread."""
        with self._opening:
            if self._file is not None:
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; it is opened again when something is appended."""
        with self._opening:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self) -> BinaryIO:
        """Open the file behind its last whole line."""
        if self.damage:
            raise UserError(self.damage)
        is_new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(self._length)
        if is_new:
            sync(self._path.parent)
        return self._file

    def _take_back(self) -> None:
        """Cut off what was written of a line; if not even that works, then before the next one."""
        with self._opening:
            if self._file is not None:
                with suppress(OSError):
                    self._file.truncate(self._length)
                with suppress(OSError):
                    self._file.close()
                self._file = None


@dataclass
class _Found:
    """The events of a file, the bytes of their lines, the last digest, and what is wrong."""

    events: list[Event]
    length: int
    check: str
    damage: str | None = None


def _read(path: Path, comparison: str) -> _Found:
    """Everything up to the first damaged line; a torn last one was never written."""
    found = _Found([], 0, comparison)
    see_inside(path, path.parent)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return found
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    started: set[str] = set()
    whole_lines = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(whole_lines.split(b"\n")[:-1], start=1):
        try:
            event, check = _opened(line, found.check)
            _follow(event, started)
        except (ValueError, RecursionError) as error:
            why = str(error).splitlines()[0]
            found.damage = f"{path}, line {number} is damaged ({why})"
            return found
        found.events.append(event)
        found.length, found.check = found.length + len(line) + 1, check
    return found


def _opened(line: bytes, before: str) -> tuple[Event, str]:
    """The event of a line, and the line's digest.

    Raises:
        ValueError: it is not what was written.
    """
    seal = SEAL.search(line)
    if seal is None:
        raise ValueError("it has no digest")
    body = line[: seal.start()] + b"}"
    check = _check(before, body)
    if check != seal[1].decode():
        raise ValueError("it is not what was written, or not behind what it was written behind")
    return from_json(body), check


def _follow(event: Event, started: set[str]) -> None:
    """See that a trial has begun before it goes on."""
    if isinstance(event, TrialStarted):
        started.add(event.trial)
    elif not isinstance(event, MethodEnded) and event.trial not in started:
        raise ValueError(f"the trial {event.trial!r} has not begun")


def _sealed(body: bytes, check: str) -> bytes:
    return body[:-1] + f', "check": "{check}"}}\n'.encode()


def _check(before: str, body: bytes) -> str:
    return blake2b(before.encode() + body, digest_size=8).hexdigest()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
