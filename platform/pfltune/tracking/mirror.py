"""Mirroring a comparison in MLflow, in the background and for as long as that takes."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from mlflow.entities import DatasetInput, Metric

from pfltune.errors import ForeignExperiment, TrackingError
from pfltune.goal import Goal
from pfltune.tracking.best_so_far import BestSoFar, Fits, every
from pfltune.tracking.events import Event, MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL
from pfltune.tracking.runs import MAX_BATCH, Runs, round_metrics
from pfltune.tracking.store import Store, is_bug, reason
from pfltune.tracking.system import SystemMetrics
from pfltune.tracking.views import PLAIN, Views

FLUSH_SECONDS = 2.0
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
# A call that neither returns nor fails for so long is taken for an outage when all shall end.
STUCK_SECONDS = 120.0

Command = Callable[[], None]


@dataclass
class _Trial:
    """What is still to be written of a trial, its last round, and what its end says of all."""

    started: TrialStarted
    rounds: deque[RoundDone] = field(default_factory=deque)
    ended: TrialEnded | None = None
    written_at: float = float("-inf")
    last: RoundDone | None = None
    best: list[Metric] = field(default_factory=list)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing of it has been written yet."""
        return self.written_at == float("-inf")

    @property
    def due(self) -> float:
        """When to write it, on the monotonic clock; infinite if there is nothing to write."""
        if self.ended:
            return float("-inf")
        if self.rounds or self.is_fresh:
            return self.written_at + FLUSH_SECONDS
        return float("inf")


