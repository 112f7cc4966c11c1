"""Whether Ray and MLflow do what a comparison asks of them."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pfltune.doctor.finding import Finding, Place
from pfltune.errors import UserError
from pfltune.running.pool import worker_pool
from pfltune.text import count
from pfltune.tracking.store import Store

PATIENCE_S = 120.0
TRACKING = "MLFLOW_TRACKING_URI"


def ray_starts(_: Place) -> Finding:
    """A Ray of our own starts, trains nothing, and ends."""
    import ray

    began = time.perf_counter()
    with worker_pool(1, 1) as wait_for_it:
        wait_for_it()
        started = time.perf_counter() - began
        worker = ray.remote(_torch).options(num_cpus=1)
        ray.get(worker.remote(), timeout=PATIENCE_S)
        answered = time.perf_counter() - began
        gpus = int(ray.cluster_resources().get("GPU", 0))
    words = f"starts in {started:.1f} s, a worker with torch answers after {answered:.1f} s"
    figures = {"start s": started, "worker s": answered, "gpus": float(gpus)}
    there = torch.cuda.device_count()
    if gpus != there:
        seen = f"Ray sees {count(gpus, 'GPU')}, torch {there}"
        advice = "see that CUDA_VISIBLE_DEVICES names what there is"
        return Finding("Ray", "wrong", f"{words}; {seen}", advice, figures)
    return Finding("Ray", "ok", words, figures=figures)


def mlflow_keeps(place: Place) -> Finding:
    """MLflow keeps a run in a store of its own, and the user's server answers, if one is named."""
    with TemporaryDirectory(prefix="pfltune-doctor-") as folder:
        began = time.perf_counter()
        value = _kept(Path(folder))
        seconds = time.perf_counter() - began
    if value != 1.0:
        return Finding("MLflow", "wrong", f"a figure of 1 came back as {value}", "reinstall mlflow")
    words = f"a new store keeps a run, in {seconds:.1f} s"
    figures = {"store s": seconds}
    if TRACKING not in os.environ:
        return Finding("MLflow", "ok", words, figures=figures)
    store = Store(place.results)
    if store.is_sqlite:
        return Finding("MLflow", "ok", f"{words}; {TRACKING} names {store.address}")
    try:
        store.reachable()
    except UserError as error:
        advice = f"start the server, or unset {TRACKING}"
        return Finding("MLflow", "wrong", f"{words}; {error}", advice, figures)
    return Finding("MLflow", "ok", f"{words}; {store.address} answers", figures=figures)


def _torch() -> str:
    """What a worker imports first, as trials do."""
    return torch.__version__


def _kept(folder: Path) -> float:
    """A figure of 1 that was written to a new store and read from it."""
    with _nobodys_server():
        client = Store(folder).client
        run = client.create_run(client.create_experiment("doctor"))
        client.log_metric(run.info.run_id, "figure", 1.0)
        return client.get_run(run.info.run_id).data.metrics["figure"]


@contextmanager
def _nobodys_server() -> Iterator[None]:
    """Nothing is written to a store that the user's environment names."""
    named = os.environ.pop(TRACKING, None)
    try:
        yield
    finally:
        if named is not None:
            os.environ[TRACKING] = named
