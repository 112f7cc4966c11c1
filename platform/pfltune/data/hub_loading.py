"""Where the library ``datasets`` is asked for a data set: on its hub, or in a folder."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfltune.data.home import own_path
from pfltune.errors import UserError
from pfltune.text import plain, redacted

if TYPE_CHECKING:
    import pyarrow as pa

SAVED = ("dataset_dict.json", "state.json")
"""What ``save_to_disk`` writes."""


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a data set in a format of the hub: saved there, or Parquet files."""
    saved = any((folder / name).is_file() for name in SAVED)
    return saved or any(any(folder.glob(form)) for form in ("*.parquet", "*/*.parquet"))


@dataclass(frozen=True)
class Splits:
    """The splits of a data set, each of which has the same columns.

    Attributes:
        by_name: the library's data sets.
    """

    by_name: Mapping[str, Any]

    @property
    def features(self) -> Mapping[str, Any]:
        """The types of the columns by name."""
        return next(iter(self.by_name.values())).features

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """The names of the classes of a column that has some."""
        names = getattr(self.features[column], "names", None)
        return tuple(names) if names else None

    def without(self, names: Collection[str]) -> "Splits":
        """All but some of them."""
        return Splits({name: data for name, data in self.by_name.items() if name not in names})

    def tables(self, columns: Sequence[str], rows: int) -> "Iterator[tuple[str, int, pa.Table]]":
        """The columns, so many rows at a time: the split, the number of the first row, and they."""
        for name, dataset in self.by_name.items():
            start = 1
            for table in _read(dataset, columns, rows):
                yield name, start, table
                start += len(table)


def _read(dataset: Any, columns: Sequence[str], rows: int) -> "Iterator[pa.Table]":
    try:
        yield from dataset.select_columns(list(columns)).with_format("arrow").iter(rows)
    except Exception as error:  # of files that are damaged, and of what they say
        raise UserError(f"the library datasets cannot read on: {_reason(error)}") from error


def loaded(name: str) -> Splits:
    """The data set of a name on the hub, or in a folder; no code of anybody is run for it.

    Args:
        name: NAME, NAME:CONFIG, or the path of a folder.

    Raises:
        UserError: the library is missing, or the data set cannot be had.
    """
    if find_spec("datasets") is None:
        raise UserError(
            f"data set 'hf:{name}' is read by the library datasets, which is not installed: "
            "pip install 'pfltune[hf]'"
        )
    path = own_path(name)
    is_path = name.startswith(("/", ".", "~")) or path.is_dir()
    if is_path and not path.is_dir():
        raise UserError(f"there is no folder {path}")
    try:
        with _quiet():
            found = _in_folder(path) if is_path else _on_hub(name)
    except Exception as error:  # of the library, of the network, of files that are damaged
        if is_path:
            raise UserError(
                f"{path} cannot be read by the library datasets: {_reason(error)}"
            ) from error
        raise UserError(
            f"data set 'hf:{name}' cannot be had from the hub ({_reason(error)}); without it, name "
            "a folder of its Parquet files: hf:/path/to/folder"
        ) from error
    by_name = found if isinstance(found, dict) else {str(found.split or "train"): found}
    return Splits(by_name)


def _reason(error: Exception) -> str:
    return plain(redacted(str(error))) or type(error).__name__


def _in_folder(path: Path) -> Any:
    import datasets

    if any((path / name).is_file() for name in SAVED):
        return datasets.load_from_disk(path)
    # As a stream: the library would write all of it again into its own cache.
    return datasets.load_dataset(str(path), streaming=True)


def _on_hub(name: str) -> Any:
    import datasets

    repository, _, config = name.partition(":")
    return datasets.load_dataset(repository, config or None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, and without a warning for every attempt to reach the hub."""
    import datasets
    from huggingface_hub.utils import logging as hub

    shown, verbosity = datasets.utils.is_progress_bar_enabled(), hub.get_verbosity()
    datasets.disable_progress_bars()
    hub.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        hub.set_verbosity(verbosity)
        if shown:
            datasets.enable_progress_bars()
