"""Data sets in files of one's own, by the word before their path."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pfltune.data.asked import one_size, selected
from pfltune.data.folders import Above, image_folders
from pfltune.data.home import own_path
from pfltune.data.hub import Hub
from pfltune.data.manifest import manifest
from pfltune.data.npz import Npz
from pfltune.data.settings import Columns, Data
from pfltune.data.source import Source
from pfltune.errors import UserError


def in_files(data: Data, image_size: int) -> Source | None:
    """The source that a name such as ``folder:PATH`` means; None if it is no such name.

    Raises:
        UserError: there is nothing behind the colon, or the files are not what they must be.
    """
    kind, colon, text = data.name.partition(":")
    if not colon or kind not in READERS:
        return None
    if not text or "\0" in text:
        raise UserError(f"data set {data.name!r} needs a path, as in {kind}:PATH")
    return READERS[kind](data, text, image_size)


def in_folders(data: Data, root: Path, image_size: int, above: Above | None) -> Source:
    """Image folders, decoded at the size that is asked for, or at the backbone's.

    Raises:
        UserError: domains are asked for where there are none, or the folders are not like that.
    """
    if data.domains and above != "domain":
        raise UserError(f"domains={list(data.domains)}: {data.name!r} has none; see domains:PATH")
    return image_folders(
        root,
        data.size or image_size,
        above=above,
        classes=data.classes,
        domains=data.domains,
    )


def _folder(data: Data, path: str, image_size: int, above: Above | None = None) -> Source:
    return in_folders(data, own_path(path), image_size, above)


def _array_file(data: Data, path: str, _: int) -> Source:
    return one_size(data, Npz(own_path(path), data.channels))


def _manifest(data: Data, path: str, image_size: int) -> Source:
    return manifest(
        own_path(path),
        data.columns or Columns(),
        data.size or image_size,
        root=own_path(data.root) if data.root else None,
        classes=data.classes,
        domains=data.domains,
    )


def _hub(data: Data, name: str, image_size: int) -> Source:
    return selected(data, Hub(name, data.columns or Columns(), data.size or image_size))


READERS: dict[str, Callable[[Data, str, int], Source]] = {
    "folder": _folder,
    "domains": partial(_folder, above="domain"),
    "clients": partial(_folder, above="client"),
    "npz": _array_file,
    "manifest": _manifest,
    "hf": _hub,
}
"""What reads data of one's own by the word before the colon, given what stands behind it and the
backbone's image size."""
