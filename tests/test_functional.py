"""A model as a function of its tensors, the mean of uploads, and the arithmetic of a trial."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.functional import FunctionalModel
from pfltune.federation.roles import roles_of
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Update, weighted_mean
from pfltune.methods.fedperfix import FedPerfix
from pfltune.randomness import Interrupted, isolated


@pytest.fixture
def grafted(federation):
    model = federation.build_backbone(0)
    FedPerfix().graft(model)
    return model.eval()


def others(model, factor=1.5):
    return {name: factor * value.detach() for name, value in model.state_dict().items()}


def test_it_answers_as_torchs_functional_call_and_leaves_the_model_alone(grafted):
    x = torch.rand(3, 1, 8, 8)
    own = dict(grafted.named_parameters())
    for given in (others(grafted), dict(list(others(grafted).items())[:7])):
        expected = functional_call(grafted, given, (x,))
        assert torch.equal(FunctionalModel(grafted)({**given, "stranger": x}, x), expected)
    assert all(own[n] is p for n, p in grafted.named_parameters())


def test_a_failing_forward_pass_leaves_the_model_alone(grafted):
    own = dict(grafted.named_parameters())
    with pytest.raises(Exception, match=r"."):
        FunctionalModel(grafted)(others(grafted), torch.rand(3, 5, 8, 8))
    assert all(own[n] is p for n, p in grafted.named_parameters())


def test_it_can_be_mapped_and_differentiated(grafted):
    x, call = torch.rand(2, 3, 1, 8, 8), FunctionalModel(grafted)
    stacks = {n: torch.stack([t, 1.1 * t]) for n, t in others(grafted).items()}

    def gradient(tensors, images):
        return torch.func.grad(lambda t: call(t, images).square().sum())(tensors)

    together = torch.vmap(gradient)(stacks, x)
    for k in range(2):
        alone = gradient({n: t[k] for n, t in stacks.items()}, x[k])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][k], value, rtol=1e-4, atol=1e-5)


def test_a_parameter_that_two_layers_share_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    with pytest.raises(UserError, match=r"1\.weight"):
        roles_of(Method(), model)


# The mean of uploads


def updates(values, weights):
    return [Update({"w": v}, {}, w) for v, w in zip(values, weights, strict=True)]


def test_the_mean_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(7, 50)).astype(np.float32), rng.integers(1, 90, 7)
    expected = (values.astype(np.float64) * weights[:, None]).sum(0) / weights.sum()
    given = updates(torch.from_numpy(values), weights.astype(float))
    found = weighted_mean(iter(given), {"w": torch.zeros(50)})["w"]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)
    assert np.array_equal(torch.stack([u.upload["w"] for u in given]), values), "changed uploads"


@pytest.mark.parametrize("count", [1, 2, 9])
def test_the_mean_of_equal_uploads_is_that_upload(count):
    value = torch.rand(20)
    weights = [3.0, 0.7, 11.0, 5.0, 1.0, 2.0, 9.0, 0.1, 4.0][:count]
    found = weighted_mean(updates([value] * count, weights), {"w": value})["w"]
    assert torch.equal(found, value)


def test_an_upload_without_weight_counts_nothing():
    values, start = [torch.ones(2), torch.zeros(2), torch.ones(2)], {"w": torch.full((2,), 7.0)}
    found = weighted_mean(updates(values, [1.0, 0.0, 1.0]), start)["w"]
    assert torch.equal(found, torch.ones(2))
    found = weighted_mean(updates(values, [0.0, 2.0, 0.0]), start)["w"]
    assert torch.equal(found, torch.zeros(2))
    assert weighted_mean(updates(values, [0.0] * 3), start) is start
    assert weighted_mean([], start) is start


def test_whole_numbers_stay_whole():
    values = [torch.tensor(4), torch.tensor(8)]
    found = weighted_mean(updates(values, [1.0, 1.0]), {"w": torch.tensor(0)})["w"]
    assert found.dtype == torch.int64
    assert found == 6


# Draws that are interrupted


def test_interrupted_draws_go_on_where_they_stopped():
    with isolated(0, "test"):
        expected = torch.rand(6)
    before = torch.get_rng_state()
    one, other = (Interrupted(lambda seed=seed: isolated(seed, "test")) for seed in (0, 1))
    drawn = []
    for _ in range(3):
        with one():
            drawn.append(torch.rand(2))
        with other():
            torch.rand(5)
    assert torch.equal(torch.cat(drawn), expected)
    assert torch.equal(torch.get_rng_state(), before)


# Precision


def test_bfloat16_multiplies_in_bfloat16_and_ends_near_float32(grafted):
    seen = []
    grafted.blocks[0].mlp.fc1.register_forward_hook(lambda m, a, out: seen.append(out.dtype))
    x = torch.rand(4, 1, 8, 8)
    with Compute(precision="bfloat16").arithmetic():
        half = grafted(x).float()
    full = grafted(x)
    assert seen == [torch.bfloat16, torch.float32]
    assert 0 < (half - full).abs().max() < 0.05


def test_weights_and_messages_stay_float32(federation):
    full, half = (
        FederatedTrial(FedPerfix(), federation, 0, Compute(precision=p))
        for p in ("float32", "bfloat16")
    )
    for trial in (full, half):
        list(trial.run())
    assert half.totals.up == full.totals.up
    states = [half.server, *half.personal]
    assert {t.dtype for state in states for t in state.values()} == {torch.float32}
    assert any(not torch.equal(half.server[n], full.server[n]) for n in full.server)
