"""Columns of texts in a CSV, TSV or Parquet file that somebody wrote."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfltune.data.names import on_one_line, some_of
from pfltune.errors import UserError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SUFFIXES = (".csv", ".tsv", ".parquet")
# More are a mistake, or a file that was made to fill the memory.
MOST_ROWS = 20_000_000
HEADER = 1


@dataclass(frozen=True)
class Table:
    """Some columns of a file.

    Attributes:
        path: the file.
        columns: the texts of each, without white space around them, by what they are asked for as.
        rows: the number of each row as people count: in a spreadsheet the header is row 1.
        unread: the names of all other columns.
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    rows: Sequence[int]
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, place: int) -> str:
        """Where a row is, for errors."""
        return f"{self.path}, row {self.rows[place]}"

    def filled(self, name: str) -> Sequence[str]:
        """A column in which every row says something.

        Raises:
            UserError: one does not.
        """
        values = self.columns[name]
        if "" in values:
            raise UserError(f"{self.at(values.index(''))}: the column {name!r} is empty")
        return values


@dataclass(frozen=True)
class Wanted:
    """A column that is asked for.

    Attributes:
        name: as the header has it, whatever its case.
        must: whether the file must have it.
    """

    name: str
    must: bool


def read_table(path: Path, wanted: Mapping[str, Wanted], suffix: str | None = None) -> Table:
    """The wanted columns of a file, of those that it has.

    A CSV file is UTF-8 with a header; semicolons part its cells where the header has no comma, as
    where a comma is the decimal point. Lines without any cell are passed over.

    Args:
        path: .csv, .tsv or .parquet.
        wanted: columns, by what they are for.
        suffix: of a file that has another one.

    Raises:
        UserError: the file is missing or damaged, or a column that must be there is not.
    """
    suffix = suffix or path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} is none of: {', '.join(f'*{known}' for known in SUFFIXES)}")
    try:
        return _parquet(path, wanted) if suffix == ".parquet" else _csv(path, wanted)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _csv(path: Path, wanted: Mapping[str, Wanted]) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(path, head), strict=True)
            header = next(reader, [])
            places = places_of(str(path), header, wanted)
            cells: list[list[str]] = [[] for _ in places]
            rows = []
            for row, line in _numbered(path, reader, len(header)):
                rows.append(row)
                for column, place in zip(cells, places.values(), strict=True):
                    column.append(line[place].strip())
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file or is damaged: {error}") from error
    return Table(path, dict(zip(places, cells, strict=True)), rows, _unread(header, places))


def _delimiter(path: Path, head: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in head and "," not in head else ","


def _numbered(
    path: Path, lines: Iterator[list[str]], width: int
) -> Iterator[tuple[int, list[str]]]:
    """The lines below the header that have cells, and the number of each."""
    for row, line in enumerate(lines, start=HEADER + 1):
        if row - HEADER > MOST_ROWS:
            raise _too_long(path)
        if line and len(line) != width:
            raise UserError(
                f"{path}, row {row}: {len(line)} cells, but the header has {width}; put quotes "
                "around a cell that has a comma in it"
            )
        if line:
            yield row, line


def _parquet(path: Path, wanted: Mapping[str, Wanted]) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            header = file.schema_arrow.names
            places = places_of(str(path), header, wanted)
            if file.metadata.num_rows > MOST_ROWS:
                raise _too_long(path)
            columns = _texts(path, file, [header[place] for place in places.values()])
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no Parquet file or is damaged: {reason}") from error
    rows = range(1, len(columns[0]) + 1)
    return Table(path, dict(zip(places, columns, strict=True)), rows, _unread(header, places))


def _texts(path: Path, file: "ParquetFile", names: Sequence[str]) -> list[list[str]]:
    """The named columns as texts; what is missing is an empty one."""
    import pyarrow as pa

    cells: list[list[str]] = [[] for _ in names]
    for batch in file.iter_batches(columns=list(names)):
        for column, name in zip(cells, names, strict=True):
            values = batch.column(name)
            try:
                texts = values.cast(pa.string()).to_pylist()
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise UserError(
                    f"{path}: the column {name!r} holds {values.type}, not texts or numbers"
                ) from error
            column.extend((text or "").strip() for text in texts)
    return cells


def places_of(where: str, header: Sequence[str], wanted: Mapping[str, Wanted]) -> dict[str, int]:
    """Which column is which of the wanted ones, of those that are there; by what they are for.

    Args:
        where: the file, for errors.
        header: the names of all columns.
        wanted: columns, by what they are for.

    Raises:
        UserError: one that must be there is not, or two have one name.
    """
    known = [name.strip().lower() for name in header]
    twice = next((name for name, count in Counter(known).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{where} has two columns {on_one_line(twice)!r}")
    places = {}
    for purpose, column in wanted.items():
        if column.name.lower() in known:
            places[purpose] = known.index(column.name.lower())
        elif column.must:
            held = some_of(header) or "none"
            raise UserError(
                f"{where} has no column {column.name!r}; it has: {held}; say which one it is with "
                f"data.columns.{purpose}=NAME"
            )
    return places


def _unread(header: Sequence[str], places: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(header) if place not in places.values())


def _too_long(path: Path) -> UserError:
    return UserError(f"{path} has more than {MOST_ROWS:,} rows")
