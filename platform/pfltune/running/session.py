"""Running jobs, from their folders over Ray Tune to a complete MLflow: one, or several at once."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from pfltune.data.dataset import Dataset
from pfltune.errors import TrackingError, UserError
from pfltune.federation.federation import Federation
from pfltune.record import Record, read_record
from pfltune.running.finished import TrialStore
from pfltune.running.folder_lock import locked
from pfltune.running.job import DrawPartition, Job, Watched
from pfltune.running.pool import worker_pool
from pfltune.running.ray_trials import run_trials
from pfltune.running.sitting import Sitting, open_sitting, way_back
from pfltune.running.stopping import Stopping, stopping_by_signals

STOPPING = "\nStopping after the rounds that run now; Ctrl-C again stops at once"
PATIENCE_S = 120.0
"""How long a finished comparison waits for an MLflow that does not answer."""


@dataclass
class Ran:
    """How a job went.

    Attributes:
        job: what was run.
        record: what it was run as; None if it could not begin.
        error: why it could not begin, or why MLflow lacks something of it.
    """

    job: Job
    record: Record | None = None
    error: UserError | TrackingError | None = None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep what concerns this job alone, so that it does not stop others."""
        try:
            yield
        except (UserError, TrackingError) as error:
            self.error = error


@dataclass(frozen=True)
class House:
    """What all jobs that run together have in common.

    Attributes:
        draw: writes the partition's table and picture.
        store: finished trials of all comparisons.
        accept_new_code: go on although another program began a job.
    """

    draw: DrawPartition
    store: TrialStore
    accept_new_code: bool = False


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
        begins = [_hold(each, ran, stack) for each, ran in zip(watched, results, strict=True)]
        going = [
            (each, ran) for each, ran in zip(watched, results, strict=True) if ran.error is None
        ]
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
    sittings = []
    datasets: dict[str, Dataset] = {}
    for each, ran in going:
        with ran.noting():
            sitting = _opened(each, house, datasets, stack)
            ran.record = sitting.record
            sittings.append((each, ran, sitting))
    working = [each for each, _, sitting in sittings if sitting.dealt.has_work()]
    for each, _, sitting in sittings:
        sitting.say_what_is_left(each.voice)
    if working:
        wait_for_pool()
        _train([sitting for *_, sitting in sittings], working, stopping)
    for _, _, sitting in sittings:
        sitting.settle()
    for each, ran, sitting in sittings:
        with ran.noting():
            _complete(each, sitting)


def _opened(
    watched: Watched, house: House, datasets: dict[str, Dataset], stack: ExitStack
) -> Sitting:
    """A sitting whose known trials have been told; the stack closes it.

    Raises:
        UserError: it cannot begin, or is not as it began.
    """
    federation = _federation(watched, datasets)
    with ExitStack() as own:
        opened = open_sitting(watched, federation, house.draw, house.store, house.accept_new_code)
        sitting = own.enter_context(opened)
        sitting.dealt.has_work()
        stack.enter_context(own.pop_all())
    return sitting


def _federation(watched: Watched, datasets: dict[str, Dataset]) -> Federation:
    """What a job's scenario makes; jobs on the same data set share its images."""
    job, voice = watched.job, watched.voice
    voice.tell(f"Preparing scenario {job.scenario.name}: data, clients, weights")
    federation = job.scenario.build(job.hardware.threads)
    for note in (*job.scenario.notes(), *job.notes):
        voice.tell(note)
    loaded = f"{job.scenario.data.model_dump_json()} at {job.scenario.backbone.image_size}"
    return replace(federation, dataset=datasets.setdefault(loaded, federation.dataset))


def _train(sittings: Sequence[Sitting], watched: Sequence[Watched], stopping: Stopping) -> None:
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
