"""Ray Tune's part played in this process: no Ray starts, and one trial trains at a time.

Stories about what is trained, told and kept need no processes of Ray: each of these imports torch
anew. The trials, the scheduler, the search and the journal are those that Tune drives; how Tune
itself drives them is held by test_end_to_end.py, test_chaos.py, test_failures.py and others.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import optuna
import pytest
from chaos.disturb import lines_of
from ray.tune.experiment import Trial
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from pfltune.running.callback import JournalCallback
from pfltune.running.ray_search import DealtSearch
from pfltune.running.scheduler import RungScheduler
from pfltune.running.trainable import FederatedTrainable
from pfltune.tracking.journal import Journal


class InlineTrials:
    """All trials of some sittings, as Tune's controller has them."""

    def __init__(self, sittings, stopping):
        self._given = sittings.given
        self._search = DealtSearch(sittings.dealt, sittings)
        self._scheduler = RungScheduler(sittings.dealt, stopping, [sittings.settle])
        self._callback = JournalCallback(sittings.dealt)
        self._trials = []
        self._more = True

    def get_trials(self):
        return self._trials

    def run(self):
        ended = -1
        while ended != self._ended():
            ended = self._ended()
            self._ask()
            while (trial := self._scheduler.choose_trial_to_run(self)) is not None:
                self._train(trial)
                self._ask()
        assert not self._more, "a search waits for trials, of which none can go on"
        assert ended == len(self._trials), "a trial was paused, and is never gone on with"

    def _ended(self):
        return sum(trial.status == Trial.TERMINATED for trial in self._trials)

    def _ask(self):
        """Take trials until the search has none for now."""
        while self._more:
            number = str(len(self._trials))
            config = self._search.suggest(number)
            if config is None:
                return
            if config == Searcher.FINISHED:
                self._more = False
                return
            self._trials.append(
                SimpleNamespace(
                    trial_id=number,
                    config=config,
                    status=Trial.PENDING,
                    last_result=None,
                    error_file=None,
                    run_metadata=SimpleNamespace(num_failures=0),
                )
            )

    def _train(self, trial):
        """Train a trial until it ends or pauses."""
        trial.status = Trial.RUNNING
        self._callback.on_trial_start(0, self._trials, trial)
        trainable = FederatedTrainable.__new__(FederatedTrainable)  # no logger of Tune's
        trainable.setup(trial.config, self._given)
        while trial.status == Trial.RUNNING:
            result = trainable.step()
            decision = self._heard(trial, result)
            trial.last_result = result
            if decision == RungScheduler.STOP:
                self.stop_trial(trial)
            elif decision == RungScheduler.PAUSE:
                trainable.save()
                trial.status = Trial.PAUSED

    def _heard(self, trial, result):
        flat = flatten_dict(result)
        decision = RungScheduler.STOP
        if not result.get("done"):
            decision = self._scheduler.on_trial_result(self, trial, flat)
        if decision != RungScheduler.STOP:
            self._search.on_trial_result(trial.trial_id, flat)
        self._callback.on_trial_result(0, self._trials, trial, result)
        return decision

    def stop_trial(self, trial):
        if trial.status == Trial.RUNNING:
            flat = flatten_dict(trial.last_result)
            self._scheduler.on_trial_complete(self, trial, flat)
            self._search.on_trial_complete(trial.trial_id, result=flat)
        else:
            self._scheduler.on_trial_remove(self, trial)
            self._search.on_trial_complete(trial.trial_id)
        self._callback.on_trial_complete(0, self._trials, trial)
        trial.status = Trial.TERMINATED


def run_trials(sittings, stopping):
    """As :func:`pfltune.running.ray_trials.run_trials`, in this process."""
    InlineTrials(sittings, stopping).run()


@contextlib.contextmanager
def no_pool(workers, threads, early=True):
    """As :func:`pfltune.running.pool.worker_pool`, without Ray."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield lambda: None


@contextlib.contextmanager
def trained_inline():
    """Comparisons of this process train their trials in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pfltune.running.session.run_trials", run_trials)
        patch.setattr("pfltune.running.session.worker_pool", no_pool)
        yield


class Done(NamedTuple):
    """How a command went, as that of a process."""

    returncode: int
    stdout: str
    stderr: str


def command(folder, *words):
    """Run ``pfltune`` in a folder and in this process."""
    import pfltune.cli

    out, err = io.StringIO(), io.StringIO()
    with trained_inline(), pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        for name in ("MLFLOW_TRACKING_URI", "PFLTUNE_RESULTS"):
            patch.delenv(name, raising=False)
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["pfltune", *words])
        stop = stack.enter_context(pytest.raises(SystemExit))
        pfltune.cli.main()
    return Done(stop.value.code or 0, out.getvalue(), err.getvalue())


def killed(folder, name, lines, words):
    """Kill ``pfltune``, as it is and without warning, when its journal has so many lines.

    It runs in a folder and in a process of its own, with the trials in it. How Ray's processes take
    a kill is held by test_chaos.py.

    Args:
        folder: to run in, with the results below it.
        name: of the comparison.
        lines: of its newest journal.
        words: of the command.
    """
    code = "import sys, inline; inline.kill_at(sys.argv[1], int(sys.argv[2]), sys.argv[3:])"
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(lines), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def kill_at(name, lines, words):
    """Run ``pfltune`` here until the journal has so many lines, and kill this process then."""
    append = Journal.append

    def killing(journal, event):
        append(journal, event)
        if lines_of(Path("results") / name) >= lines:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", killing)
        print(command(Path.cwd(), *words))
