"""Labels as people save them, made numbers of classes: 0 … C-1, and a name for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pfltune.data.names import in_natural_order, on_one_line, some_of
from pfltune.errors import UserError

# Without names of classes, the labels say how many there are: it must be no accident.
MOST_CLASSES = 2**16
# From here on floats do not hold every whole number.
BOUND = 2**53


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        numbers: int64 (samples,), each sample's class, 0 … C-1.
        names: one per class.
        notes: what was done to the labels, a line each.
    """

    numbers: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def one_label_each(values: np.ndarray, where: str) -> np.ndarray:
    """Labels as whole numbers from 0 on, or as words, (samples,).

    Args:
        values: of shape (samples,), or one-hot rows (samples, classes).
        where: file and array, for errors.

    Raises:
        UserError: not one label per sample, no whole number or negative.
    """
    if values.dtype.kind not in "biufUS" or (values.ndim == 2 and values.dtype.kind in "US"):
        raise UserError(f"{where} are {values.dtype}; they must be whole numbers or words")
    if values.dtype.kind in "US":
        return _decoded(values)
    return _columns(values, where) if values.ndim == 2 else _whole(values, where)


def number(labels: np.ndarray, names: tuple[str, ...] | None, where: str) -> Classes:
    """Number the classes; without ``names`` they are the labels that occur, in their order.

    Args:
        labels: see :func:`one_label_each`.
        names: one per class, or None.
        where: file and array, for errors.

    Raises:
        UserError: a label is none of the classes, or there are too many.
    """
    if names is None:
        return _by_occurrence(labels, where)
    if labels.dtype.kind == "U":
        return Classes(_places(labels, names, where), names)
    return _by_number(labels, names, where)


def strings(values: np.ndarray) -> tuple[str, ...]:
    """Words, bytes or numbers as text."""
    return tuple(str(value) for value in _decoded(values))


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _columns(values: np.ndarray, where: str) -> np.ndarray:
    """The column of the one in each row."""
    good = ((values == 0) | (values == 1)).all(1) & (values.sum(1) == 1)
    if not good.all():
        raise UserError(
            f"{where} are of shape {values.shape}, but {where}[{int((~good).argmax())}] is not "
            "one-hot; methods here learn one label per image"
        )
    return values.argmax(1)


def _whole(values: np.ndarray, where: str) -> np.ndarray:
    exact = values.astype(np.float64)
    for wrong, must in (
        (exact != np.floor(exact), "a whole number"),  # NaN is not even itself
        (~((exact >= 0) & (exact < BOUND)), f"from 0 to {BOUND - 1}"),
    ):
        if wrong.any():
            first = int(wrong.argmax())
            raise UserError(f"{where}[{first}] is {values[first]}; it must be {must}")
    return values.astype(np.int64)


def _by_occurrence(labels: np.ndarray, where: str) -> Classes:
    known, numbers = np.unique(labels, return_inverse=True)
    if len(known) > MOST_CLASSES:
        raise UserError(f"{where} have {len(known):,} different values; at most {MOST_CLASSES:,}")
    if labels.dtype.kind == "U":
        names = in_natural_order(strings(known))
        told = f"labels are words, and became classes 0 to {len(names) - 1}: {some_of(names)}"
        return Classes(_places(labels, names, where), names, (told,))
    names = strings(known)
    if np.array_equal(known, np.arange(len(known))):
        return Classes(numbers.reshape(-1), names)
    told = (
        f"{len(known)} different labels from {known[0]} to {known[-1]} became classes 0 to "
        f"{len(known) - 1}, and remain their names"
    )
    return Classes(numbers.reshape(-1), names, (told,))


def _by_number(labels: np.ndarray, names: Sequence[str], where: str) -> Classes:
    if not len(labels):
        return Classes(labels, tuple(names))
    if labels.min() >= 1 and labels.max() == len(names):
        told = f"labels 1 to {len(names)} became 0 to {len(names) - 1}, one per class_name"
        return Classes(labels - 1, tuple(names), (told,))
    wrong = labels >= len(names)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(
            f"{where}[{first}] is {labels[first]}; it must be from 0 to {len(names) - 1}, "
            f"since there are {len(names)} class_names"
        )
    return Classes(labels, tuple(names))


def _places(words: np.ndarray, names: Sequence[str], where: str) -> np.ndarray:
    place = {name: number for number, name in enumerate(names)}
    for first, word in enumerate(words.tolist()):
        if word not in place:
            raise UserError(f"{where}[{first}] is {on_one_line(word)!r}, none of the class_names")
    return np.array([place[word] for word in words.tolist()], dtype=np.int64)
