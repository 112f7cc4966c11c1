"""A table that lists image files, with the class, the client, the part and the domain of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pfltune.data.columns import counted, named, owners, part_of, told_of
from pfltune.data.labels import BOUND, Classes, number
from pfltune.data.listed import Listed, see_files
from pfltune.data.names import on_one_line, some_of
from pfltune.data.selection import choose, renumbered
from pfltune.data.settings import Columns
from pfltune.data.table import Table, Wanted, read_table
from pfltune.errors import UserError

MUST = ("path", "label")
MAY = ("client", "split", "domain")


@dataclass(frozen=True)
class Kind:
    """What the rows of a table say of themselves in one respect.

    Attributes:
        names: of the classes, the domains or the clients.
        numbers: which of these each row is, or -1, int64 (rows,).
    """

    names: tuple[str, ...]
    numbers: np.ndarray

    def only(self, chosen: tuple[str, ...] | None, noun: str) -> "Kind":
        """The same with the chosen names, in their order."""
        numbers = renumbered(self.names, chosen, noun)
        return Kind(choose(self.names, chosen, noun), numbers[self.numbers])


def manifest(
    path: Path,
    called: Columns,
    size: int,
    *,
    root: Path | None = None,
    classes: tuple[str, ...] | None = None,
    domains: tuple[str, ...] | None = None,
) -> Listed:
    """The image files that a CSV, TSV or Parquet file lists, in its order.

    Args:
        path: the file, with the columns path and label and any of client, split and domain.
        called: what these are called in it, where they are called otherwise.
        size: side in pixels at which images are decoded.
        root: what paths are relative to; the folder of the file by default.
        classes: only these, in this order.
        domains: likewise.

    Raises:
        UserError: a column is missing, or a row is not like that; with the number of the row.
    """
    table = read_table(path, wanted(called, MUST, MAY))
    if not len(table):
        raise UserError(f"{path} has no rows below its header")
    if domains and "domain" not in table.columns:
        raise UserError(f"domains={list(domains)}: {path} has no column 'domain'")
    labels = _classes(table)
    kinds = {"labels": Kind(labels.names, labels.numbers).only(classes, "class")}
    if "domain" in table.columns:
        domain_of = Kind(*named(np.array(table.filled("domain"))))
        kinds["domains"] = domain_of.only(domains, "domain")
    kept = np.flatnonzero(np.all([kind.numbers >= 0 for kind in kinds.values()], axis=0))
    if "client" in table.columns:
        kinds["clients"] = Kind(*owners(np.array(table.columns["client"])))
    columns = {column: kind.numbers[kept] for column, kind in kinds.items()}
    if any(table.columns.get("split", ())):
        columns["splits"] = _parts(table)[kept]
    files = [(root or path.parent) / text for text in table.filled("path")]
    see_files(table, files, kept.tolist())
    names = {column: kind.names for column, kind in kinds.items()}
    return Listed(
        files=tuple(files[place] for place in kept),
        columns=columns,
        class_names=names["labels"],
        domain_names=names.get("domains", ()),
        client_names=names.get("clients", ()),
        size=size,
        told=(*labels.notes, *_told(table, columns, names)),
    )


def wanted(called: Columns, must: tuple[str, ...], may: tuple[str, ...]) -> dict[str, Wanted]:
    """The columns of a table: those that must be there, or were named, and those that may be.

    Raises:
        UserError: a column is named for what nothing reads.
    """
    given: Mapping[str, str] = called.model_dump(exclude_none=True)
    known = (*must, *may)
    for purpose, name in given.items():
        if purpose not in known:
            possible = ", ".join(f"data.columns.{each}" for each in known)
            raise UserError(
                f"data.columns.{purpose}={on_one_line(name)} has no effect here; there are: "
                f"{possible}"
            )
    return {name: Wanted(given.get(name, name), name in must or name in given) for name in known}


def _classes(table: Table) -> Classes:
    """Labels that all are numbers count as numbers, otherwise all of them are words."""
    texts = np.array(table.filled("label"))
    try:
        values = texts.astype(np.float64)
    except ValueError:
        names, numbers = named(texts)
        return Classes(numbers, names)
    good = (values == np.floor(values)) & (values >= 0) & (values < BOUND)
    if not good.all():
        place = int((~good).argmax())
        raise UserError(
            f"{table.at(place)}: the label {on_one_line(texts[place])} is no whole number from 0 "
            "on, as labels must be where all are numbers"
        )
    return number(values.astype(np.int64), None, f"{table.path}: the labels")


def _parts(table: Table) -> np.ndarray:
    """The part that each row is given for; an empty cell says nothing."""
    parts = {text: part_of(text) for text in set(table.columns["split"])}
    for place, text in enumerate(table.columns["split"]):
        if parts[text] is None:
            raise UserError(
                f"{table.at(place)}: the split {on_one_line(text)!r} is none of train, val and "
                "test; leave it empty where the scenario shall split"
            )
    return np.array([parts[text] for text in table.columns["split"]], dtype=np.uint8)


def _told(
    table: Table, columns: Mapping[str, np.ndarray], names: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """Whose the samples are, what is given, and what is not read."""
    if "clients" in columns:
        yield f"{table.path.name}: {told_of(names['clients'], columns['clients'])}"
    if "splits" in columns:
        yield f"{table.path.name} gives splits, {counted(columns['splits'])}"
    if table.unread:
        yield f"columns of {table.path.name} that are not read: {some_of(table.unread)}"
