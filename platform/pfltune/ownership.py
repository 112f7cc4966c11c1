"""What is ours in a folder that others use too.

A mark in the folder says for whom pfltune wrote there, and what. Only what a mark names is ever
written over or removed: all else in the folder is somebody else's, whatever it is called.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from pfltune.errors import UserError
from pfltune.settings import Settings, validated
from pfltune.storage import Storage, open_storage, remove_files, whole

MARK = ".pfltune.json"
RECORDS = {
    "comparison": "comparison.json",
    "sweep": "sweep.json",
    "draws": "draws.json",
    "claim": "claim.json",
}
"""By what is recorded, the file by which a folder is known to be its own."""
SHORT = 8
"""Digits of an id that stand in a mark."""
LARGEST = 1_000_000
"""Bytes of a record that is read, where nothing else is said."""
Kept = TypeVar("Kept", bound=Settings)


class Mark(Settings):
    """The content of a mark.

    Attributes:
        owner: for whom, in words with which no two are the same: a comparison with its id.
        files: what was written beside it.
    """

    format: Literal[1] = 1
    owner: str
    files: tuple[str, ...] = ()


def owner_of(what: str, name: str, id_: str) -> str:
    """Whose something is, as it stands in marks and messages.

    Args:
        what: a comparison, a sweep and so on.
        name, id_: of it.
    """
    return f"the {what} {name} ({id_[:SHORT]})"


def claim(place: Storage, owner: str, where: str, instead: str) -> None:
    """Mark an empty place as the owner's, or see that it is; see :func:`see_claim`."""
    if not see_claim(place, owner, where, instead):
        place.write(MARK, _text(Mark(owner=owner)))


def see_claim(place: Storage, owner: str, where: str, instead: str) -> bool:
    """See that a place is the owner's, or empty and free to be claimed; whether it is claimed.

    Args:
        place: what is to be used.
        owner: who wants it.
        where: the place, to be shown.
        instead: what the user can do about a place that is taken.

    Raises:
        UserError: it holds something that is not the owner's.
        OSError: it cannot be read or written.
    """
    try:
        mark = _read(place.read(MARK))
    except FileNotFoundError:
        if place.is_empty():
            return False
        raise UserError(
            f"{where} holds files that are not of {owner}; nothing is touched: {instead}"
        ) from None
    if mark is None or mark.owner != owner:
        known = mark.owner if mark else "somebody else"
        raise UserError(f"{where} belongs to {known}, not to {owner}; {instead}")
    return True


def release(place: Storage) -> None:
    """Take the mark away, and the place if nothing else is in it."""
    place.remove(MARK)
    place.remove_if_empty()


@contextmanager
def published(folder: Path, owner: str, instead: str, *, beside: bool = False) -> Iterator[Path]:
    """Files that come into ``folder`` together, when all of them have been written.

    They take the place of all that was published there for the owner before, files that are not
    among them any more included. The block is given an empty folder to write them into. Links in
    ``folder`` are not followed.

    Args:
        folder: where they belong; made if need be.
        owner: for whom.
        instead: what the user can do about a folder in which somebody else's files are.
        beside: leave what was published before beside them.

    Raises:
        UserError: one of them would take the place of a file that pfltune did not write there for
            this owner, it is no folder, or see :func:`see_own_ground`; nothing has been written.
        OSError: the folder cannot be written.
    """
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to somewhere else; nothing is written: {instead}")
    see_own_ground(folder, owner, instead)
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"{place} is a file, where a folder is meant; {instead}")
    folder.mkdir(parents=True, exist_ok=True)
    mark = _mark_in(folder, owner, instead)
    with _draft_in(folder) as draft:
        yield Path(draft)
        made = sorted(path.name for path in Path(draft).iterdir())
        for name in made:
            there = folder / name
            if name not in mark.files and (there.exists() or there.is_symlink()):
                raise UserError(f"{there} is there and pfltune did not write it; {instead}")
        _write_mark(folder, owner, {*made, *mark.files})
        for name in made:
            with whole(folder / name) as partial:
                (Path(draft) / name).replace(partial)
        if not beside and {*mark.files} - {*made}:
            remove_files(folder, _stale(folder, {*mark.files} - {*made}))
            _write_mark(folder, owner, made)


