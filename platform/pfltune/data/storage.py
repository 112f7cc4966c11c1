"""Where data lives on this machine, and how processes take turns at writing there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pfltune.errors import UserError

VARIABLE = "PFLTUNE_DATA"


def data_root() -> Path:
    """The folder that ``PFLTUNE_DATA`` names, or ~/.cache/pfltune: absolute, maybe not yet there.

    It holds ``downloads/<data set>/<file>``, ``cache/<key>/`` and the sets that one puts there.
    """
    return Path(os.environ.get(VARIABLE) or "~/.cache/pfltune").expanduser().absolute()


@contextmanager
def writing_in(folder: Path, what: str) -> Iterator[None]:
    """Make ``folder`` and hold its lock for ``what``, which one process at a time may write.

    The lock is the operating system's: it falls when its holder dies.

    Raises:
        UserError: something cannot be written, here or in the body.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{what}.lock"):
            yield
    except OSError as error:
        raise UserError(
            f"cannot write in {folder}: {error.strerror or error}; "
            f"the environment variable {VARIABLE} names another place for data"
        ) from error
