"""Decoded data sets on disk: written once, then mapped into memory by all processes."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from pfltune.data.arrays import NpyWriter
from pfltune.data.columns import COLUMNS
from pfltune.data.dataset import Dataset, read_only
from pfltune.data.home import data_root, writing_in
from pfltune.data.names import some_of
from pfltune.data.source import Decoded, Source
from pfltune.errors import UserError
from pfltune.storage import remove_files, sync

# Part of every key: to be raised when the same sources would be decoded to other pixels or columns.
FORMAT = 4
# All that an entry holds.
TEXTS = ("class_names", "domain_names", "client_names", "notes")
ARRAYS: dict[str, type[np.generic]] = {"images": np.uint8, **COLUMNS}
OWN = frozenset({*(f"{name}.npy" for name in ARRAYS), "meta.json"})


def cached(name: str, source: Source) -> Dataset:
    """The samples of ``source`` as read-only memory maps, decoded first if nobody has yet.

    An entry is a folder with images.npy, labels.npy, what else is said of samples (domains.npy,
    clients.npy, splits.npy) and meta.json, named after the content of its source. It appears whole
    or not at all, however many processes ask for it at once and whenever they die; what is damaged
    later is decoded again. Nothing else that lies in its place is touched.

    Args:
        name: how the data set is called in scenarios and reports.
        source: where the samples come from.

    Raises:
        UserError: the source has no samples, is not what it must be, or nothing can be written.
    """
    folder = data_root() / "cache" / _key(name, source)
    dataset = _opened(name, folder)
    if dataset is None:
        with writing_in(folder.parent, folder.name):
            dataset = _opened(name, folder) or _decoded(name, source, folder)
    return _with_notes(source, dataset)


def in_memory(name: str, source: Source) -> Dataset:
    """The samples of a small ``source``, without the cache."""
    decoded = source.decode()
    chunks = list(_arrays(name, decoded))
    if not chunks:
        raise _nothing(name)
    parts = {part: np.concatenate([chunk[part] for chunk in chunks]) for part in chunks[0]}
    return _with_notes(source, _dataset(name, _texts(decoded), parts))


def _key(name: str, source: Source) -> str:
    content = json.dumps({"format": FORMAT, **source.identity()}, sort_keys=True)
    kind = re.sub(r"\W", "_", name.partition(":")[0])
    return f"{kind}-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _decoded(name: str, source: Source, folder: Path) -> Dataset:
    """Decode into a folder beside the entry, and put it into its place."""
    part = folder.with_name(f".{folder.name}.part")
    for leftover in (part, folder):
        _clear(leftover)
    try:
        part.mkdir()
        _write(name, source.decode(), part)
        part.replace(folder)
    except BaseException:
        remove_files(part, OWN, with_folder=True)
        raise
    sync(folder.parent)
    dataset = _opened(name, folder)
    if dataset is None:
        raise UserError(f"data set {name!r} was written to {folder}, but cannot be read from there")
    return dataset


def _clear(folder: Path) -> None:
    """Remove an entry that is damaged or half-written, but nothing that is not of an entry.

    Raises:
        UserError: there is such a thing.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    entry = folder.is_dir() and not folder.is_symlink()
    strange = sorted({path.name for path in folder.iterdir()} - OWN) if entry else []
    if strange or not entry:
        raise UserError(
            f"{folder} is in the place of decoded images, but "
            + (f"also holds {some_of(strange)}" if entry else "is no folder of them")
            + "; move it away"
        )
    remove_files(folder, OWN, with_folder=True)


def _write(name: str, decoded: Decoded, folder: Path) -> None:
    files: dict[str, NpyWriter] = {}
    with ExitStack() as stack:
        for arrays in _arrays(name, decoded):
            for part, rows in arrays.items():
                if part not in files:
                    writer = NpyWriter(folder / f"{part}.npy", ARRAYS[part])
                    files[part] = stack.enter_context(writer)
                files[part].append(rows)
        if not files:
            raise _nothing(name)
    with (folder / "meta.json").open("w", encoding="utf-8") as text:
        json.dump({"name": name, "arrays": list(files), **_texts(decoded)}, text, indent=1)
        text.flush()
        os.fsync(text.fileno())
    sync(folder)


def _arrays(name: str, decoded: Decoded) -> Iterator[dict[str, np.ndarray]]:
    """Images and columns of each chunk that has samples, the same ones of all."""
    first: tuple[str, ...] = ()
    for chunk in decoded.chunks:
        if not len(chunk.labels):
            continue
        arrays = {"images": chunk.images, **chunk.columns}
        first = first or tuple(arrays)
        if tuple(arrays) != first:
            odd = ", ".join(sorted({*first} ^ {*arrays}))
            raise UserError(f"data set {name!r}: some of its samples have {odd}, and some have not")
        yield {part: np.asarray(rows, ARRAYS[part]) for part, rows in arrays.items()}


def _opened(name: str, folder: Path) -> Dataset | None:
    """The entry in ``folder``; None if there is none that is whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        arrays = {
            part: np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
            for part in ARRAYS
            if part in meta["arrays"]
        }
        return _dataset(name, {part: tuple(meta[part]) for part in TEXTS}, arrays)
    except (OSError, EOFError, ValueError, LookupError, TypeError, UserError):
        return None


def _dataset(
    name: str, texts: dict[str, tuple[str, ...]], arrays: Mapping[str, np.ndarray]
) -> Dataset:
    tensors = {part: read_only(array) for part, array in arrays.items()}
    return Dataset(name, **tensors, **texts)  # type: ignore[arg-type]


def _texts(decoded: Decoded) -> dict[str, tuple[str, ...]]:
    return {part: getattr(decoded, part) for part in TEXTS}


def _with_notes(source: Source, dataset: Dataset) -> Dataset:
    """What the source passes over is seen anew each time; the rest is as it was when decoded."""
    return replace(dataset, notes=(*source.notes(), *dataset.notes))


def _nothing(name: str) -> UserError:
    return UserError(f"data set {name!r} has no samples (of the chosen classes and domains)")
