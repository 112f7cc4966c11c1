"""A folder of our own for Ray, and an end to what a killed process has left of an earlier one."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pfltune.errors import Halted

MARK = "PFLTUNE_SESSION"
"""Environment variable that names the folder to every process that Ray starts in it."""
OWNER = "owner.lock"
"""Locked by the process whose folder it is, until it ends in whatever way."""
LONGEST_SOCKET = 107
"""Characters that a Unix socket's path can have."""
BELOW = "/pfltune-12345678/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
"""Ray's longest socket below the place of temporary files."""
LEAST_BYTES = 64 * 2**20
"""Room without which Ray's start ends in errors that do not name the cause."""


@contextmanager
def ray_folder() -> Iterator[Path]:
    """A private folder that is gone afterwards; what dead processes left is ended before.

    Raises:
        Halted: there is no room for it.
    """
    place = _place()
    end_leftovers(place)
    try:
        room = shutil.disk_usage(place).free
        if room < LEAST_BYTES:
            raise Halted(
                f"only {room / 1e6:.0f} MB are free in {place}, where Ray keeps its files; "
                "make room there, or name another folder with TMPDIR"
            )
        # Under a name that nobody looks for until it is locked.
        new = Path(tempfile.mkdtemp(prefix=".pfltune-", dir=place))
        folder = new.with_name(new.name[1:])
        lock = FileLock(new / OWNER)
        lock.acquire()
        new.rename(folder)
    except OSError as error:
        raise Halted(
            f"Ray's files cannot be written in {place} ({error.strerror}); "
            "make room there, or name another folder with TMPDIR"
        ) from error
    before = os.environ.get(MARK)
    os.environ[MARK] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[MARK]
        else:
            os.environ[MARK] = before
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def end_leftovers(place: Path) -> None:
    """End the processes and remove the folders of ours whose owners are dead; no others."""
    for folder in place.glob("pfltune-????????"):
        with suppress(OSError):
            if folder.lstat().st_uid != os.getuid() or not (folder / OWNER).is_file():
                continue
            try:
                lock = FileLock(folder / OWNER)
                lock.acquire(timeout=0)
            except Timeout:
                continue  # its owner lives
            for process in marked(folder):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def marked(folder: Path) -> list[int]:
    """Processes that Ray started in a folder of ours, wherever the system tells environments."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [process for process in found if process != os.getpid()]


def _place() -> Path:
    """Where temporary files go, or a shorter path where Ray's sockets would have too long ones.

    Raises:
        Halted: there is none.
    """
    usual = Path(tempfile.gettempdir()).resolve()
    for place in (usual, Path("/tmp"), Path("/var/tmp")):
        if len(f"{place}{BELOW}") <= LONGEST_SOCKET and os.access(place, os.W_OK | os.X_OK):
            return place
    raise Halted(
        f"the path of temporary files {str(usual)!r} is too long for Ray's sockets, and /tmp "
        f"cannot be written; name one of up to {LONGEST_SOCKET - len(BELOW)} characters with TMPDIR"
    )
