"""Corners of clients at once, states, resumption and precision."""

import tempfile
import threading

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from pfltune.federation import cohort as module
from pfltune.federation.attention import PlainAttention
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.cohort import Cohort
from pfltune.federation.compute import Compute
from pfltune.federation.functional import FunctionalModel
from pfltune.federation.stacked import fit_together
from pfltune.federation.states import PersonalStates
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method
from pfltune.methods.fedper import FedPer
from pfltune.registry import make_method
from pfltune.storage import Folder


@pytest.fixture
def ground(make_federation):
    return make_federation(sampled_clients=4, rounds=2)


@pytest.mark.parametrize("name", ["fedavg", "fedrep", "ditto"])
def test_methods_really_train_together(name, ground, monkeypatch, caplog):
    sizes = []
    monkeypatch.setattr(
        module, "fit_together", lambda fits: sizes.append(len(fits)) or fit_together(fits)
    )
    trial = FederatedTrial(make_method(name, {}), ground, 0, Compute(cohort=4))
    trial.step()
    assert sizes
    assert set(sizes) == {4}
    assert trial._cohort.size == 4
    assert not caplog.records


def test_stochastic_depth_trains_one_by_one():
    assert Cohort(nn.Sequential(nn.Linear(3, 3), DropPath(0.1)), 4).size == 1
    assert Cohort(nn.Sequential(nn.Linear(3, 3), DropPath(0.0)), 4).size == 4


def test_an_attempt_that_ran_out_of_memory_leaves_no_steps_behind(ground, monkeypatch):
    def scarce(fits):
        if len(fits) > 2:
            fits[0].work.losses.append(torch.tensor(99.0))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit_together(fits)

    expected = FederatedTrial(FedPer(), ground, 0).step().metrics
    monkeypatch.setattr(module, "fit_together", scarce)
    found = FederatedTrial(FedPer(), ground, 0, Compute(cohort=4)).step().metrics
    assert found["train/total_steps"] == expected["train/total_steps"]
    assert found["train/loss"] == pytest.approx(expected["train/loss"], abs=1e-6)


def test_an_error_between_two_fits_ends_the_clients_that_wait_for_their_second(ground):
    class Failing(Method):
        def train(self, work, down, personal):
            down = work.fit(down, self.phases())
            if work.client == 1:
                raise ZeroDivisionError("of client 1")
            return super().train(work, down, personal)

    before = threading.active_count()
    trial = FederatedTrial(Failing(), ground, 0, Compute(cohort=4))
    with pytest.raises(ZeroDivisionError, match="of client 1"):
        trial.step()
    assert threading.active_count() == before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_clients_at_once_end_near_the_sequential_ones_in_either_precision(
    precision, ground, state_of
):
    """In bfloat16 within one part in 50 of the way that the tensors went."""
    states = []
    for cohort in (1, 4):
        trial = FederatedTrial(FedPer(lr=0.1), ground, 0, Compute("cpu", precision, cohort))
        start = state_of(trial)
        list(trial.run())
        states.append(state_of(trial))
    alone, at_once = states
    far = max((at_once[n] - alone[n]).abs().max() for n in alone)
    way = max((alone[n] - start[n]).abs().max() for n in alone)
    assert far < (1e-5 if precision == "float32" else 0.02) * way


@pytest.mark.parametrize("cohort", [1, 4])
def test_methods_run_without_gradients_between_their_fits(cohort, ground):
    seen = []

    class Noting(Method):
        def train(self, work, down, personal):
            update = super().train(work, down, personal)
            seen.append(torch.is_grad_enabled())
            return update

    FederatedTrial(Noting(), ground, 0, Compute(cohort=cohort)).step()
    assert seen == [False] * 4


def test_room_is_given_back_when_a_state_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = PersonalStates(lambda client: {}, 3, torch.device("cpu"), 0.0005)
    for number in range(9):
        kept[number % 3] = {"w": torch.ones(30)}
    assert not list(tmp_path.rglob("*"))
    kept[0] = {"w": torch.ones(200)}
    assert list(tmp_path.rglob("*.safetensors"))
    kept[0] = {"w": torch.zeros(30)}
    assert kept[0]["w"].tolist() == [0.0] * 30


