"""An assignment of samples to clients as a file: written as CSV, read as CSV or JSON.

The CSV has the columns ``sample``, ``client`` and ``split``; a first line that begins with # says
of which data it is. JSON is what becomes of indices that others have pickled: a list with the
samples of each client, or a mapping from its name, where samples are a list or a mapping from
``train``, ``val`` and ``test``; FL-bench's partition is one whose list is called ``data_indices``.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.data.columns import NOBODY, NOT_GIVEN, PART_NAMED, PARTS, given_parts, owners
from pfltune.data.dataset import Dataset
from pfltune.data.names import on_one_line, some_of
from pfltune.data.split import ClientSplit
from pfltune.errors import UserError
from pfltune.storage import write_whole
from pfltune.text import count

LARGEST = 256 * 2**20
"""Bytes of a file that is read; ten million samples take fewer."""
WRITTEN = ".csv"
KINDS = (WRITTEN, ".json")
NEEDED, OPTIONAL = ("sample", "client"), ("split",)
FL_BENCH = "data_indices"
_BEGIN = "# pfltune partition of "
_HEAD = re.compile(rf"{_BEGIN}.*, [0-9]+ samples, data ([0-9a-f]{{32}})")


@dataclass(frozen=True)
class Assignment:
    """Which client each of some samples is of, and for which part it is given.

    Attributes:
        samples: int64 indices into the data set, as the file has them, each once.
        clients: int64, the number of the client of each.
        names: one per client, in natural order.
        splits: uint8, the part of each; None if nothing is given.
        data: digest of the data set, see :attr:`Dataset.digest`; empty where nobody says.
        notes: what is not read, a line each.
    """

    samples: np.ndarray
    clients: np.ndarray
    names: tuple[str, ...]
    splits: np.ndarray | None
    data: str = ""
    notes: tuple[str, ...] = ()


def written(dataset: Dataset, clients: Sequence[ClientSplit]) -> bytes:
    """The CSV of some clients of a data set, in the order of its samples."""
    rows: list[tuple[int, str | int, str]] = [
        (sample, client.name or number, part)
        for number, client in enumerate(clients)
        for part in PARTS
        for sample in getattr(client, part).tolist()
    ]
    rows.sort(key=lambda row: row[0])
    out = io.StringIO()
    named = on_one_line(dataset.name)
    samples = len(dataset.labels)
    out.write(f"{_BEGIN}{named}, {samples} samples, data {dataset.digest}\n")
    writer = csv.writer(out, lineterminator="\n")
    # The csv module would not quote a carriage return, which it then takes as the end of a row.
    if any("\r" in client.name for client in clients):
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow((*NEEDED, *OPTIONAL))
    writer.writerows(rows)
    return out.getvalue().encode()


def write(path: Path, dataset: Dataset, clients: Sequence[ClientSplit]) -> None:
    """Put the clients of a data set into a CSV, over an older one of ours and nothing else.

    Raises:
        UserError: something else is there, or it cannot be written.
    """
    if path.suffix.lower() != WRITTEN:
        raise UserError(f"a partition is written as {WRITTEN}; {path} is called otherwise")
    try:
        if path.is_symlink() or (path.exists() and not _is_ours(path)):
            raise UserError(
                f"{path} is there and is no partition that pfltune wrote; name another file"
            )
        write_whole(path, written(dataset, clients))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", error)
        raise UserError(f"{path} cannot be written: {why}") from error


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_BEGIN)) == _BEGIN.encode()


def content_of(path: Path) -> bytes:
    """What is in the file of an assignment.

    Raises:
        UserError: it cannot be read, is too large, or has another name than these files have.
    """
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise UserError(
            f"{path} is a pickle, which could run code and is not read: where it was made, convert "
            "it to JSON, a list of indices per client"
        )
    if path.suffix.lower() not in KINDS:
        raise UserError(f"{path} is no file of a partition; possible: {', '.join(KINDS)}")
    try:
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    if len(content) > LARGEST:
        raise UserError(f"{path} has more than {LARGEST:,} bytes; that is no partition")
    return content


@lru_cache(maxsize=2)
def read(content: bytes, path: Path) -> Assignment:
    """The assignment in a file.

    Args:
        content: of the file.
        path: of the file, which says the format.

    Raises:
        UserError: it is none, or has a sample twice.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8: {error.reason}") from error
    found = _json(text, path) if path.suffix.lower() == ".json" else _csv(text, path)
    _see_once(found, path)
    return found


