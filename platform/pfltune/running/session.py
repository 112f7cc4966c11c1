"""Running jobs, from their folders over Ray Tune to a complete MLflow: one, or several at once."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from pfltune.errors import TrackingError
from pfltune.record import read_record
from pfltune.running.folder_lock import locked
from pfltune.running.job import Watched
from pfltune.running.pool import worker_pool
from pfltune.running.ray_trials import run_trials
from pfltune.running.sitting import Sitting, way_back
from pfltune.running.sittings import House, Ran, Sittings, in_vain
from pfltune.running.stopping import Stopping, stopping_by_signals

STOPPING = "\nStopping after the rounds that run now; Ctrl-C again stops at once"
PATIENCE_S = 120.0
"""How long a finished comparison waits for an MLflow that does not answer."""


def run_sessions(watched: Sequence[Watched], house: House) -> list[Ran]:
    """Run several jobs at once, with one pool of workers; returns how each went, in their order.

    A job that cannot begin does not stop the others. The journal in a job's folder is the truth:
    what it knows as ended is not run again, and MLflow is told all of it until it knows it too.

    Args:
        watched: the jobs, each with who watches it.
        house: what they have in common.

    Raises:
        KeyboardInterrupt: the user stopped them.
        Halted: they cannot go on for now.
    """
    results = [Ran(each.job) for each in watched]
    with ExitStack() as stack:
        warn = partial(watched[0].voice.warn, STOPPING)
        stopping = stack.enter_context(stopping_by_signals(warn))
        pairs = list(zip(watched, results, strict=True))
        begins = [_hold(each, ran, stack) for each, ran in pairs]
        _see_firsts(pairs)
        going = [(each, ran) for each, ran in pairs if ran.error is None]
        if going:
            # Jobs that have ended already need no Ray, nor do those whose trials are all known.
            early = any(begins) and house.store.is_empty
            _run(going, house, stopping, stack, early)
    return results


def _hold(watched: Watched, ran: Ran, stack: ExitStack) -> bool:
    """Check a job and hold its folder; whether it has not begun before."""
    job, begins = watched.job, False
    with ran.noting():
        job.hardware.see_room(job.scenario.check(job.firsts()))
        job.check_optimizers()
        begins = read_record(job.folder) is None
        stack.enter_context(locked(job.folder))
    return begins


def _see_firsts(pairs: Sequence[tuple[Watched, Ran]]) -> None:
    """Note of jobs that wait for one which cannot begin that they cannot, either."""
    able = {each.job.name for each, ran in pairs if ran.error is None}
    for each, ran in pairs:
        if each.after and each.after.first not in able and ran.error is None:
            ran.error = in_vain(each.after)


def _run(
    going: Sequence[tuple[Watched, Ran]],
    house: House,
    stopping: Stopping,
    stack: ExitStack,
    early: bool,
) -> None:
    hardware = [each.job.hardware for each, _ in going]
    workers, threads = max(h.workers for h in hardware), max(h.threads for h in hardware)
    wait_for_pool = stack.enter_context(worker_pool(workers, threads, early=early))
    sittings = Sittings(house, stack)
    for each, ran in going:
        with ran.noting():
            sittings.add(each, ran)
    for each, _ in going:
        if each.job.name in sittings.opened:
            sittings.opened[each.job.name].say_what_is_left(each.voice)
    while sittings.open_next():
        pass
    working = {name for name, dealt in sittings.dealt.items() if dealt.has_work()}
    if working or sittings:
        wait_for_pool()
        waiting = {each.job.name for each, ran in going if ran.record is None and not ran.error}
        _train(sittings, [e for e, _ in going if e.job.name in working | waiting], stopping)
    sittings.settle()
    for each, ran in going:
        if each.job.name in sittings.opened:
            with ran.noting():
                _complete(each, sittings.opened[each.job.name])


def _train(sittings: Sittings, watched: Sequence[Watched], stopping: Stopping) -> None:
    try:
        for each in watched:
            each.progress.start()
        run_trials(sittings, stopping)
    finally:
        for each in watched:
            each.progress.close()


def _complete(watched: Watched, sitting: Sitting) -> None:
    """Wait until MLflow knows all of it.

    Raises:
        TrackingError: it could not be told.
    """
    try:
        sitting.mirror.close(PATIENCE_S)
    except TrackingError:
        watched.voice.tell(way_back(watched.job))
        raise
