"""Image folders: class/image, below domains or clients, below train, val and test, or neither."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pfltune.data.columns import COLUMNS, NOT_GIVEN, PART_NAMED, counted
from pfltune.data.names import in_natural_order, some_of
from pfltune.data.selection import choose
from pfltune.data.source import Decoded, in_chunks
from pfltune.data.squares import digests, in_batches, squares
from pfltune.errors import UserError

# What file managers, network drives and archives leave behind without hiding it everywhere.
LITTER = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__"}
    | {"@eadir", "@__thumb", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"}
    | {"lost+found", "$recycle.bin", "system volume information"}
)
# What cameras, editors and people put beside an image: by no one's measure an image itself.
SIDE_CARS = frozenset(
    {".aae", ".csv", ".htm", ".html", ".ini", ".json", ".log", ".md", ".md5", ".pp3", ".rst"}
    | {".sha256", ".thm", ".tsv", ".txt", ".xml", ".xmp", ".yaml", ".yml"}
)


Above = Literal["domain", "client"]
"""What the folders above those of classes can be."""


@dataclass(frozen=True)
class ImageFolders:
    """Image files, decoded to squares.

    Attributes:
        root: the folder that they are below.
        files: one per sample.
        columns: what the folders say of each file, see :mod:`pfltune.data.columns`.
        class_names: one per class.
        domain_names: one per domain; empty if there are none.
        client_names: likewise of clients.
        size: side in pixels.
        passed_over: what else lies between the images, by name, and how often.
    """

    root: Path
    files: tuple[Path, ...]
    columns: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]
    domain_names: tuple[str, ...]
    client_names: tuple[str, ...]
    size: int
    passed_over: tuple[tuple[str, int], ...] = ()

    def identity(self) -> dict[str, Any]:
        """The digest of all names and bytes, and how they are decoded."""
        digest = hashlib.sha256()
        for path, content in zip(self.files, digests(self.files), strict=True):
            digest.update(os.fsencode(path.relative_to(self.root)) + b"\0" + content)
        return {
            "folders": digest.hexdigest(),
            "size": self.size,
            "classes": self.class_names,
            "domains": self.domain_names,
            "clients": self.client_names,
        }

    def notes(self) -> tuple[str, ...]:
        """What is passed over, counted."""
        named = [name if count == 1 else f"{name} ({count})" for name, count in self.passed_over]
        return (f"passed over beside the images: {some_of(named)}",) if named else ()

    def decode(self) -> Decoded:
        """Decode the images; if all of them are gray they keep their one channel."""
        found = squares(in_batches(self.files, self.size), self.size)
        return Decoded(
            self.class_names,
            in_chunks(found.images, {**self.columns, **found.sizes}),
            self.domain_names,
            (*self._told_of_splits(), *found.notes),
            self.client_names,
        )

    def _told_of_splits(self) -> Iterator[str]:
        if "splits" in self.columns:
            yield f"its folders are given splits, {counted(self.columns['splits'])}"


def image_folders(
    root: Path,
    size: int,
    *,
    above: Above | None = None,
    classes: tuple[str, ...] | None = None,
    domains: tuple[str, ...] | None = None,
) -> ImageFolders:
    """List the images of class/image, domain/class/image or client/class/image below ``root``.

    Where all folders in ``root`` are called train, val or test (or as :data:`PART_NAMED` has it),
    and the layout is in each of them, they are given splits. Domains, clients and classes are in
    the order of their names, numbers in them as numbers, unless ``classes`` or ``domains`` say
    which ones, and in which order. Not every domain or client needs to have every class. What is
    hidden or litter is passed over and counted, and so are files beside the folders.

    Raises:
        UserError: no such folder, an unknown class or domain, or a folder without images.
    """
    if not _is_folder(root):
        raise UserError(f"there is no folder {root}")
    layout = f"{above}/class/image" if above else "class/image"
    passed: Counter[str] = Counter()
    groups, places = _places(root, above, domains, passed)
    sparse = above == "client" or any("splits" in said for said in places.values())
    found = {place: _folders(place, passed) for place in places}
    bare = [place for place, its in found.items() if not its and not (sparse and _is_empty(place))]
    if bare or not places:
        where = bare[0] if bare else root
        raise UserError(f"{where} has no folders of images; {root} must be laid out as {layout}")
    every = in_natural_order({name for its in found.values() for name in its})
    class_names = choose(every, classes, "class")
    samples = [
        (path, {"labels": label, **said})
        for place, said in places.items()
        for label, name in enumerate(class_names)
        if name in found[place]
        for path in _images(place / name, layout, passed, needed=not sparse)
    ]
    if not samples:
        raise UserError(f"{root} has no images laid out as {layout}")
    return ImageFolders(
        root,
        tuple(path for path, _ in samples),
        {
            name: np.array([said[name] for _, said in samples], COLUMNS[name])
            for name in samples[0][1]
        },
        class_names,
        groups if above == "domain" else (),
        groups if above == "client" else (),
        size,
        tuple(passed.most_common()),
    )


def files_below(folder: Path) -> list[Path]:
    """The files in a folder and in those in it, but for hidden ones, litter and side-cars.

    Raises:
        UserError: one of the folders cannot be read.
    """
    found: list[Path] = []
    for entry in _visible(folder, Counter()):
        if entry.is_dir():
            found += () if entry.is_symlink() else files_below(entry)  # it may lead in circles
        elif entry.suffix.lower() not in SIDE_CARS:
            found.append(entry)
    return found


def _places(
    root: Path, above: Above | None, domains: tuple[str, ...] | None, passed: Counter[str]
) -> tuple[tuple[str, ...], dict[Path, dict[str, int]]]:
    """Names of domains or clients, and the folders of classes with what is said of all in them."""
    tops = _tops(root, 2 if above else 1, passed)
    split = {top: {} if part == NOT_GIVEN else {"splits": part} for top, part in tops.items()}
    if above is None:
        return (), split
    inside = {top: _folders(top, passed) for top in tops}
    groups = in_natural_order({name for names in inside.values() for name in names})
    if above == "domain":
        groups = choose(groups, domains, above)
    return groups, {
        top / name: {**split[top], f"{above}s": number}
        for top in tops
        for number, name in enumerate(groups)
        if name in inside[top]
    }


def _tops(root: Path, levels: int, passed: Counter[str]) -> dict[Path, int]:
    """Where a layout begins, and the part that is given there: folders train, val, test or none.

    Args:
        root: the folder of all.
        levels: of folders below each, as the layout has them.
        passed: counts what lies beside such folders.
    """
    beside: Counter[str] = Counter()
    names = _folders(root, beside)
    parts = {root / name: PART_NAMED.get(name.lower(), NOT_GIVEN) for name in names}
    if not parts or NOT_GIVEN in parts.values() or not all(_is_deep(p, levels) for p in parts):
        return {root: NOT_GIVEN}
    passed.update(beside)
    return dict(sorted(parts.items(), key=lambda top: top[1]))


def _is_deep(folder: Path, levels: int) -> bool:
    """Whether there are folders in folders in it, so many levels of them."""
    if not levels:
        return True
    return any(_is_deep(folder / name, levels - 1) for name in _folders(folder, Counter()))


def _is_empty(folder: Path) -> bool:
    return not _visible(folder, Counter())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # a name too long, for one
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _visible(folder: Path, passed: Counter[str]) -> list[Path]:
    """What is in a folder and is no litter; that is counted in ``passed``, by name."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error
    litter = {e for e in entries if e.name.startswith(".") or e.name.lower() in LITTER}
    passed.update(entry.name for entry in litter)
    return [entry for entry in entries if entry not in litter]