class Mirror:
    """Tells MLflow what the journal of a comparison says, as often as need be.

    A thread does all that concerns MLflow; nobody waits for it but :meth:`close`. What cannot be
    written is kept and tried again. The events of earlier sessions may be told again, and should
    be: what is missing is added, what is there stays as it is. The thread begins at once.

    Args:
        store: where to write.
        experiment: the experiment's name; it may exist, if it is this comparison's.
        comparison: the comparison's id.
        tags: on every run: scenario, versions, revision.
        parents: title of each method by its short name.
        artifacts: texts on the comparison's own run, by file name.
        files: attached to it.
        on_trouble: told in one line when MLflow fails, and when it is back; called in the thread.
        data: what every run was given; None if nothing is to be said of it.
        settle: called before anything is written: what MLflow is told must not be lost any more.
        sitting: name of the journal whose events are told.
        note: the description of experiment and methods until there is a report.
        system: watches this machine meanwhile; None if nobody asked for it.
        views: what MLflow's pages show at once.
        fits: whether a search trial may be chosen, by how it stood at its end.
    """

    def __init__(
        self,
        store: Store,
        experiment: str,
        comparison: str,
        tags: Mapping[str, str],
        parents: Mapping[str, str],
        artifacts: Mapping[str, str],
        files: Iterable[Path],
        on_trouble: Callable[[str], object],
        data: DatasetInput | None = None,
        settle: Callable[[], None] = lambda: None,
        sitting: str = JOURNAL,
        note: str = "",
        system: SystemMetrics | None = None,
        views: Views = PLAIN,
        fits: Fits = every,
    ) -> None:
        self._address = store.address
        self._settle = settle
        given = (tags, parents, artifacts, files, data, sitting, note, system, views)
        self._runs = Runs(store, experiment, comparison, *given)
        self._rungs = views.rungs
        self._tell = on_trouble
        self._queue: SimpleQueue[Event | Command | None] = SimpleQueue()
        self._interrupted = False
        # All that follows belongs to the thread; others only look at it.
        self._trials: dict[str, _Trial] = {}
        self._best = BestSoFar(fits, views.goal)
        self._goal = views.goal
        self._over: set[str] = set()
        self._commands: deque[Command] = deque()
        self._closing = False
        self._wait = FIRST_WAIT
        self._progress = time.monotonic()
        self._trouble = ""
        self._bug: BaseException | None = None
        self._hurry = threading.Event()
        self._given_up = threading.Event()
        self._done = threading.Event()
        threading.Thread(target=self._work, name="mlflow-mirror", daemon=True).start()

    def put(self, event: Event) -> None:
        """Have an event written; returns at once."""
        if not self._interrupted and not self._done.is_set():
            self._queue.put(event)

    def also(self, write: Callable[[Runs], None]) -> None:
        """Have something else written once all is that was put before; it may be done twice."""
        if not self._interrupted and not self._done.is_set():
            self._queue.put(partial(write, self._runs))

    def interrupt(self) -> None:
        """Have all runs that have not ended marked as killed; what comes later is not written."""
        self._interrupted = True
        self._queue.put(self._runs.kill)

    def close(self, patience_s: float) -> str:
        """Wait until everything is written; returns the experiment's id.

        Args:
            patience_s: while MLflow fails, seconds since this call or since something could last
                be written.

        Raises:
            TrackingError: not everything could be written.
        """
        self._queue.put(None)
        self._hurry.set()
        began = time.monotonic()
        while not self._done.is_set():
            patience = patience_s if self._trouble else max(patience_s, STUCK_SECONDS)
            left = max(began, self._progress) + patience - time.monotonic()
            if left <= 0:
                self._given_up.set()
                self._hurry.set()
                why = self._trouble or f"no answer for {patience:g} s"
                raise TrackingError(f"MLflow at {self._address} could not be written: {why}")
            self._done.wait(min(left, 0.2))
        if isinstance(self._bug, ForeignExperiment):
            raise self._bug
        if self._bug is not None:
            raise TrackingError(_stopped(self._bug)) from self._bug
        return self._runs.experiment

    def _work(self) -> None:
        try:
            while not self._given_up.is_set() and not self._written():
                self._take()
        except BaseException as error:
            self._bug = error
            told = str(error) if isinstance(error, ForeignExperiment) else _stopped(error)
            with suppress(Exception):
                self._tell(told)
        finally:
            self._done.set()

    def _written(self) -> bool:
        """Write what is due; whether that was the last."""
        try:
            self._write()
            finished = self._closing and self._queue.empty()
            if finished:
                self._runs.check()
        except Exception as error:
            if is_bug(error) or isinstance(error, ForeignExperiment):
                raise
            self._sit_out(error)
            return False
        if self._trouble:
            self._trouble = ""
            self._tell(f"MLflow at {self._address} is back; all that it missed is written")
        return finished

    def _write(self) -> None:
        self._settle()
        for _ in self._runs.open():
            self._progressed()
        at_once = self._closing or bool(self._commands)
        for trial in list(self._trials.values()):
            if at_once or trial.due <= time.monotonic():
                self._write_trial(trial)
        while self._commands:
            self._commands[0]()
            self._commands.popleft()
            self._progressed()

    def _write_trial(self, trial: _Trial) -> None:
        name = trial.started.trial
        rungs = self._rungs if trial.started.stage == "search" else ()
        self._runs.drop_other(trial.started, trial.ended)
        if self._runs.is_whole(name):
            if trial.ended:  # else its end may be another, and its rounds are wanted
                trial.rounds.clear()
        else:
            if self._runs.start(trial.started):
                self._progressed()
            while trial.rounds:
                count, metrics = _batch(trial.rounds, rungs, self._goal)
                self._runs.log(name, metrics)
                for _ in range(count):
                    trial.rounds.popleft()
                self._progressed()
            if trial.ended:
                self._runs.end(trial.ended)
                self._progressed()
        if trial.best and not self._runs.is_whole(trial.started.method):
            self._runs.log(trial.started.method, trial.best)
        trial.written_at = time.monotonic()
        if trial.ended:
            del self._trials[name]
            self._over.add(name)
            self._progressed()

    def _progressed(self) -> None:
        """Something need not be written again."""
        self._progress = time.monotonic()
        self._wait = FIRST_WAIT

    def _sit_out(self, error: Exception) -> None:
        """Wait for MLflow to come back, longer each time; after :meth:`close` anew."""
        self._runs.forget()
        known, self._trouble = self._trouble, reason(error)
        if not known:
            self._tell(
                f"MLflow at {self._address} cannot be written ({self._trouble}); "
                "the comparison goes on, and what it misses is kept and written later"
            )
        if self._hurry.wait(self._wait):
            self._hurry.clear()
            self._wait = FIRST_WAIT
        else:
            self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _take(self) -> None:
        """Wait until something comes or is due, and sort in all that has come."""
        due = min((trial.due for trial in self._trials.values()), default=float("inf"))
        waiting = 0.0 if self._trouble or self._closing else due - time.monotonic()
        with suppress(Empty):
            item = self._queue.get(timeout=None if waiting == float("inf") else max(waiting, 0.0))
            while True:
                self._sort_in(item)
                item = self._queue.get_nowait()

    def _sort_in(self, item: Event | Command | None) -> None:
        if item is None:
            self._closing = True
        elif isinstance(item, MethodEnded):
            self._commands.append(partial(self._runs.end_method, item))
        elif not isinstance(item, Event):
            self._commands.append(item)
        elif isinstance(item, TrialStarted):
            if item.trial not in self._over:
                self._trials.setdefault(item.trial, _Trial(item))
        elif item.trial not in self._over and not self._trials[item.trial].ended:
            trial = self._trials[item.trial]
            if isinstance(item, RoundDone):
                trial.rounds.append(item)
                trial.last = item
            else:
                trial.ended = item
                trial.best = self._best.ended(trial.started, trial.last, item)


def _batch(
    rounds: Iterable[RoundDone], rungs: Collection[int], goal: Goal
) -> tuple[int, list[Metric]]:
    """As many of the first rounds as fit in one request, but at least one: their number, points."""
    metrics: list[Metric] = []
    count = 0
    for done in rounds:
        more = round_metrics(done, rungs, goal)
        if metrics and len(metrics) + len(more) > MAX_BATCH:
            break
        metrics += more
        count += 1
    return count, metrics


def _stopped(error: BaseException) -> str:
    return (
        f"writing to MLflow stopped by a mistake of ours: {type(error).__name__}: {reason(error)}"
    )
