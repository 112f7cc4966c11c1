"""A local Ray: started beside other preparations, quiet, closed again."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager


@contextmanager
def worker_pool(workers: int, threads: int) -> Iterator[Callable[[], None]]:
    """A local Ray with room for ``workers`` trials of ``threads`` threads, closed at the end.

    Ray starts in the background, since that takes seconds in which the caller has other things to
    prepare; the function that the block is given waits for it.
    """
    _quieten(workers)
    import ray

    def start() -> None:
        ray.init(
            num_cpus=workers * threads,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    with ThreadPoolExecutor(1) as background:
        started = background.submit(start)
        try:
            yield lambda: started.result()
        finally:
            wait([started])
            ray.shutdown()


def _quieten(workers: int) -> None:
    """Ray's loggers, usage reports and warnings that say nothing to a user of pfltune."""
    import optuna

    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AIR_NEW_OUTPUT="0",  # Tune's own tables; the old ones obey verbose=0
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_SIGINT_HANDLER="1",  # Ctrl-C is ours: open runs must be closed
        TUNE_WARN_THRESHOLD_S="5",
        # With one pending trial, Tune's default, a trial takes over the first free process and
        # cancels the start of the second one again and again: the pool never grows beyond one.
        TUNE_MAX_PENDING_TRIALS_PG=str(workers),
    )
    # A failed trial is a row of the report with its reason, not a traceback on the screen.
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module=r"ray\..*")
