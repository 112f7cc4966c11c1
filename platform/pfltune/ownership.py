"""What is ours in a folder that others use too.

A mark in the folder says for whom pfltune wrote there, and what. Only what a mark names is ever
written over or removed: all else in the folder is somebody else's, whatever it is called.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from pfltune.errors import UserError
from pfltune.settings import Settings, validated
from pfltune.storage import Storage, open_storage, whole

MARK = ".pfltune.json"
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
def published(folder: Path, owner: str, instead: str) -> Iterator[Path]:
    """Files that come into ``folder`` together, when all of them have been written.

    The block is given an empty folder to write them into. Links in ``folder`` are not followed.

    Args:
        folder: where they belong; made if need be.
        owner: for whom.
        instead: what the user can do about a folder in which somebody else's files are.

    Raises:
        UserError: one of them would take the place of a file that pfltune did not write there for
            this owner; nothing has been written.
        OSError: the folder cannot be written.
    """
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to somewhere else; nothing is written: {instead}")
    folder.mkdir(parents=True, exist_ok=True)
    mark = _mark_in(folder, owner, instead)
    with TemporaryDirectory(prefix=".pfltune-", dir=folder) as draft:
        yield Path(draft)
        made = sorted(path.name for path in Path(draft).iterdir())
        for name in made:
            there = folder / name
            if name not in mark.files and (there.exists() or there.is_symlink()):
                raise UserError(f"{there} is there and pfltune did not write it; {instead}")
        files = tuple(sorted({*made, *mark.files}))
        with whole(folder / MARK) as partial:
            partial.write_bytes(_text(Mark(owner=owner, files=files)))
        for name in made:
            with whole(folder / name) as partial:
                (Path(draft) / name).replace(partial)


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


def _mark_in(folder: Path, owner: str, instead: str) -> Mark:
    path = folder / MARK
    if not path.exists():
        return Mark(owner=owner)
    mark = _read(path.read_bytes())
    if mark is None or mark.owner != owner:
        known = mark.owner if mark else "somebody else"
        raise UserError(f"{folder} holds what was written for {known}, not for {owner}; {instead}")
    return mark


def _read(content: bytes) -> Mark | None:
    """A mark; None if it is no mark of ours."""
    try:
        return Mark.model_validate_json(content)
    except ValidationError:
        return None


def _text(mark: Mark) -> bytes:
    return mark.model_dump_json(indent=1).encode() + b"\n"
