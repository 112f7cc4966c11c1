"""Image folders: class/image, or domain/class/image."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.looks import Looks, look_at
from pfltune.data.names import in_natural_order, some_of
from pfltune.data.pictures import decode_image
from pfltune.data.selection import choose
from pfltune.data.source import Chunk, Decoded, spans
from pfltune.errors import UserError

# Images are read by this many threads, one image each; Pillow lets go of the interpreter.
THREADS = min(8, os.cpu_count() or 1)
# What file managers, network drives and archives leave behind without hiding it everywhere.
LITTER = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__"}
    | {"@eadir", "@__thumb", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"}
    | {"lost+found", "$recycle.bin", "system volume information"}
)


@dataclass(frozen=True)
class ImageFolders:
    """Image files, decoded to squares.

    Attributes:
        root: the folder that they are below.
        files: one per sample.
        labels: the number of each file's class.
        class_names: one per class.
        domains: the number of each file's domain; empty if there are no domains.
        domain_names: one per domain.
        size: side in pixels.
        passed_over: what else lies between the images, by name, and how often.
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    domains: tuple[int, ...]
    domain_names: tuple[str, ...]
    size: int
    passed_over: tuple[tuple[str, int], ...] = ()

    def identity(self) -> dict[str, Any]:
        """The digest of all names and bytes, and how they are decoded."""
        digest = hashlib.sha256()
        with ThreadPoolExecutor(THREADS) as pool:
            for path, content in zip(self.files, pool.map(_digest, self.files), strict=True):
                digest.update(os.fsencode(path.relative_to(self.root)) + b"\0" + content)
        return {
            "folders": digest.hexdigest(),
            "size": self.size,
            "classes": self.class_names,
            "domains": self.domain_names,
        }

    def notes(self) -> tuple[str, ...]:
        """What is passed over, counted."""
        named = [name if count == 1 else f"{name} ({count})" for name, count in self.passed_over]
        return (f"passed over beside the images: {some_of(named)}",) if named else ()

    def decode(self) -> Decoded:
        """Decode the images; if all of them are gray they keep their one channel."""
        with ThreadPoolExecutor(THREADS) as pool:
            looks = Looks(tuple(pool.map(look_at, self.files)))
        looks.check()
        notes = tuple(looks.notes())
        return Decoded(self.class_names, self._chunks(looks), self.domain_names, notes)

    def _chunks(self, looks: Looks) -> Iterator[Chunk]:
        labels, domains = np.array(self.labels), np.array(self.domains)
        gray = looks.gray
        decode = partial(decode_image, size=self.size, gray=gray, levels=looks.levels)
        with ThreadPoolExecutor(THREADS) as pool:
            for span in spans(len(self.files), self.size**2 * (1 if gray else 3)):
                images = np.stack(list(pool.map(decode, self.files[span])))
                yield Chunk(images, labels[span], domains[span] if self.domain_names else None)


def image_folders(
    root: Path,
    size: int,
    *,
    with_domains: bool,
    classes: tuple[str, ...] | None = None,
    domains: tuple[str, ...] | None = None,
) -> ImageFolders:
    """List the images of class/image, or of domain/class/image, below ``root``.

    Domains and classes are in the order of their names, numbers in them as numbers, unless
    ``classes`` or ``domains`` say which ones, and in which order. Not every domain needs to have
    every class. What is hidden or litter is passed over and counted, and so are files beside the
    folders of classes and domains.

    Raises:
        UserError: no such folder, an unknown class or domain, or a folder without images.
    """
    if not _is_folder(root):
        raise UserError(f"there is no folder {root}")
    layout = "domain/class/image" if with_domains else "class/image"
    passed: Counter[str] = Counter()
    names = choose(_folders(root, passed), domains, "domain") if with_domains else ()
    tops = [root / name for name in names] if with_domains else [root]
    found = {top: _folders(top, passed) for top in tops}
    bare = next((top for top, inside in found.items() if not inside), root if not tops else None)
    if bare is not None:
        raise UserError(f"{bare} has no folders of images; {root} must be laid out as {layout}")
    every = in_natural_order({name for inside in found.values() for name in inside})
    class_names = choose(every, classes, "class")
    samples = [
        (path, label, domain)
        for domain, top in enumerate(tops)
        for label, name in enumerate(class_names)
        if name in found[top]
        for path in _images(top / name, layout, passed)
    ]
    files, labels, numbers = zip(*samples, strict=True)
    domain_of = numbers if with_domains else ()
    found_beside = tuple(passed.most_common())
    return ImageFolders(root, files, labels, class_names, domain_of, names, size, found_beside)


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


def _images(folder: Path, layout: str, passed: Counter[str]) -> list[Path]:
    """The files of a class."""
    files = _visible(folder, passed)
    if not files:
        raise UserError(f"the class folder {folder} is empty")
    for path in files:
        if path.is_dir():
            raise UserError(
                f"{path} is a folder where images are expected; the layout is {layout} "
                "(folder:PATH reads class/image, domains:PATH reads domain/class/image)"
            )
    return files


def _digest(path: Path) -> bytes:
    try:
        # A pipe would wait for ever.
        if not path.is_file():
            raise UserError(f"{path} is no file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
