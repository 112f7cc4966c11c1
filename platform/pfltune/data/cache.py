"""Decoded data sets on disk: written once, then mapped into memory by all processes."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from pfltune.data.arrays import NpyWriter
from pfltune.data.dataset import Dataset, read_only
from pfltune.data.source import Chunk, Decoded, Source
from pfltune.data.storage import data_root, writing_in
from pfltune.errors import UserError

# Part of every key: to be raised when the same sources would be decoded to other pixels.
FORMAT = 1


def cached(name: str, source: Source) -> Dataset:
    """The samples of ``source`` as read-only memory maps, decoded first if nobody has yet.

    An entry is a folder with images.npy, labels.npy, domains.npy and meta.json, named after the
    content of its source. It appears whole or not at all, however many processes ask for it at
    once and whenever they die; what is damaged later is decoded again.

    Args:
        name: how the data set is called in scenarios and reports.
        source: where the samples come from.

    Raises:
        UserError: the source has no samples, is not what it must be, or nothing can be written.
    """
    folder = data_root() / "cache" / _key(name, source)
    dataset = _opened(name, folder)
    if dataset is not None:
        return dataset
    with writing_in(folder.parent, folder.name):
        return _opened(name, folder) or _decoded(name, source, folder)


def in_memory(name: str, source: Source) -> Dataset:
    """The samples of a small ``source``, without the cache."""
    decoded = source.decode()
    chunks = [chunk for chunk in decoded.chunks if len(chunk.labels)]
    if not chunks:
        raise _nothing(name)
    return _dataset(
        name,
        decoded.class_names,
        decoded.domain_names,
        lambda part: np.concatenate([_part(chunk, part) for chunk in chunks]),
    )


def _key(name: str, source: Source) -> str:
    content = json.dumps({"format": FORMAT, **source.identity()}, sort_keys=True)
    kind = re.sub(r"\W", "_", name.partition(":")[0])
    return f"{kind}-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _decoded(name: str, source: Source, folder: Path) -> Dataset:
    """Decode into a folder beside the entry, and put it into its place."""
    part = folder.with_name(f".{folder.name}.part")
    for leftover in (part, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        part.mkdir()
        _write(name, source.decode(), part)
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _sync(folder.parent)
    dataset = _opened(name, folder)
    if dataset is None:
        raise UserError(f"data set {name!r} was written to {folder}, but cannot be read from there")
    return dataset


def _write(name: str, decoded: Decoded, folder: Path) -> None:
    parts = _parts(decoded.domain_names)
    with ExitStack() as stack:
        files = {
            part: stack.enter_context(NpyWriter(folder / f"{part}.npy", dtype))
            for part, dtype in parts.items()
        }
        for chunk in decoded.chunks:
            if len(chunk.labels):
                for part, file in files.items():
                    file.append(_part(chunk, part))
        if not files["labels"].rows:
            raise _nothing(name)
    meta = {"class_names": decoded.class_names, "domain_names": decoded.domain_names}
    with (folder / "meta.json").open("w", encoding="utf-8") as text:
        json.dump({"name": name, **meta}, text, indent=1)
        text.flush()
        os.fsync(text.fileno())
    _sync(folder)


def _opened(name: str, folder: Path) -> Dataset | None:
    """The entry in ``folder``; None if there is none that is whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return _dataset(
            name,
            tuple(meta["class_names"]),
            tuple(meta["domain_names"]),
            lambda part: np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False),
        )
    except (OSError, EOFError, ValueError, LookupError, TypeError, UserError):
        return None


def _dataset(
    name: str,
    class_names: tuple[str, ...],
    domain_names: tuple[str, ...],
    array: Callable[[str], np.ndarray],
) -> Dataset:
    tensors = {part: read_only(array(part)) for part in _parts(domain_names)}
    return Dataset(name=name, class_names=class_names, domain_names=domain_names, **tensors)


def _parts(domain_names: tuple[str, ...]) -> dict[str, type[np.generic]]:
    """The arrays of a data set, and their types."""
    parts: dict[str, type[np.generic]] = {"images": np.uint8, "labels": np.int64}
    return {**parts, "domains": np.int64} if domain_names else parts


def _part(chunk: Chunk, part: str) -> np.ndarray:
    array: np.ndarray = getattr(chunk, part)
    return array


def _nothing(name: str) -> UserError:
    return UserError(f"data set {name!r} has no samples (of the chosen classes and domains)")


def _sync(folder: Path) -> None:
    """Put a folder's list of names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
