"""The SQLite store of a results folder: made whole or not at all, and at home wherever it lies."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from pfltune.errors import UserError
from pfltune.storage import whole

FILE, ARTIFACTS = "mlflow.db", "artifacts"
COMPARISON_TAG = "pfltune.comparison"
"""The id of a comparison, on its experiment and on every run; nothing else is ever changed."""
MIGRATING = "_alembic_tmp_"


def address(file: Path) -> str:
    """A SQLite file as SQLAlchemy and MLflow take it, whatever characters its path has."""
    from sqlalchemy import URL

    path = str(file.resolve())
    plain = URL.create("sqlite", database=path).render_as_string(hide_password=False)
    if plain.endswith(path):
        return plain
    # MLflow would make the folder that a quoted path names as it stands, but not for this driver.
    return plain.replace("sqlite:", "sqlite+pysqlite:", 1)


def make(file: Path) -> None:
    """Make an MLflow store at ``file`` if there is none; one process at a time.

    A file without an experiment is what a kill or a full disk left of MLflow's own beginning. It is
    set aside, and the store made anew: the journals have all that belongs into it.

    Raises:
        UserError: there is a database of somebody else.
        OSError: it cannot be made.
    """
    if file.exists():
        if not _is_half_made(file):
            return
        if file.stat().st_size:
            file.rename(_free_name(file))
    from mlflow.tracking import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".pfltune-", dir=file.parent) as folder:
        draft = Path(folder) / FILE
        MlflowClient(tracking_uri=address(draft)).search_experiments(max_results=1)
        with (
            whole(file) as partial,
            closing(sqlite3.connect(draft)) as made,
            closing(sqlite3.connect(partial)) as copy,
        ):
            made.backup(copy)


def settle(results: Path) -> None:
    """Have all artifacts of comparisons lie in this results folder, which may have been moved.

    MLflow keeps absolute addresses. Those of our experiments and runs are made to lead into
    ``results``; so none leads out of it either, whoever wrote them.
    """
    with closing(sqlite3.connect(results / FILE)) as database, database:
        ours = database.execute(
            "SELECT e.experiment_id, e.artifact_location FROM experiments e JOIN experiment_tags t "
            "ON t.experiment_id = e.experiment_id WHERE t.key = ?",
            (COMPARISON_TAG,),
        ).fetchall()
        for experiment, known in ours:
            name = Path(unquote(known.rstrip("/"))).name
            home = (results.resolve() / ARTIFACTS / name).as_uri()
            if known != home:
                database.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                    (home, experiment),
                )
            database.execute(
                "UPDATE runs SET artifact_uri = ? || '/' || run_uuid || '/artifacts' "
                "WHERE experiment_id = ? AND artifact_uri != ? || '/' || run_uuid || '/artifacts'",
                (home, experiment, home),
            )


def _is_half_made(file: Path) -> bool:
    """Whether a store's making was interrupted.

    Raises:
        UserError: it holds tables that MLflow does not know.
    """
    from mlflow.store.tracking.dbmodels.models import Base

    try:
        with closing(sqlite3.connect(file)) as database:
            found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in found if not name.startswith(("sqlite_", MIGRATING))}
            if "experiments" in tables:
                (count,) = database.execute("SELECT count(*) FROM experiments").fetchone()
                return not count
    except sqlite3.DatabaseError as error:
        raise UserError(f"{file} is no SQLite database ({error}); move it away") from error
    foreign = sorted(tables - set(Base.metadata.tables) - {"alembic_version"})
    if foreign:
        raise UserError(
            f"{file} is a database of another program (it has a table {foreign[0]!r}); "
            "name another folder with --results"
        )
    return True


def _free_name(file: Path) -> Path:
    names = (file.with_name(f"{file.name}.half-made-{number}") for number in range(1, 10**6))
    return next(name for name in names if not name.exists())
