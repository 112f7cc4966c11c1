"""The folder of a comparison: one owner at a time, one configuration for ever."""

import getpass
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from pfltune.draws import DRAWS
from pfltune.errors import UserError
from pfltune.ownership import see_inside
from pfltune.record import NAME, RECORD
from pfltune.replays import REPLAY
from pfltune.storage import is_partial, open_storage
from pfltune.sweeps import SWEEP

LOCK, OWNER = ".lock", ".owner"
TAKEN = ("artifacts", "data", "mlflow.db", "partitions", "trials")
"""What else is in the results folder."""


def checked_name(name: str) -> str:
    """A name that can be a folder and an experiment.

    Raises:
        UserError: it cannot.
    """
    if not re.fullmatch(NAME, name) or name in TAKEN:
        raise UserError(
            f"the name {name!r} is not possible; letters, digits, '.', '_' and '-', at most 100, "
            f"and none of {', '.join(TAKEN)}"
        )
    return name


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a comparison's folder, created if need be; one that stays empty is removed again.

    The lock is the operating system's and ends with its process, however that ends.

    Raises:
        UserError: another process holds it, or it holds something that is no comparison's.
    """
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from error
    for name in (LOCK, OWNER):
        see_inside(folder / name, folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        with suppress(OSError):
            raise UserError(
                f"{folder.name} is being run: {(folder / OWNER).read_text()}"
            ) from error
        raise UserError(f"{folder.name} is being run by another process") from error
    owner = f"process {os.getpid()} of {getpass.getuser()} on {socket.gethostname()}"
    (folder / OWNER).write_text(f"{owner} since {datetime.now():%Y-%m-%d %H:%M:%S}")
    try:
        yield
    finally:
        place = open_storage(str(folder))
        place.remove(OWNER)
        if place.names() == [LOCK]:
            place.remove(LOCK)
            place.remove_if_empty()
        lock.release()


def _refuse_foreign(folder: Path) -> None:
    """See that the folder is new, empty, or a comparison's, a sweep's, of draws or a claim's."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is no folder of its own; choose another --name")
    if not folder.exists() or any(
        (folder / name).exists() for name in (RECORD, SWEEP, DRAWS, REPLAY)
    ):
        return
    there = {path.name for path in folder.iterdir() if not is_partial(path)}
    others = sorted(there - {LOCK, OWNER})
    if others:
        raise UserError(
            f"{folder} holds {others[0]!r} and no comparison; nothing in it is touched: "
            "choose another --name"
        )
