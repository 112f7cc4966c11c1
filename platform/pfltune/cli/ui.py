"""``pfltune ui``."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path

import click

from pfltune.cli import options
from pfltune.errors import UserError, unknown

STARTS_WITHIN_S = 60.0


@click.command(
    epilog=options.examples(
        "pfltune ui",
        "pfltune ui my-comparison",
        "pfltune ui my-comparison --view curves",
        "pfltune ui --port 5001",
    )
)
@click.argument("name", required=False)
@click.option(
    "--view",
    help="Which view of the comparison: methods, curves, trials, tuning or tuning-METHOD, grid, "
    "parts. The default fits the command that made it.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@options.results
def command(name: str | None, view: str | None, host: str, port: int, results: Path) -> None:
    """Serve the MLflow pages of past comparisons until Ctrl-C, opened at the comparison NAME.

    One experiment per comparison, one run per method, one run below it per trial. Views with charts
    are kept with each; without --view, the one that fits the command is opened.
    """
    from pfltune.tracking.store import Store

    store = Store(results)
    if store.uri.startswith(("http://", "https://")):
        there = store.address.rstrip("/") + _page(name, view, results)
        raise UserError(f"MLFLOW_TRACKING_URI names an MLflow server: open {there} in a browser")
    if not store.exists:
        raise UserError(
            f"there is no MLflow store at {store.address} yet; "
            "run `pfltune compare` first or name another folder with --results"
        )
    address = f"http://{host}:{port}"
    page = address + _page(name, view, results)
    click.echo(f"MLflow on {page} (Ctrl-C stops it)")
    sys.stdout.flush()
    server = [sys.executable, "-m", "mlflow", "server"]
    server += ["--host", host, "--port", str(port), "--workers", "1"]
    server += ["--default-artifact-root", (results / "artifacts").resolve().as_uri()]
    # Everybody on the machine can read a command line, and the address may hold a password.
    running = subprocess.Popen(server, env={**os.environ, "MLFLOW_BACKEND_STORE_URI": store.uri})
    signal.signal(signal.SIGTERM, lambda *_: running.terminate())
    if _has_desktop() and _answers(address, running):
        webbrowser.open(page)
    try:
        click.get_current_context().exit(running.wait())
    except KeyboardInterrupt:
        running.wait()
        raise


def _page(name: str | None, view: str | None, results: Path) -> str:
    """Where a view of the comparison is shown, or everything.

    Raises:
        UserError: there is no such comparison, or it has no such view.
    """
    if name is None:
        if view is not None:
            raise UserError(f"--view {view} needs the name of a comparison")
        return ""
    from pfltune.report.results import find_record
    from pfltune.tracking.runs import own_experiment
    from pfltune.tracking.store import Store
    from pfltune.tracking.views import fitting, kept_views, page

    store, record = Store(results), find_record(results, name)
    found = own_experiment(store, name, record.id)
    if found is None or found.lifecycle_stage != "active":
        raise UserError(
            f"{store.address} has no experiment of {name!r}, or it was deleted there; "
            f"`pfltune compare --resume {name}` writes it anew"
        )
    kept = kept_views(found.tags)
    if view is not None and view not in kept:
        raise unknown(f"view of {name}", view, kept)
    chosen = view or fitting(record.command, kept)
    return page(found.experiment_id, kept[chosen])


def _has_desktop() -> bool:
    """Whether somebody looks on who has a browser with windows."""
    shown = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    return sys.stdout.isatty() and bool(shown)


def _answers(address: str, server: subprocess.Popen) -> bool:
    """Wait until the server answers; whether it does."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return True
        except OSError:
            time.sleep(0.5)
    return False
