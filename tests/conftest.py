"""What the tests share: one thread, and a federation small enough to train in a blink."""

import os
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, settings

from pfltune.federation.trial import FederatedTrial
from pfltune.testing import runs
from pfltune.testing.ground import tiny_federation

# A busy machine is no failure, and every machine tries the same examples.
settings.register_profile(
    "pfltune",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pfltune")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The last bits depend on the number of threads, and the machine is shared."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    """What tests keep of data, start weights and measurements is not the user's."""
    os.environ["PFLTUNE_DATA"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The small comparison of tests/chaos, which nobody has disturbed."""
    from chaos.reference import undisturbed

    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def make_federation():
    """The factory of tiny federations, see :func:`pfltune.testing.ground.tiny_federation`."""
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
