"""Ray: one of our own on this machine, or a cluster that is there."""

import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from pfltune.errors import UserError

KNOCK_S = 10.0


@dataclass(frozen=True)
class Machines:
    """What there is to run trials on.

    Attributes:
        cores: CPU cores, of all machines together.
        gpus: GPUs, likewise.
        address: of the Ray cluster; None for this machine alone.
    """

    cores: int
    gpus: int
    address: str | None = None


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

    try:
        if address != "auto":
            _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"--ray-address {address}: no Ray cluster can be reached there ({first}); "
            "start one with `ray start --head`, or leave the option out"
        ) from error
    there: dict[str, Any] = ray.cluster_resources()
    return Machines(int(there.get("CPU", 1)), int(there.get("GPU", 0)), address)


def _knock(address: str) -> None:
    """See that somebody listens at ``host:port``: Ray would try for half an hour.

    Raises:
        OSError: nobody does.
        ValueError: it is no such address.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), KNOCK_S).close()


@contextmanager
def worker_pool(workers: int, threads: int) -> Iterator[Callable[[], None]]:
    """Ray with room for ``workers`` trials of ``threads`` threads, closed at the end.

    It starts in the background, since that takes seconds in which the caller has other things to
    prepare; the function that the block is given waits for it. A cluster that is connected already
    is used as it is.
    """
    _quieten()
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers)
    import ray

    def start() -> None:
        if not ray.is_initialized():
            ray.init(
                address="local",  # not a cluster that happens to run here, or RAY_ADDRESS
                num_cpus=workers * threads,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )

    with ThreadPoolExecutor(1) as background:
        started = background.submit(start)

        def wait_for_it() -> None:
            started.result()
            # Ray's own handler of SIGTERM would abort this process three seconds after it.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

        try:
            yield wait_for_it
        finally:
            wait([started])
            ray.shutdown()


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
