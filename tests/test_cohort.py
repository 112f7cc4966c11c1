"""Clients at once: what is trained together, what is not, and what happens when it fails."""

import dataclasses
import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from pfltune.data.images import Preprocessing
from pfltune.federation import cohort as module
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.cohort import Cohort
from pfltune.federation.compute import Compute
from pfltune.federation.stacked import fit_together
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Phase
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedvpt import FedVPT
from pfltune.methods.fedzo import FedZO
from pfltune.storage import Folder


@pytest.fixture
def ground(make_federation):
    """All four clients in each of two rounds: 1, 2, 2 and 3 steps, last batches of 5, 1, 6, 6."""
    return make_federation(sampled_clients=4, rounds=2)


@pytest.fixture
def together(monkeypatch):
    """How many clients each call of ``fit_together`` had."""
    sizes = []

    def spy(fits):
        sizes.append(len(fits))
        return fit_together(fits)

    monkeypatch.setattr(module, "fit_together", spy)
    return sizes


def ended(method, ground, cohort, state_of):
    trial = FederatedTrial(method, ground, 0, Compute(cohort=cohort))
    list(trial.run())
    return trial, state_of(trial)


def farthest(a, b):
    assert a.keys() == b.keys()
    return max(float((a[n].double() - b[n].double()).abs().max()) for n in a)


def test_clients_that_ask_for_the_same_are_trained_in_one_go(ground, together, state_of):
    ended(FedAvg(), ground, 4, state_of)
    assert together == [4, 4]


def test_each_fit_of_a_method_with_two_is_shared(ground, together, state_of):
    ended(Ditto(), ground, 4, state_of)
    assert together == [4, 4] * 2


def test_adaptation_before_an_evaluation_is_shared_too(ground, together, state_of):
    ended(FedBABU(), ground, 4, state_of)
    assert together == [4, 4] * 2


def test_a_cohort_takes_the_clients_in_groups(ground, together, state_of):
    ended(FedAvg(), ground, 3, state_of)
    assert together == [3, 3]
    together.clear()
    ended(FedAvg(), ground, 9, state_of)
    assert together == [4, 4]


def test_a_loop_of_ones_own_goes_one_by_one_and_is_equal(ground, together, state_of, differing):
    alone, at_once = (ended(FedZO(), ground, size, state_of)[1] for size in (1, 4))
    assert not differing(alone, at_once)
    assert not together


@pytest.mark.parametrize("augment", [(), ("crop",), ("flip",), ("crop", "flip")], ids=str)
def test_augmentation_draws_for_each_client_what_it_would_alone(
    ground, augment, state_of, together
):
    augmented = dataclasses.replace(
        ground, preprocessing=Preprocessing(augment=augment, crop_padding=1)
    )
    alone, at_once = (ended(FedPer(lr=0.1), augmented, size, state_of)[1] for size in (1, 4))
    assert together
    assert farthest(alone, at_once) < 1e-5


def test_weight_decay_does_not_move_a_client_that_waits(ground, state_of, together):
    """Clients have 1 to 3 steps; a decay of 0.5 for two steps too many would show."""

    class Decaying(FedPer):
        def phases(self):
            return (Phase("personal", 0.1, 2, 0.5), Phase("all", 0.1, weight_decay=0.5, steps=2))

    alone, at_once = (ended(Decaying(), ground, size, state_of)[1] for size in (1, 4))
    assert together
    assert farthest(alone, at_once) < 1e-5
    alone, at_once = (ended(FedVPT(weight_decay=0.1), ground, s, state_of)[1] for s in (1, 4))
    assert farthest(alone, at_once) < 1e-5


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.1), nn.BatchNorm1d(3), nn.Dropout2d(0.2)], ids=lambda m: str(m)[:9]
)
def test_a_model_that_draws_or_keeps_statistics_trains_one_by_one(layer):
    assert Cohort(nn.Sequential(nn.Linear(3, 3), layer), 4).size == 1


def test_an_idle_dropout_is_no_hindrance():
    assert Cohort(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0)), 4).size == 4


def test_an_objective_that_cannot_be_mapped_is_trained_one_by_one(
    ground, state_of, differing, caplog
):
    class Looking(Method):
        def objective(self, loss, params, context):
            value = loss(params)
            return value * 2 if value.item() > 1 else value

    alone, at_once = (ended(Looking(lr=0.1), ground, size, state_of)[1] for size in (1, 4))
    assert not differing(alone, at_once)
    assert "one after the other" in caplog.text


def test_too_little_memory_halves_the_cohort(ground, state_of, monkeypatch, differing):
    tried = []

    def scarce(fits):
        tried.append(len(fits))
        if len(fits) > 2:
            fits[0].work.losses.append(torch.tensor(99.0))  # as if it had begun
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit_together(fits)

    monkeypatch.setattr(module, "fit_together", scarce)
    trial, state = ended(FedPer(lr=0.1), ground, 4, state_of)
    assert tried == [4, 2, 2, 2, 2]
    assert trial._cohort.size == 2
    _, alone = ended(FedPer(lr=0.1), ground, 1, state_of)
    assert farthest(alone, state) < 1e-5


def test_a_cohort_that_is_over_holds_no_tensors(ground):
    """A GPU's memory does not wait until Python looks for objects that hold each other."""
    left = []

    class Watched(Method):
        def train(self, work, down, personal):
            update = super().train(work, down, personal)
            left.extend(weakref.ref(tensor) for tensor in update.upload.values())
            return update

    trial = FederatedTrial(Watched(), ground, 0, Compute(cohort=4))
    gc.disable()
    try:
        trial.step()
        assert left
        assert not [held for held in left if held() is not None]
    finally:
        gc.enable()


def test_what_one_client_raises_ends_the_round_and_every_thread(ground):
    class Failing(Method):
        def train(self, work, down, personal):
            if work.client == 2:
                raise ZeroDivisionError("of client 2")
            return super().train(work, down, personal)

    before = threading.active_count()
    trial = FederatedTrial(Failing(), ground, 0, Compute(cohort=4))
    with pytest.raises(ZeroDivisionError, match="of client 2"):
        trial.step()
    assert threading.active_count() == before


def test_a_cohort_resumes_to_the_last_bit(ground, tmp_path, state_of, differing):
    compute = Compute(cohort=4)
    straight, begun, resumed = (FederatedTrial(FedPer(), ground, 0, compute) for _ in range(3))
    list(straight.run())
    begun.step()
    Checkpoints(Folder(tmp_path)).save(begun, [])
    Checkpoints(Folder(tmp_path)).load(resumed)
    list(resumed.run())
    assert not differing(state_of(straight), state_of(resumed))