def see_own_ground(target: Path, owner: str, instead: str) -> None:
    """See that a file or folder to be written is in the folder of no other comparison.

    Args:
        target: what is to be written; it need not be there.
        owner: for whom, with its id in brackets where it has a folder of its own.
        instead: what the user can do about it.

    Raises:
        UserError: it is.
    """
    real = target.resolve()  # through links and ..
    for place in (real, *real.parents):
        for what, name in RECORDS.items():
            if not (place / name).is_file():
                continue
            if f"({_id_in(place / name)[:SHORT]})" in owner:
                return
            inside = "is" if place == real else "is in"
            raise UserError(
                f"{target} {inside} the folder of the {what} {place.name}; nothing is touched: "
                f"{instead}"
            )


def see_inside(path: Path, root: Path) -> None:
    """See that no link leads from ``root`` to somewhere else.

    Raises:
        UserError: one does.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{path} leads out of {root}; nothing is read or written there")


def write_record(path: Path, content: Settings) -> None:
    """Write what :func:`recorded` reads, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    text = content.model_dump_json(indent=2) + "\n"
    open_storage(str(path.parent)).write(path.name, text.encode())


def recorded(
    path: Path, root: Path, model: type[Kept], largest: int = LARGEST, context: Any = None
) -> Kept | None:
    """What is in a JSON file of ours, checked; None if there is no such file.

    Args:
        path: the file.
        root: which no link may lead out of.
        model: what it holds.
        largest: bytes that are read.
        context: of the check, see :func:`pfltune.settings.validated`.

    Raises:
        UserError: it cannot be read, is too large, or is damaged.
    """
    see_inside(path, root)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > largest:
        raise UserError(f"{path} is none of pfltune's files: it is too large")
    try:
        content = json.loads(data)
        if not isinstance(content, dict):
            raise ValueError("no mapping")
        return validated(model, content, path.name, context=context)
    except (UserError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}); restore it or remove {path.parent}"
        ) from error


def _draft_in(folder: Path) -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(prefix=".pfltune-", dir=folder)
    except OSError as error:  # the name that it shall have says nothing to anybody
        raise type(error)(error.errno, error.strerror, str(folder)) from error


def _id_in(path: Path) -> str:
    """The id in a record; of one that cannot be read a text that is in no owner."""
    try:
        found = json.loads(path.read_bytes())
        return str(found["id"])
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return "?"


def _mark_in(folder: Path, owner: str, instead: str) -> Mark:
    path = folder / MARK
    if not path.exists():
        return Mark(owner=owner)
    mark = _read(path.read_bytes())
    if mark is None or mark.owner != owner:
        known = mark.owner if mark else "somebody else"
        raise UserError(f"{folder} holds what was written for {known}, not for {owner}; {instead}")
    return mark


def _stale(folder: Path, names: Iterable[str]) -> list[str]:
    """Those that are files in the folder itself, whatever a mark may name."""
    plain = (name for name in sorted(names) if name == Path(name).name)
    return [name for name in plain if not (folder / name).is_dir() or (folder / name).is_symlink()]


def _write_mark(folder: Path, owner: str, files: Iterable[str]) -> None:
    with whole(folder / MARK) as partial:
        partial.write_bytes(_text(Mark(owner=owner, files=tuple(sorted(files)))))


def _read(content: bytes) -> Mark | None:
    """A mark; None if it is no mark of ours."""
    try:
        return Mark.model_validate_json(content)
    except ValidationError:
        return None


def _text(mark: Mark) -> bytes:
    return mark.model_dump_json(indent=1).encode() + b"\n"
