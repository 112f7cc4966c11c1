"""The folder of a comparison: one owner at a time, one configuration for ever."""

import getpass
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pfltune.errors import UserError
from pfltune.storage import open_storage

LOCK, OWNER, RECORD = ".lock", ".owner", "comparison.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TAKEN = ("artifacts", "mlflow.db", "partitions")
"""What else is in the results folder."""
SHOWN = 5
MOVABLE = (
    "hardware.workers",
    "hardware.gpus_per_trial",
    "hardware.compute.state_mb",
    "hardware.address",
)
"""What may change when a comparison goes on: it touches no figure."""


def checked_name(name: str) -> str:
    """A name that can be a folder and an experiment.

    Raises:
        UserError: it cannot.
    """
    if not NAME.fullmatch(name) or name in TAKEN:
        raise UserError(
            f"the name {name!r} is not possible; letters, digits, '.', '_' and '-', at most 100, "
            f"and none of {', '.join(TAKEN)}"
        )
    return name


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a comparison's folder, created if need be; one that stays empty is removed again.

    The lock is the operating system's and ends with its process, however that ends.

    Raises:
        UserError: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from error
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
        (folder / OWNER).unlink(missing_ok=True)
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        lock.release()


def recorded(folder: Path) -> dict[str, Any] | None:
    """The settings that a comparison began with; None if there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / RECORD
    try:
        settings = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it or remove {folder}") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path} is damaged (no mapping); restore it or remove {folder}")
    return settings


def record(folder: Path, settings: Mapping[str, Any]) -> str:
    """Write the settings down; returns the text."""
    text = json.dumps(settings, indent=2) + "\n"
    open_storage(str(folder)).write(RECORD, text.encode())
    return text


def agree(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """See that a comparison goes on as it began.

    Raises:
        UserError: something else has changed; names it.
    """
    old, new = _settled(before), _settled(now)
    changed = [
        f"{key} was {old.get(key, 'not there')!s}, would be {new.get(key, 'not there')!s}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if changed:
        more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise UserError(
            f"{name} began with other settings: {'; '.join(changed[:SHOWN])}{more}. "
            "Resume it with those, or choose another --name"
        )


def _settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the figures, flat, as JSON carries it."""
    flat = dict(_flat(json.loads(json.dumps(settings, default=str))))
    return {key: value for key, value in flat.items() if key not in MOVABLE}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
