"""Which of the named clients, domains and classes of a data set have any sample."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pfltune.data.columns import NOBODY
from pfltune.data.dataset import Dataset
from pfltune.data.names import some_of
from pfltune.text import count


def only_present(dataset: Dataset) -> Dataset:
    """The same without the names of clients and domains that have no sample, which is told.

    A selection, an empty folder or a list of names leaves such names. A class without samples
    stays, as an answer of the model that is never right, and is told, too.
    """
    notes: list[str] = []
    kept = {}
    for noun in ("client", "domain"):
        numbers = getattr(dataset, f"{noun}s")
        names = getattr(dataset, f"{noun}_names")
        if numbers is None:
            continue
        there = np.unique(numbers.numpy())
        there = there[there != NOBODY]
        if len(there) == len(names):
            continue
        gone = np.setdiff1d(np.arange(len(names)), there)
        notes.append(_told(noun, names, gone, "left out"))
        place = np.full(len(names) + 1, NOBODY, np.int64)  # the last one is NOBODY's
        place[there] = np.arange(len(there))
        kept[f"{noun}s"] = numbers.new_tensor(place[numbers.numpy()])
        kept[f"{noun}_names"] = tuple(names[number] for number in there)
    notes += _empty_classes(dataset)
    if not notes:
        return dataset
    return replace(dataset, **kept, notes=(*dataset.notes, *notes))


def _empty_classes(dataset: Dataset) -> Iterator[str]:
    held = np.bincount(dataset.labels.numpy(), minlength=dataset.classes)
    gone = np.flatnonzero(held == 0)
    if len(gone):
        yield _told("class", dataset.class_names, gone, "still answers of the model")


def _told(noun: str, names: tuple[str, ...], gone: np.ndarray, what: str) -> str:
    some = some_of([names[number] for number in gone])
    return f"{count(len(gone), noun)} of {len(names):,} without samples, {what}: {some}"
