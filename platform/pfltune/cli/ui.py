"""``pfltune ui``."""

import os
import sys
from pathlib import Path

import click

from pfltune.cli import options
from pfltune.errors import UserError


@click.command(epilog=options.examples("pfltune ui", "pfltune ui --port 5001"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@options.results
def command(host: str, port: int, results: Path) -> None:
    """Serve the MLflow pages of past comparisons until Ctrl-C.

    One experiment per comparison, one run per method, one run below it per trial.
    """
    from pfltune.tracking.store import tracking_uri

    store = tracking_uri(results)
    if store.startswith(("http://", "https://")):
        raise UserError("MLFLOW_TRACKING_URI names an MLflow server: open its address in a browser")
    if store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file():
        raise UserError(
            f"there is no MLflow store at {store.removeprefix('sqlite:///')} yet; "
            "run `pfltune compare` first or name another folder with --results"
        )
    click.echo(f"MLflow on http://{host}:{port} (Ctrl-C stops it)")
    sys.stdout.flush()
    server = [sys.executable, "-m", "mlflow", "server"]
    server += ["--host", host, "--port", str(port), "--workers", "1"]
    server += ["--default-artifact-root", (results / "artifacts").resolve().as_uri()]
    # Everybody on the machine can read a command line, and the address may hold a password.
    os.execve(sys.executable, server, {**os.environ, "MLFLOW_BACKEND_STORE_URI": store})
