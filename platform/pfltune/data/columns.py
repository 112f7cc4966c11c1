"""What a data set says of each sample beside its pixels: columns of whole numbers."""

from collections.abc import Mapping

import numpy as np

from pfltune.data.labels import strings
from pfltune.data.names import in_natural_order, on_one_line
from pfltune.errors import UserError
from pfltune.text import count

COLUMNS: Mapping[str, type[np.generic]] = {
    "labels": np.int64,
    "domains": np.int64,
    "clients": np.int64,
    "splits": np.uint8,
    "widths": np.int32,
    "heights": np.int32,
}
"""Each column and its type; a data set has labels, and what it knows of the others."""
PARTS = ("train", "val", "test")
"""The parts of a client's samples; a given split holds their numbers."""
TRAIN, VAL, TEST = range(3)
NOT_GIVEN = 255
"""In a column of splits: of this sample nobody said where it belongs."""
NOBODY = -1
"""In a column of clients: the sample is of none."""
PART_NAMED = {
    **{"train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL},
    **{"test": TEST, "testing": TEST},
}
"""What people call the parts, in lower case."""
_PART_WRITTEN = {
    **PART_NAMED,
    **{str(part): part for part in range(len(PARTS))},
    **dict.fromkeys(("", "-1", str(NOT_GIVEN)), NOT_GIVEN),
}


def named(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of domains or clients in natural order, and the number of each sample's, int64.

    Args:
        values: words, bytes or whole numbers, (samples,).
    """
    known, places = np.unique(np.array(strings(values), dtype=np.str_), return_inverse=True)
    names = in_natural_order(strings(known))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in strings(known)], dtype=np.int64)
    return names, numbers[places.reshape(-1)]


def part_of(word: str) -> int | None:
    """The part that a word or a number stands for; None if it is none, see :func:`given_parts`."""
    return _PART_WRITTEN.get(word.strip().lower())


def owners(values: np.ndarray, *, numbers: bool = True) -> tuple[tuple[str, ...], np.ndarray]:
    """Likewise of clients; the number of samples of no client is ``NOBODY``.

    Nothing stands for no client, and so does -1 where all others are whole numbers.

    Args:
        values: see :func:`named`.
        numbers: whether -1 can stand for no client.
    """
    names, places = named(values)
    clients = [name for name in names if name not in ("", "-1")]
    numbered = numbers and all(name.isdecimal() for name in clients)
    nobody = ("", "-1") if numbered else ("",)
    kept = [number for number, name in enumerate(names) if name not in nobody]
    place = np.full(len(names), NOBODY, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    return tuple(names[number] for number in kept), place[places]


def given_parts(values: np.ndarray, where: str) -> np.ndarray:
    """A column of splits, uint8: 0 train, 1 val, 2 test, ``NOT_GIVEN``.

    Args:
        values: these numbers, -1 for what is not given, or words of any case, (samples,).
        where: file and array or column, for errors.

    Raises:
        UserError: something else is among them.
    """
    known, places = np.unique(np.array(strings(values), dtype=np.str_), return_inverse=True)
    parts = [part_of(word) for word in strings(known)]
    if None in parts:
        odd = int(np.flatnonzero(places.reshape(-1) == parts.index(None))[0])
        raise UserError(
            f"{where}[{odd}] is {on_one_line(str(known[parts.index(None)]))!r}; possible: train, "
            "val (valid, validation), test, or 0, 1, 2 for these, and -1 or nothing where it is "
            "not given"
        )
    return np.array(parts, dtype=np.uint8)[places.reshape(-1)]


def counted(splits: np.ndarray) -> str:
    """How many samples each part is given, in words: ``train 70, test 30``."""
    given = {name: int((splits == part).sum()) for part, name in enumerate(PARTS)}
    given["not given"] = int((splits == NOT_GIVEN).sum())
    return ", ".join(f"{name} {number:,}" for name, number in given.items() if number)


def told_of(names: tuple[str, ...], clients: np.ndarray) -> str:
    """How many clients there are, in words: ``12 clients, 3 samples of none``."""
    nobodys = int((clients == NOBODY).sum())
    return count(len(names), "client") + (
        f", {count(nobodys, 'sample')} of none" if nobodys else ""
    )
