"""Opening the MLflow store: SQLite in the results folder, or whatever MLFLOW_TRACKING_URI names."""

import logging
import os
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from filelock import FileLock

from pfltune.errors import UserError
from pfltune.ownership import see_inside
from pfltune.text import redacted
from pfltune.tracking import own_store

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

REACH_SECONDS = 15.0
MAX_REASON = 240
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# Whoever writes tries again for as long as it takes; a request that waits by itself for minutes
# would only hide that nothing goes on.
DEFAULTS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# They print a page for every failed attempt, of which the user is told in one line.
LOUD = ("mlflow.store", "mlflow.system_metrics", "urllib3.connectionpool")


def tracking_uri(results: Path) -> str:
    """The store's address; ``MLFLOW_TRACKING_URI`` wins over the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or own_store.address(results / own_store.FILE)


def writable_folder(results: Path) -> Path:
    """The results folder, created if need be, as an absolute path.

    Raises:
        UserError: it cannot be created or written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            f"the results folder {str(results)!r} cannot be written ({error.strerror}); "
            "name another with --results or PFLTUNE_RESULTS"
        ) from error
    return results.resolve()


def reason(error: BaseException) -> str:
    """An error in one line, without credentials; of a long one, its beginning and its end."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # without its number
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    line = (redacted(text).strip().splitlines() or [type(error).__name__])[0]
    if len(line) <= MAX_REASON:
        return line
    return f"{line[: MAX_REASON // 2]} … {line[-MAX_REASON // 2 :]}"


def is_bug(error: Exception) -> bool:
    """Whether an error is ours; libraries and the network raise types of their own."""
    return type(error).__module__ == "builtins" and not isinstance(error, OSError)


class Store:
    """One MLflow store, written by the driver only; nothing is opened before it is needed.

    Args:
        results: the results folder.

    Attributes:
        uri: the store's address, which may hold a password.
        results: the results folder, which also holds the artifacts of new experiments.
    """

    def __init__(self, results: Path) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        for name in LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        self.uri = tracking_uri(results)
        self.results = results.resolve()

    @cached_property
    def client(self) -> "MlflowClient":
        """The client; a new SQLite store is made by one process while the others wait."""
        from mlflow.tracking import MlflowClient

        if self.is_own:
            see_inside(self._file, self.results)
        with self._opening():
            if self.is_sqlite:
                own_store.make(self._file)
            if self.is_own:
                own_store.settle(self.results)
            elif self._is_database:
                self._connect()
            return MlflowClient(tracking_uri=self.uri)

    @property
    def address(self) -> str:
        """The store's address, to be shown."""
        if "://" not in self.uri:  # a mistake, but one that may hold a password
            return re.sub(r".*@", "***@", self.uri)
        return redacted(self.uri)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file on this machine."""
        return self.uri.startswith(("sqlite:", "sqlite+"))

    @property
    def is_own(self) -> bool:
        """Whether it is the one of the results folder."""
        return self.is_sqlite and self.uri == own_store.address(self.results / own_store.FILE)

    @property
    def exists(self) -> bool:
        """Whether there may be something in it: a SQLite store is a file."""
        # Path.is_file() would raise an error for a name that is too long.
        return not self.is_sqlite or os.path.isfile(self._file)  # noqa: PTH113

    def reachable(self) -> None:
        """See whether the store answers; a new one is made.

        Raises:
            UserError: it does not.
        """
        # Making the tables takes what it takes, and so does waiting for a process that is at it.
        if self.is_sqlite:
            failure = _tried(self._ask)
        elif self._is_database:
            failure = _tried(self._connect, REACH_SECONDS) or _tried(self._ask)
        else:
            failure = _tried(self._ask, REACH_SECONDS)
        if failure is not None:
            failure = failure.replace(self.uri, self.address)
            raise UserError(f"the MLflow store {self.address} cannot be reached: {failure}")

    @property
    def _is_database(self) -> bool:
        return re.split("[+:]", self.uri, maxsplit=1)[0] in DATABASES

    @property
    def _file(self) -> Path:
        """Of a SQLite store."""
        from sqlalchemy import make_url

        return Path(make_url(self.uri).database or "")

    def _opening(self) -> AbstractContextManager[object]:
        """What one process at a time may be in; MLflow guards only its server like that."""
        if not self.is_sqlite:
            return nullcontext()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(_no_link(self._file.parent / ".mlflow.lock"))

    def _connect(self) -> None:
        """Connect once; MLflow itself would try for minutes before it says anything."""
        from sqlalchemy import create_engine, inspect

        engine = create_engine(self.uri)
        try:
            inspect(engine).get_table_names()
        finally:
            engine.dispose()

    def _ask(self) -> None:
        """Have it do something."""
        self.client.search_experiments(max_results=1)


def _no_link(path: Path) -> Path:
    if path.is_symlink():
        raise UserError(f"{path} is a link to somewhere else; remove it")
    return path


def _tried(attempt: Callable[[], object], seconds: float | None = None) -> str | None:
    """Why ``attempt`` fails, or does not end within ``seconds``; None if it does."""
    failures = []

    def run() -> None:
        try:
            attempt()
        except Exception as error:
            failures.append(reason(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"no answer within {seconds:g} s"
    return failures[0] if failures else None
