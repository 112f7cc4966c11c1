"""Image folders: class/image, or domain/class/image."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.pictures import decode_image, is_gray
from pfltune.data.selection import choose
from pfltune.data.source import Chunk, Decoded, spans
from pfltune.errors import UserError

# Images are read by this many threads, one image each; Pillow lets go of the interpreter.
THREADS = min(8, os.cpu_count() or 1)
# What file managers leave behind without hiding it everywhere.
LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


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
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    domains: tuple[int, ...]
    domain_names: tuple[str, ...]
    size: int

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

    def decode(self) -> Decoded:
        """Decode the images; if all of them are gray they keep their one channel."""
        gray = all(is_gray(path) for path in self.files)
        return Decoded(self.class_names, self._chunks(gray), self.domain_names)

    def _chunks(self, gray: bool) -> Iterator[Chunk]:
        labels, domains = np.array(self.labels), np.array(self.domains)
        decode = partial(decode_image, size=self.size, gray=gray)
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

    Domains, classes and images are in the order of their names unless ``classes`` or ``domains``
    say which ones, and in which order. Not every domain needs to have every class. Hidden files
    are passed over, and so are files beside the folders of classes and domains.

    Raises:
        UserError: no such folder, an unknown class or domain, or a folder without images.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    layout = "domain/class/image" if with_domains else "class/image"
    names = choose(_folders(root), domains, "domain") if with_domains else ()
    tops = [root / name for name in names] if with_domains else [root]
    found = {top: _folders(top) for top in tops}
    bare = next((top for top, inside in found.items() if not inside), root if not tops else None)
    if bare is not None:
        raise UserError(f"{bare} has no folders of images; {root} must be laid out as {layout}")
    every = tuple(sorted({name for inside in found.values() for name in inside}))
    class_names = choose(every, classes, "class")
    samples = [
        (path, label, domain)
        for domain, top in enumerate(tops)
        for label, name in enumerate(class_names)
        if name in found[top]
        for path in _images(top / name, layout)
    ]
    files, labels, numbers = zip(*samples, strict=True)
    return ImageFolders(
        root, files, labels, class_names, numbers if with_domains else (), names, size
    )


def _visible(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error
    return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in LITTER]


def _folders(folder: Path) -> tuple[str, ...]:
    return tuple(entry.name for entry in _visible(folder) if entry.is_dir())


def _images(folder: Path, layout: str) -> list[Path]:
    """The files of a class."""
    files = _visible(folder)
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
