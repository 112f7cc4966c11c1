"""Optuna's storages by their addresses, opened without harm to whatever else is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfltune.errors import UserError, told
from pfltune.storage import whole

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

EXAMPLE = "sqlite:///studies.db"
TABLES = {"studies", "trials", "version_info"}
"""What every storage of Optuna's has."""
WAIT_S = 60
"""How long SQLite waits for another process that writes."""


@contextmanager
def written(address: str) -> Iterator[Any]:
    """A storage to write studies into; a SQLite file that is new comes whole or not at all.

    Raises:
        UserError: there can be none at this address, or something else is there.
    """
    url = parsed_address(address)
    path = _file_of(url)
    if path is None or path.exists():
        with _opened(url) as storage:
            yield storage
        return
    try:
        with whole(path.absolute()) as partial, _opened(url.set(database=str(partial))) as storage:
            yield storage
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def read(address: str) -> Iterator[Any]:
    """A storage that is there, to read studies from.

    Raises:
        UserError: there is none at this address.
    """
    url = parsed_address(address)
    path = _file_of(url)
    if path is not None and not path.is_file():
        raise UserError(f"there is no file {path}")
    with _opened(url, is_there=True) as storage:
        yield storage


def parsed_address(address: str) -> "URL":
    """An address in its parts.

    Raises:
        UserError: it is none, or of what is gone at the end of the process.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise UserError(
            f"{address!r} is no address of a storage; write one such as {EXAMPLE}"
        ) from None
    if _is_sqlite(url) and url.database in (None, "", ":memory:"):
        raise UserError(f"{shown(url)} names no file; write one such as {EXAMPLE}")
    return url


def shown(url: "URL") -> str:
    """An address without its password."""
    return str(url.render_as_string(hide_password=True))


def _is_sqlite(url: "URL") -> bool:
    return url.drivername.partition("+")[0] == "sqlite"


def _file_of(url: "URL") -> Path | None:
    """The file of a SQLite storage; None for another one."""
    return Path(str(url.database)) if _is_sqlite(url) else None


@contextmanager
def _opened(url: "URL", is_there: bool = False) -> Iterator[Any]:
    import optuna
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments = {"connect_args": {"timeout": WAIT_S}} if _is_sqlite(url) else {}
    try:
        _see_nothing_else(url, is_there)
        storage = RDBStorage(
            url.render_as_string(hide_password=False),
            engine_kwargs=arguments,
            skip_table_creation=is_there,
        )
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
        raise UserError(f"Optuna cannot open {shown(url)}: {told(error)}") from error
    try:
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise UserError(f"Optuna cannot use {shown(url)}: {told(error)}") from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _see_nothing_else(url: "URL", is_there: bool) -> None:
    """See that a database is Optuna's, or empty if it need not be there.

    Raises:
        UserError: it is not; nothing was written into it.
    """
    from sqlalchemy import create_engine, inspect

    engine = create_engine(url)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if not tables >= TABLES and (tables or is_there):
        raise UserError(f"{shown(url)} is no storage of Optuna's; give the address of another")
