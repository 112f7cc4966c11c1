"""Where data lives on this machine, and how processes take turns at writing there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pfltune.errors import UserError
from pfltune.storage import Folder

VARIABLE = "PFLTUNE_DATA"


def data_root() -> Path:
    """The folder that ``PFLTUNE_DATA`` names, or ~/.cache/pfltune: absolute, maybe not yet there.

    It holds ``downloads/<data set>/<file>``, ``cache/<key>/`` and the sets that one puts there.
    """
    return own_path(os.environ.get(VARIABLE) or "~/.cache/pfltune")


def own_path(text: str) -> Path:
    """The absolute path that a user means by ``text``, with ~ and ~name as a shell reads them.

    Raises:
        UserError: it has a NUL, or there is no such home.
    """
    if "\0" in text:
        raise UserError(f"{text!r} is no path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        home = Path(text).parts[0]
        raise UserError(f"{text!r}: there is no home {home}; write the whole path") from error


@contextmanager
def writing_in(folder: Path, what: str) -> Iterator[None]:
    """Make ``folder`` and hold its lock for ``what``, which one process at a time may write.

    The lock is the operating system's: it falls when its holder dies. Where nothing came of it, its
    file goes too; who waits for it finds it gone and makes another.

    Raises:
        UserError: something cannot be written, here or in the body.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / f".{what}.lock"
        with FileLock(lock):
            try:
                yield
            except BaseException:
                Folder(folder).remove(lock.name)
                raise
    except OSError as error:
        raise UserError(
            f"cannot write in {folder}: {error.strerror or error}; "
            f"the environment variable {VARIABLE} names another place for data"
        ) from error