def _see_once(found: Assignment, path: Path) -> None:
    known, counts = np.unique(found.samples, return_counts=True)
    if (counts > 1).any():
        twice = known[counts > 1][0]
        whose = [found.names[c] for c in found.clients[found.samples == twice] if c != NOBODY]
        raise UserError(
            f"{path}: sample {twice} stands there {counts[counts > 1][0]} times"
            + (f", of {some_of(whose)}" if whose else "")
        )
    if not len(found.names):
        raise UserError(f"{path} gives no client a sample")


def _csv(text: str, path: Path) -> Assignment:
    head, _, rest = text.partition("\n")
    said = _HEAD.fullmatch(head.rstrip("\r"))
    reader = csv.reader(io.StringIO(rest if head.startswith("#") else text))
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        odd = [name for name in names if name not in (*NEEDED, *OPTIONAL)]
        if odd or len({*names}) < len(names) or not {*NEEDED} <= {*names}:
            raise UserError(
                f"{path} has the columns {some_of(names) or 'of nothing'}; possible: "
                f"{', '.join(NEEDED)} and, if you like, {', '.join(OPTIONAL)}"
            )
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{path} is no CSV: {error}") from error
    short = next((number for number, row in enumerate(rows) if len(row) != len(names)), None)
    if short is not None:
        raise UserError(
            f"{path}: row {short + 1} has {len(rows[short])} values for {len(names)} columns"
        )
    # By hand one writes a space behind a comma; a name that we wrote is kept as it is.
    columns = {
        name: [row[place] if said and name == "client" else row[place].strip() for row in rows]
        for place, name in enumerate(names)
    }
    samples = [
        _whole(value, f"{path}: sample of row {n}") for n, value in enumerate(columns["sample"], 1)
    ]
    whose = np.array(columns["client"], dtype=np.str_)
    named, clients = owners(whose, numbers=not said)
    splits = None
    if "split" in columns:
        splits = given_parts(np.array(columns["split"], dtype=np.str_), f"{path}: split")
    return Assignment(
        np.array(samples, dtype=np.int64),
        clients,
        named,
        _unless_empty(splits),
        said[1] if said else "",
    )


def _json(text: str, path: Path) -> Assignment:
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {' '.join(str(error).split())}") from error
    notes: tuple[str, ...] = ()
    if isinstance(content, Mapping) and isinstance(content.get(FL_BENCH), list | dict):
        unread = [name for name in content if name != FL_BENCH]
        notes = (f"not read of {path.name}: {some_of(unread)}",) if unread else ()
        content = content[FL_BENCH]
    if isinstance(content, list):
        content = {str(number): its for number, its in enumerate(content)}
    if not isinstance(content, Mapping):
        raise UserError(f"{path} must hold a list, or a mapping from clients, of lists of samples")
    if empty := [name for name, its in content.items() if not _any(its)]:
        told = f"{count(len(empty), 'client')} of {len(content):,}"
        notes += (f"{path.name}: {told} without samples, left out: {some_of(empty)}",)
    rows = [row for name, its in content.items() for row in _of_client(its, name, path)]
    samples, names, parts = zip(*rows, strict=True) if rows else ((), (), ())
    named, clients = owners(np.array(names, dtype=np.str_), numbers=False)
    splits = np.array(parts, dtype=np.uint8)
    return Assignment(
        np.array(samples, dtype=np.int64), clients, named, _unless_empty(splits), notes=notes
    )


def _any(its: Any) -> bool:
    return any(its.values()) if isinstance(its, Mapping) else bool(its)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _of_client(its: Any, name: str, path: Path) -> Iterator[tuple[int, str, int]]:
    """Sample, client and part of each of a client's samples."""
    where = f"{path}: client {on_one_line(name)}"
    by_part = its if isinstance(its, Mapping) else {"": its}
    for word, samples in by_part.items():
        part = PART_NAMED.get(word.lower(), NOT_GIVEN)
        if word and part == NOT_GIVEN:
            raise UserError(f"{where} has {on_one_line(word)!r}; possible: {', '.join(PARTS)}")
        if not isinstance(samples, list):
            raise UserError(f"{where} has {type(samples).__name__}, not a list of samples")
        for sample in samples:
            yield _whole(sample, f"{where}: a sample"), name, part


def _whole(value: Any, where: str) -> int:
    """A whole number as JSON or CSV has it."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise UserError(f"{where} is {on_one_line(str(value))!r}; it must be a whole number from 0 on")


def _unless_empty(splits: np.ndarray | None) -> np.ndarray | None:
    return splits if splits is not None and (splits != NOT_GIVEN).any() else None
