"""Drafts of tests that FAIL on the present product: one for each fault that was found."""

import dataclasses

import pytest
import torch
from torch import nn

from pfltune.data.images import Preprocessing
from pfltune.federation.compute import Compute
from pfltune.federation.descent import Descent
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Phase, Update, weighted_mean
from pfltune.methods.fedper import FedPer


@pytest.fixture
def ground(make_federation):
    return make_federation(sampled_clients=4, rounds=2)


class Tracker(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.seen.add_(1)
        return x


def put(layer):
    class Putting(Method):
        def graft(self, model):
            model.norm_pre = layer()

    return Putting(lr=0.1)


@pytest.mark.parametrize(
    "layer", [Tracker, lambda: nn.InstanceNorm1d(5, track_running_stats=True)], ids=["own", "norm"]
)
def test_buffers_that_training_changes_are_those_of_clients_one_by_one(layer, ground, state_of):
    states = []
    for cohort in (1, 4):
        trial = FederatedTrial(put(layer), ground, 0, Compute(cohort=cohort))
        list(trial.run())
        states.append(state_of(trial))
    torch.testing.assert_close(*states, rtol=0, atol=1e-5)


def test_a_loop_of_ones_own_around_fits_draws_as_it_would_alone(ground, state_of):
    class Mixed(Method):
        def train(self, work, down, personal):
            now = down
            for loss in work.batches():
                now = work.fit(now, (Phase("all", 0.1, steps=1),))
                grads = torch.func.grad(loss)(now)
                now = {n: t - 0.1 * grads[n] for n, t in now.items()}
            return Update(now, personal, work.samples)

    drawn = dataclasses.replace(ground, preprocessing=Preprocessing(augment=("crop",)))
    before, states = torch.get_rng_state(), []
    for cohort in (1, 4):
        trial = FederatedTrial(Mixed(), drawn, 0, Compute(cohort=cohort))
        list(trial.run())
        states.append(state_of(trial))
        assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(*states, rtol=0, atol=1e-5)


@pytest.mark.timeout(300)
def test_a_client_that_catches_the_failure_of_another_does_not_block_the_trial(ground):
    class Catching(Method):
        def train(self, work, down, personal):
            if work.client == 3:
                raise ZeroDivisionError
            try:
                return super().train(work, down, personal)
            except RuntimeError:
                return super().train(work, down, personal)

    with pytest.raises(ZeroDivisionError):
        FederatedTrial(Catching(), ground, 0, Compute(cohort=4)).step()


def test_a_kept_state_holds_no_memory_beyond_its_own(make_federation):
    trial = FederatedTrial(FedPer(), make_federation(sampled_clients=4), 0, Compute(cohort=4))
    trial.step()
    for client in trial.trained:
        state = trial.personal[client]
        assert all(t.untyped_storage().nbytes() == t.nbytes for t in state.values())


@pytest.mark.parametrize(("values", "weights", "mean"), [([2, 30, 1], [1, 1, 3], 7)])
def test_a_whole_mean_of_whole_numbers_is_that_number(values, weights, mean):
    given = [Update({"n": torch.tensor(v)}, {}, w) for v, w in zip(values, weights, strict=True)]
    assert weighted_mean(given, {"n": torch.tensor(0)})["n"] == mean


def test_a_gradient_of_a_client_that_waits_may_be_infinite():
    """It was taken on another's images, at rates that its own may not bear."""
    leaves = [torch.ones(2, 3)]
    grads = (torch.tensor([[1.0] * 3, [float("inf"), float("nan"), 1e38]]),)
    Descent(leaves, 0.5, 0.1, None).step(grads, torch.tensor([True, False]))
    assert torch.equal(leaves[0], torch.tensor([[1 - 0.5 * 1.1] * 3, [1.0] * 3]))
