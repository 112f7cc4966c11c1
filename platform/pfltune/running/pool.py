"""Ray: one of our own on this machine, or a cluster that is there."""

import logging
import os
import secrets
import signal
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pfltune.errors import Halted, UserError
from pfltune.running.ray_folder import ray_folder
from pfltune.text import plain

KNOCK_S = 10.0
MEMORY = ("memory", "object_store_memory")
"""What Ray calls the memory of a machine, in bytes."""


@dataclass(frozen=True)
class Machines:
    """What there is to run trials on.

    Attributes:
        cores: CPU cores, of all machines together.
        gpus: GPUs, likewise.
        address: of the Ray cluster; None for this machine alone.
        memory_mb: of the largest machine of a cluster, in 10^6 bytes; None where nobody knows.
    """

    cores: int
    gpus: int
    address: str | None = None
    memory_mb: float | None = None


def this_machine() -> Machines:
    """The machine that we run on."""
    return Machines(os.cpu_count() or 1, torch.cuda.device_count())


def cluster(address: str) -> Machines:
    """Connect to a Ray cluster; stays connected.

    Args:
        address: ``auto`` for the one that this machine belongs to, or ``host:port``.

    Raises:
        UserError: there is none.
    """
    _quieten()
    import ray
    from ray.exceptions import AuthenticationError

    from pfltune.running.private_api import ask

    try:
        if address != "auto":
            _knock(address)
        ask(address, KNOCK_S)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except AuthenticationError as error:
        raise UserError(
            f"--ray-address {address}: the Ray cluster there wants its token; set "
            "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token to the token that "
            "`ray get-auth-token` prints on its head, on every machine and here"
        ) from error
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"--ray-address {address}: no Ray cluster can be reached there ({first}); "
            "start one with `ray start --head`, or leave the option out"
        ) from error
    there: dict[str, Any] = ray.cluster_resources()
    most = most_memory(ray.nodes())
    return Machines(int(there.get("CPU", 1)), int(there.get("GPU", 0)), address, most)


def most_memory(nodes: Iterable[Mapping[str, Any]]) -> float | None:
    """MB of the largest machine of a cluster; None where no machine tells.

    Ray counts what is for tasks and what is for objects; together they are near all there is.

    Args:
        nodes: as ``ray.nodes()`` lists them, those that have left too.
    """
    alive = [node.get("Resources", {}) for node in nodes if node.get("Alive")]
    sizes = [sum(each.get(kind, 0.0) for kind in MEMORY) for each in alive]
    return max(sizes, default=0.0) / 1e6 or None


def _knock(address: str) -> None:
    """See that somebody listens at ``host:port``: Ray would try for half an hour.

    Raises:
        OSError: nobody does.
        ValueError: it is no such address.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), KNOCK_S).close()


@contextmanager
def worker_pool(workers: int, threads: int, early: bool = True) -> Iterator[Callable[[], None]]:
    """Ray with room for ``workers`` trials of ``threads`` threads, closed at the end.

    A cluster that is connected already is used as it is. A Ray of our own listens on 127.0.0.1
    only, takes nobody's commands without a token that this process and its children alone know,
    and keeps its files in a private folder.

    Args:
        workers: trials side by side.
        threads: of each.
        early: start in the background, since that takes seconds in which the caller has other
            things to prepare; otherwise when the function that the block is given is called,
            which waits for it in any case.

    Raises:
        Halted: it cannot start.
    """
    _quieten()
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers)
    import ray

    with ray_folder() as folder, _token() as reread, ThreadPoolExecutor(1) as background:

        def start() -> None:
            if not ray.is_initialized():
                reread()
                _start(folder, workers * threads)

        started = background.submit(start) if early else None

        def wait_for_it() -> None:
            (started or background.submit(start)).result()
            # Ray's own handler of SIGTERM would abort this process three seconds after it.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

        try:
            yield wait_for_it
        finally:
            if started:
                wait([started])
            ray.shutdown()


def _start(folder: Path, cores: int) -> None:
    """Start a Ray of our own.

    Raises:
        Halted: it does not start.
    """
    import ray

    from pfltune.running.private_api import bare, on_loopback

    try:
        with on_loopback(), bare():
            ray.init(
                address="local",  # not a cluster that happens to run here, or RAY_ADDRESS
                num_cpus=cores,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder / "r"),
            )
    except Exception as error:  # Ray raises whatever the part raises that did not start
        first = plain(str(error).strip().split("\n", 1)[0]) or type(error).__name__
        raise Halted(
            f"Ray did not start in {folder.parent} ({first}); on a machine that is busy start "
            "again later, on a full disk make room there or name another folder with TMPDIR"
        ) from error


@contextmanager
def _token() -> Iterator[Callable[[], None]]:
    """A fresh token for a Ray of our own, known by the environment of its processes alone.

    Ray would write one into the user's home, where a later client of any cluster finds it.

    Yields:
        What makes Ray take it; a cluster that is connected keeps its own.
    """
    from pfltune.running.private_api import reread_environment

    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
    before = {name: os.environ.get(name) for name in names}

    def take() -> None:
        os.environ.update(zip(names, ("token", secrets.token_hex(32)), strict=True))
        reread_environment()

    try:
        yield take
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        reread_environment()


def _quieten() -> None:
    """Ray's loggers, usage reports and warnings that say nothing to a user of pfltune.

    One setting is about more than silence: with one pending trial, Tune's default, a trial takes
    over the first free process and cancels the start of the second one again and again, so that the
    pool never grows beyond one (``TUNE_MAX_PENDING_TRIALS_PG``).
    """
    import optuna

    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AIR_NEW_OUTPUT="0",  # Tune's own tables; the old ones obey verbose=0
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        RAY_gcs_rpc_server_reconnect_timeout_s="10",  # a dead Ray is noticed in seconds
        # A machine that is busy with other work is slow to start anything.
        RAY_gcs_server_port_wait_time_s="180",
        RAY_raylet_start_wait_time_s="180",
        RAY_worker_register_timeout_seconds="300",
        RAY_agent_register_timeout_ms="300000",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_SIGINT_HANDLER="1",  # Ctrl-C is ours, see stopping.py
        TUNE_WARN_THRESHOLD_S="5",
        TUNE_GLOBAL_CHECKPOINT_S="1000000",  # nobody reads Tune's own state, see session.py
    )
    # A failed trial is a row of the report with its reason, not a traceback on the screen.
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module=r"ray\..*")