def test_a_checkpoint_holds_the_clients_that_have_trained_and_no_others(make_federation, tmp_path):
    ground = make_federation([(2, 1, 1)] * 30, sampled_clients=2, evaluate_every=9)
    trial, met = FederatedTrial(FedPer(), ground, 0), {}
    for number in (1, 2):
        trial.step()
        met |= dict.fromkeys(trial.sampled_clients(number), number)
        folder = tmp_path / str(number)
        Checkpoints(Folder(folder)).save(trial, [])
        stored = {path.name for path in folder.glob("*.safetensors")}
        clients = {f"client-{client}-{last}.safetensors" for client, last in met.items()}
        assert stored == {f"server-{number}.safetensors"} | clients


def test_loading_forgets_what_the_trial_had_learned_before(
    federation, tmp_path, state_of, differing
):
    saved, used = (FederatedTrial(FedPer(), federation, 0) for _ in range(2))
    checkpoints = Checkpoints(Folder(tmp_path))
    checkpoints.save(saved, [])
    before = state_of(saved)
    used.step()
    checkpoints.load(used)
    assert not differing(state_of(used), before)
    assert not used.trained


def test_buffers_are_handed_in_as_parameters_are():
    model = nn.BatchNorm1d(2).eval()
    found = FunctionalModel(model)({"running_mean": torch.ones(2)}, torch.ones(3, 2))
    assert torch.equal(found, torch.zeros(3, 2))
    assert torch.equal(model.running_mean, torch.zeros(2))


def test_deterministic_kernels_are_asked_of_torch_and_change_nothing_on_a_cpu(
    federation, run_trial
):
    asked = []

    class Asking(FedPer):
        def aggregate(self, server, uploads, work):
            asked.append(torch.are_deterministic_algorithms_enabled())
            return super().aggregate(server, uploads, work)

    plain = run_trial(FedPer()).metrics
    trial = FederatedTrial(Asking(), federation, 0, Compute(deterministic=True))
    again = [trial.step().metrics for _ in plain]
    assert asked == [True] * len(plain)
    assert not torch.are_deterministic_algorithms_enabled()
    assert [m["train/loss"] for m in again] == [m["train/loss"] for m in plain]


def _qkv():
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 5, 4, generator=rng, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"attn_mask": torch.linspace(-2, 2, 25).view(5, 5)},
        {"attn_mask": torch.eye(5, dtype=torch.bool)},
        {"is_causal": True},
        {"scale": 0.3},
        {"dropout_p": 0.0, "enable_gqa": True},
    ],
    ids=["alone", "additive mask", "mask of booleans", "causal", "scale", "groups"],
)
def test_attention_written_out_is_torchs(asked):
    tensors = _qkv()
    expected = F.scaled_dot_product_attention(*tensors, **asked)
    with PlainAttention():
        found = F.scaled_dot_product_attention(*tensors, **asked)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(*(_gradients(out, tensors) for out in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def _gradients(out, tensors):
    return torch.autograd.grad(out.square().sum(), tensors)


def test_attention_written_out_drops_weights_as_torchs_math_does():
    tensors = _qkv()

    def drawn():
        torch.manual_seed(1)
        return F.scaled_dot_product_attention(*tensors, dropout_p=0.5)

    with sdpa_kernel(SDPBackend.MATH):
        expected = drawn()
        with PlainAttention():
            torch.testing.assert_close(drawn(), expected)


def test_half_precision_on_a_cpu_writes_attention_out():
    tensors = _qkv()
    with (
        Compute(precision="bfloat16").arithmetic(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
    ):
        out = F.scaled_dot_product_attention(*tensors)
    assert out.dtype == torch.bfloat16
    assert "aten::isneginf" not in {event.key for event in profile.key_averages()}
