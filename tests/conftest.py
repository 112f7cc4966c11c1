"""What the tests share: one thread, and a federation small enough to train in a blink."""

import os
import pickle
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image

from pfltune.federation.trial import FederatedTrial
from pfltune.figures import repeats
from pfltune.report.canvas import Drawing
from pfltune.testing import runs
from pfltune.testing.federations import tiny_federation

# A busy machine is no failure, and every machine tries the same examples.
settings.register_profile(
    "pfltune",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pfltune")
# Below nohup it is ignored, and by all processes that the tests start: some wait for it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A user's own results are neither read nor written, whatever the shell says.
for name in ("PFLTUNE_RESULTS", "PFLTUNE_DEBUG", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)

SLOW_S = 3600


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The last bits depend on the number of threads, and the machine is shared."""
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Files that start whole commands come first, so that no worker begins one at the very end.

    What takes long has time enough on a machine that does much else: a test may run several
    commands, each of which has a generous end of its own. The tests of a file run in one process,
    unless they say that smaller groups may part.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        if any(item.get_closest_marker(mark) for mark in ("slow", "thorough")):
            item.add_marker(pytest.mark.timeout(SLOW_S))
    slow = [item for item in items if item.get_closest_marker("slow")]
    files = {item.path for item in slow}
    items.sort(key=lambda item: item.path not in files)


def pytest_collection_finish(session):
    """Versions of pytest and xdist that do not fit each other part the tests of a group unheard."""
    is_grouped = getattr(session.config.option, "loadgroup", False)
    assert not (is_grouped and session.items) or "@" in session.items[0].nodeid


@pytest.fixture(scope="session")
def everyones(request, tmp_path_factory):
    """A folder that all workers of this run of the tests have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(request.config, "workerinput") else own


@pytest.fixture(scope="session")
def made_once(everyones, tmp_path_factory):
    """``made_once(name, make)``: what ``make(folder)`` gave the first worker that asked for it.

    The others read it and must leave what lies in the folder as it is.
    """

    def once(name, make):
        kept = everyones / f"{name}.pickle"
        with FileLock(everyones / f"{name}.lock"):
            if not kept.exists():
                kept.write_bytes(pickle.dumps(make(tmp_path_factory.mktemp(name))))
        return pickle.loads(kept.read_bytes())

    return once


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(everyones):
    """What tests keep of data, start weights and measurements is not the user's."""
    os.environ["PFLTUNE_DATA"] = str(everyones / "data")


@pytest.fixture(scope="module")
def png_alone():
    """Figures are made, and written as PNGs of a dot: for tests that look at none of the files.

    To lay them out and to write them takes most of the time of a report.
    """

    def dot(drawing, folder):
        Image.new("L", (1, 1)).save(folder / f"{drawing.name}.png")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drawing, "write", dot)
        yield


@pytest.fixture
def inline():
    """Comparisons of this process train their trials in it, see tests/inline.py."""
    from inline import trained_inline  # imports Ray Tune: seconds

    with trained_inline():
        yield


@pytest.fixture
def called(monkeypatch, capsys):
    """``called(*arguments)``: exit code, output and errors of a command line in this process."""
    import pfltune.cli

    def call(*arguments):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.setattr(sys, "argv", ["pfltune", *arguments])
        with pytest.raises(SystemExit) as stop:
            pfltune.cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    yield call
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def wheel(made_once):
    """The wheel of this checkout."""
    from wheels import built

    return made_once("wheel", built)


@pytest.fixture(scope="session")
def python_with_wheel(made_once, wheel):
    """An interpreter that has the wheel and knows nothing of the checkout."""
    from wheels import environment

    return made_once("environment", partial(environment, wheel))


@pytest.fixture(scope="session")
def reference(made_once):
    """The small comparison of tests/chaos, which nobody has disturbed."""
    from chaos.reference import undisturbed

    return made_once("undisturbed", undisturbed)


@pytest.fixture(scope="session")
def cold_store(made_once):
    """``cold_store(results)``: an empty MLflow store in a results folder.

    It is a copy of one that was made once: the tables take MLflow seconds.
    """
    from pfltune.tracking import own_store
    from pfltune.tracking.store import Store

    def make(folder):
        own_store.make(folder / own_store.FILE)
        return folder / own_store.FILE

    def copied(results):
        results.mkdir(parents=True, exist_ok=True)
        shutil.copy(made_once("cold", make), results / own_store.FILE)
        return Store(results)

    return copied


@pytest.fixture(scope="session")
def make_federation():
    """The factory of tiny federations, see :func:`pfltune.testing.federations.tiny_federation`."""
    return tiny_federation


@pytest.fixture(scope="session")
def federation(make_federation):
    """The tiny federation that most tests run on: 4 clients, 2 of them sampled, 3 rounds."""
    ground = make_federation()
    pixels, labels = ground.dataset.images.clone(), ground.dataset.labels.clone()
    yield ground
    assert torch.equal(ground.dataset.images, pixels), "a test changed the shared images"
    assert torch.equal(ground.dataset.labels, labels), "a test changed the shared labels"


@dataclass
class Finished:
    """A trial that has run, and the metrics of its rounds.

    Attributes:
        trial: the trial.
        metrics: one dictionary per round, without the figures that no two runs share.
    """

    trial: FederatedTrial
    metrics: list[dict[str, float]]


@pytest.fixture(scope="session")
def reproducible():
    """The metrics of a report that a second run must repeat: all but seconds and memory."""
    return runs.repeatable


@pytest.fixture(scope="session")
def run_trial(federation):
    """``run_trial(method, ground=..., seed=0, rounds=None)`` runs a trial, see ``Finished``."""

    def run(method, ground=federation, *, seed=0, rounds=None):
        trial = FederatedTrial(method, ground, seed)
        todo = ground.protocol.rounds if rounds is None else rounds
        return Finished(trial, [runs.repeatable(trial.step().metrics) for _ in range(todo)])

    return run


@pytest.fixture(scope="session")
def state_of():
    """``state_of(trial)`` copies the server's and all clients' tensors into one dictionary."""

    return runs.state_of


@pytest.fixture(scope="session")
def differing():
    """``differing(a, b)`` names the tensors that are not the same to the last bit."""

    return runs.differing


def without_measurements(metrics):
    return {name: v for name, v in metrics.items() if repeats(name)}
