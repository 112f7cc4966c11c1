"""Finished trials on the disk, each under the key of all that its figures depend on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from filelock import FileLock

from pfltune.errors import UserError
from pfltune.ownership import MARK, claim, see_claim, see_inside
from pfltune.storage import Folder, sync
from pfltune.trials.agreement import held_against
from pfltune.trials.entry import Entry

FOLDER, LOCK = "trials", ".lock"
OWNER = "pfltune's kept trials"
OURS = re.compile(r"[0-9a-f]{32}\.json")
"""The names of entries; nothing else is ever read or removed."""
PATIENCE_S = 20.0
"""How long one waits for another process to write an entry."""

Kept = Literal["kept", "known", "other"]


@dataclass(frozen=True)
class Listed:
    """A file of the store.

    Attributes:
        file: its name.
        size: bytes.
        entry: what is in it; None if it is damaged, half written or another trial's.
    """

    file: str
    size: int
    entry: Entry | None


class TrialStore:
    """The kept trials of a results folder, for any number of processes at once.

    An entry is written whole, and the first one stays: one that comes later is held against it, and
    takes its place only if it says the same and more.

    Args:
        results: the results folder.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self._place = Folder(self.folder)

    def check(self) -> bool:
        """See that the folder is ours, or free to be; whether it is ours.

        Raises:
            UserError: it holds something of somebody else, or cannot be read.
        """
        see_inside(self.folder / MARK, self.folder.parent)
        instead = "move it away, or name another folder with --results"
        whose = (self._place, OWNER, str(self.folder), instead)
        try:
            with suppress(UserError):  # another process made it between two looks: look again
                return see_claim(*whose)
            return see_claim(*whose)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be used: {error.strerror}") from error

    @property
    def is_empty(self) -> bool:
        """Whether there is no entry at all."""
        return not any(OURS.fullmatch(name) for name in self._place.names())

    def find(self, key: str) -> Entry | None:
        """The trial with this key; None if there is none that is whole."""
        return self._read(f"{key}.json")

    def put(self, entry: Entry) -> Kept:
        """Keep a trial.

        Returns:
            ``kept``; ``known`` if as much was there; ``other`` if what is there has other figures,
            though they should be the same: it stays.

        Raises:
            UserError: the folder holds something of somebody else.
            OSError: it cannot be written.
        """
        name = f"{entry.spec.key}.json"
        with self.alone() as place:
            there = self._read(name)
            if there is not None:
                answer = held_against(entry.trial, there.trial, entry.spec.repeats)
                if answer != "more":
                    return "known" if answer == "less" else "other"
            place.write(name, entry.to_bytes())
        return "kept"

    def listed(self) -> Iterator[Listed]:
        """All files, damaged ones too, in the order of their names."""
        if not self.check():
            return
        for name in filter(OURS.fullmatch, self._place.names()):
            with suppress(FileNotFoundError):  # another process removed it
                size = (self.folder / name).stat().st_size
                yield Listed(name, size, self._read(name))

    @contextmanager
    def alone(self) -> Iterator[Folder]:
        """Be the only process that writes, in a folder that is ours.

        Raises:
            UserError: it is somebody else's.
            OSError: it cannot be written, or another process does not end to write.
        """
        if not self.check():
            self._begin()
            self.check()
        with FileLock(self.folder / LOCK, timeout=PATIENCE_S):
            yield self._place

    def _read(self, name: str) -> Entry | None:
        try:
            entry = Entry.from_bytes(self._place.read(name))
        except (OSError, ValueError):
            return None
        return entry if name == f"{entry.spec.key}.json" else None

    def _begin(self) -> None:
        """Make the folder, which comes with our mark in it; another process may be faster."""
        results = self.folder.parent
        results.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".pfltune-", dir=results) as draft:
            new = Path(draft) / FOLDER
            claim(Folder(new), OWNER, str(new), "")
            with suppress(OSError):
                new.rename(self.folder)
        sync(results)