def _folders(folder: Path, passed: Counter[str]) -> tuple[str, ...]:
    """The names of the folders in a folder, which name classes or domains."""
    visible = _visible(folder, passed)
    names = [entry.name for entry in visible if entry.is_dir()]
    passed.update(entry.name for entry in visible if not entry.is_dir())
    for name in names:
        if name != os.fsencode(name).decode(errors="replace"):
            raise UserError(f"the name of the folder {name!a} in {folder} is no UTF-8; rename it")
    return in_natural_order(names)


def _images(folder: Path, layout: str, passed: Counter[str], *, needed: bool) -> list[Path]:
    """The files of a class; that there are none is an error where they are ``needed``."""
    found = _visible(folder, passed)
    files = [path for path in found if path.suffix.lower() not in SIDE_CARS or path.is_dir()]
    passed.update(f"*{path.suffix.lower()}" for path in found if path not in files)
    if not files and not needed:
        passed[f"empty folder {folder.name}"] += 1
        return []
    if not files:
        raise UserError(f"the class folder {folder} {'has no images' if found else 'is empty'}")
    for path in files:
        if path.is_dir():
            raise UserError(
                f"{path} is a folder where images are expected; the layout is {layout} "
                "(folder:PATH reads class/image, domains:PATH domain/class/image, clients:PATH "
                "client/class/image)"
            )
    return files
