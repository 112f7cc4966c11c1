"""The recipes of docs/howto/mlflow.md, and servers started by its commands."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import comparisons
import numpy as np
import pytest
from comparisons import Fake
from ports import free_port

from pfltune.report.analysis import analyse
from pfltune.report.attachment import attach_report
from pfltune.report.writer import write_report
from pfltune.tracking.store import Store
from pfltune.tracking.system import SystemMetrics

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "mlflow.md"
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
BLOCKS = {title: (language, text) for language, title, text in BLOCK.findall(PAGE.read_text())}
RECIPES = [title for title, (language, _) in BLOCKS.items() if language == "python"]
METHODS = {
    "fedrep": Fake("FedRep", np.array([[0.6, 0.8], [0.5, 0.7]]), searched=(0.4, 0.6, 0.5)),
    "fedavg": Fake(
        "FedAvg", np.array([[0.5, 0.5], [0.4, 0.6]]), up_mb=2.0, searched=(0.5, 0.4, 0.3)
    ),
}
PATIENCE_S = 600
BESIDE = Path(sys.executable).parent
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # a dozen processes for GenAI
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def write(store):
    """A comparison as it stands in the store when it has ended."""
    comparisons.record(store, "three", METHODS)
    result = analyse(write_report(store.results, "three"))
    attach_report(store.results, result, store.results / "three" / "report", pytest.fail)
    return result


@pytest.mark.thorough
def test_recipes_find_what_the_report_says(cold_store, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    analysis = write(cold_store(tmp_path / "results"))
    found = {}
    try:
        for title in RECIPES:
            exec(compile(BLOCKS[title][1], title, "exec"), found)
    finally:
        mlflow.set_tracking_uri(None)
    best = found["best"]["metrics.val/best_accuracy"]
    assert dict(best) == pytest.approx({"fedrep": 0.6, "fedavg": 0.5})
    assert list(found["best"]["tags.mlflow.runName"]) == ["fedrep-search-1", "fedavg-search-0"]
    assert sorted(found["shown"]["params.lr"].astype(float)) == pytest.approx([0.1, 0.2, 0.3])
    assert set(found["shown"]["tags.outcome"]) == {"finished"}
    assert set(found["shown"]["metrics.rounds"]) == {4.0}
    last = found["curves"].query("round == 4").groupby("method")["accuracy"].mean()
    to_target = found["confirmed"].groupby("params.method")["mb_to_target"].max()
    table = found["table"].set_index("method")
    for method in analysis.result.methods:
        assert last[method.name] == pytest.approx(method.mean("selected/test_accuracy"))
        assert table["test/accuracy"][method.name] == pytest.approx(last[method.name])
    # √½ of 0.67 is below 0.5 after two of four rounds; 2 and 4 MB a round.
    assert dict(to_target) == pytest.approx({"fedrep": 8.0, "fedavg": 16.0})


@pytest.mark.thorough
def test_mlflow_watches_the_machine_on_a_run_and_stops_with_it(cold_store, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    store = cold_store(tmp_path)
    run = store.client.create_run(store.client.create_experiment("watched")).info.run_id

    def measured():
        metrics = store.client.get_run(run).data.metrics
        return {name for name in metrics if name.startswith("system/")}

    watch = SystemMetrics(store.uri)
    watch.watch(run)
    watch.watch(run)
    patiently(measured)
    watch.stop()
    watch.stop()
    assert "system/cpu_utilization_percentage" in measured()
    steps = len(store.client.get_metric_history(run, "system/cpu_utilization_percentage"))
    again = SystemMetrics(store.uri)
    again.watch(run)
    name = "system/cpu_utilization_percentage"
    patiently(lambda: len(store.client.get_metric_history(run, name)) > steps)
    again.stop()
    points = [point.step for point in store.client.get_metric_history(run, name)]
    assert len(points) == len(set(points)), "a resumed comparison goes on behind the last"


def patiently(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


@contextmanager
def served(title, folder, **instead):
    """The server that a command of the page starts, on a free port and with ``instead``."""
    port = str(free_port())
    text = BLOCKS[title][1].replace("--port 5000", f"--port {port} --workers 1")
    for old, new in instead.items():
        text = text.replace(old, new)
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            ["bash", "-c", text.replace("\nmlflow", "\nexec mlflow")],
            cwd=folder,
            env={**os.environ, **LIGHT, "PATH": f"{BESIDE}:{os.environ['PATH']}"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        patiently(lambda: answers(server, f"{address}/health", folder / "log.txt"))
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE_S)


def answers(server, address, log):
    assert server.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def see_all(store):
    """All runs, the report and the table are in the store, and come back through it."""
    write(store)
    client = store.client
    experiment = client.get_experiment_by_name("three").experiment_id
    runs = client.search_runs([experiment])
    assert len(runs) == 1 + 2 * (1 + 3 + 2)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert set(client.load_table(experiment, "table.json")["method"]) == set(METHODS)
    (own,) = client.search_runs([experiment], "tags.stage = 'comparison'")
    page = client.download_artifacts(own.info.run_id, "report/report.html")
    assert "FedRep" in Path(page).read_text()


@pytest.mark.slow
def test_a_server_with_sqlite_and_artifact_proxy(tmp_path, monkeypatch):
    with served("sqlite", tmp_path) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        see_all(Store(tmp_path / "results"))
    assert list((tmp_path / "artifacts").rglob("report.html"))


@pytest.mark.slow
def test_a_server_with_users(tmp_path, monkeypatch):
    pytest.importorskip("flask_wtf")
    words = {"SECRET": "a-secret-of-the-server", "PASSWORD": "a-word-of-twelve"}
    instead = {f"={name}\n": f"={word}\n" for name, word in words.items()}
    with served("basic-auth", tmp_path, **instead) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", words["PASSWORD"])
        see_all(Store(tmp_path / "results"))
    for path in (tmp_path / "results").rglob("*"):
        assert not path.is_file() or words["PASSWORD"].encode() not in path.read_bytes()


@pytest.fixture
def database(tmp_path):
    """``host:port`` of a PostgreSQL of this test alone, with what the page creates."""
    pytest.importorskip("psycopg2")
    if not POSTGRES or (os.getuid() == 0 and not shutil.which("runuser")):
        pytest.skip("PostgreSQL is not installed")
    # Its server refuses to run as root, and its user must reach the folder.
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    folder, port = f"/tmp/pfltune-{os.getpid()}-postgres", str(free_port())

    def run(name, *arguments):
        done = subprocess.run(
            [*user, str(POSTGRES[-1] / name), *arguments], cwd="/tmp", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run("initdb", "-D", folder, "--auth=trust", "--username=postgres", "--no-sync")
        run(
            "pg_ctl", "-D", folder, "-w", "-t", "300", "-l", f"{folder}/log", "-o", options, "start"
        )
        try:
            there = ("-h", "127.0.0.1", "-p", port, "-U", "postgres")
            run("createuser", *there, "mlflow")
            run("createdb", *there, "--owner", "mlflow", "mlflow")
            yield f"127.0.0.1:{port}"
        finally:
            run("pg_ctl", "-D", folder, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_server_with_postgresql(tmp_path, monkeypatch, database):
    with served("postgresql", tmp_path, **{"localhost:5432": database}) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        see_all(Store(tmp_path / "results"))
