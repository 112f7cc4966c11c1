"""A method that changes what the whole process shares moves nobody's figures but its own."""

import os
import random
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.isolation import _settings, contained, in_a_line, restored
from pfltune.method import Method
from pfltune.methods.fedper import FedPer
from pfltune.registry import find_method
from pfltune.scenario import load_scenario

ACTS = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "threads": lambda: torch.set_num_threads(3),
    "seeds": lambda: (torch.manual_seed(1), np.random.seed(1), random.seed(1)),
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "onednn precision": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "denormals": lambda: torch.set_flush_denormal(True),
    "determinism": lambda: torch.use_deterministic_algorithms(True),
    "onednn": lambda: torch._C._set_mkldnn_enabled(False),
    "gradients": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "open mode": lambda: torch.device("meta").__enter__(),
    "hooks": lambda: torch.nn.modules.module.register_module_forward_hook(
        lambda m, a, out: out * 2
    ),
    "numpy": lambda: np.seterr(all="raise"),
    "folder": lambda: os.chdir("/"),
    "environment": lambda: os.environ.update({"OMP_NUM_THREADS": "7", "HOME": "/nowhere"}),
    "warnings": lambda: warnings.simplefilter("error"),
    "signals": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
}


@dataclass(frozen=True, kw_only=True)
class Hostile(Method):
    """Federated averaging that does ``act`` wherever its code is asked."""

    act: str = ""
    where: str = ""

    def _at(self, place: str) -> None:
        if place == self.where:
            ACTS[self.act]()

    def graft(self, model):
        self._at("graft")

    def phases(self):
        self._at("phases")
        return super().phases()

    def train(self, work, down, personal):
        update = super().train(work, down, personal)
        self._at("train")
        return update

    def aggregate(self, server, uploads, work):
        found = super().aggregate(server, uploads, work)
        self._at("aggregate")
        return found


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()


@pytest.fixture(scope="module")
def undisturbed(federation):
    return state_and_losses(FederatedTrial(FedPer(lr=0.1), federation, seed=0))


def state_and_losses(trial):
    losses = [report.metrics["train/loss"] for report in trial.run()]
    return losses, {name: t.clone() for name, t in trial.server.items()}


@pytest.mark.parametrize(
    ("act", "where"), [*((act, "aggregate") for act in sorted(ACTS)), ("dtype", "graft")]
)
def test_the_losses_of_others_are_the_same_to_the_last_bit(act, where, federation, undisturbed):
    """Side by side in one process, round after round; whether the hostile one fails is its own."""
    before = _settings()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = draws()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    with restored("the test"):  # so that a fault here spoils no other test
        mine, failed = FederatedTrial(FedPer(lr=0.1), federation, seed=0), False
        losses = []
        try:
            other = FederatedTrial(Hostile(act=act, where=where), federation, seed=0)
        except Exception:
            failed = True
        while not mine.finished:
            losses.append(mine.step().metrics["train/loss"])
            try:
                if not failed:
                    other.step()
            except Exception:
                failed = True
        assert _settings() == before
        assert draws() == expected
    assert losses == undisturbed[0]
    assert all(torch.equal(t, undisturbed[1][name]) for name, t in mine.server.items())


@pytest.mark.parametrize("act", sorted(ACTS.keys() - {"seeds"}))
def test_what_was_changed_outside_does_not_reach_a_trial(act, federation, undisturbed):
    """A caller's own settings are no part of a trial's arguments, and are given back."""
    with restored("the test"):
        ACTS[act]()
        theirs = _settings()
        if act == "warnings":
            warnings.simplefilter("ignore")
            theirs = _settings()
        if act not in {"hooks", "open mode"}:  # these count as the caller's wish
            losses, _ = state_and_losses(FederatedTrial(FedPer(lr=0.1), federation, seed=0))
            assert losses == undisturbed[0]
        assert _settings() == theirs


def test_the_method_that_changed_something_is_named(caplog):
    with contained("Hostile"):
        torch.set_default_dtype(torch.float64)
    assert caplog.messages == ["Hostile changed torch's default dtype; it was put back"]


def test_a_method_that_draws_globally_is_repeated_as_well(federation):
    @dataclass(frozen=True, kw_only=True)
    class Noisy(Method):
        def objective(self, loss, params, context):
            return loss(params) * random.random()  # once more where a step is counted

        def aggregate(self, server, uploads, work):
            mean = super().aggregate(server, uploads, work)
            return {name: t + 0.01 * np.random.rand() for name, t in mean.items()}

    np.random.seed(1)
    once = state_and_losses(FederatedTrial(Noisy(), federation, seed=0))
    np.random.seed(2)
    assert state_and_losses(FederatedTrial(Noisy(), federation, seed=0))[0] == once[0]


def test_a_trial_computes_on_its_own_number_of_threads(federation):
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Counting(Method):
        def aggregate(self, server, uploads, work):
            seen.append(torch.get_num_threads())
            return super().aggregate(server, uploads, work)

    outside = torch.get_num_threads()
    FederatedTrial(Counting(), federation, 0, Compute(threads=2)).step()
    FederatedTrial(Counting(), federation, 0).step()
    assert seen == [2, 1]
    assert torch.get_num_threads() == outside


SOURCE = """
from dataclasses import dataclass
import os, sys
import numpy, random, torch
from pfltune.method import Method
{top}

@dataclass(frozen=True, kw_only=True)
class Fresh(Method):
    {body}
"""


def written(tmp_path, top="", body="pass"):
    path = tmp_path / "fresh.py"
    path.write_text(SOURCE.format(top=top, body=body))
    return f"{path}:Fresh"


def test_importing_a_method_changes_nothing(tmp_path):
    acts = (
        "torch.set_default_dtype(torch.float64)",
        "torch.set_num_threads(3)",
        "os.chdir('/')",
        "numpy.random.seed(3)",
        "torch.manual_seed(3)",
    )
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected, before = draws(), _settings()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    with restored("the test"):
        find_method(written(tmp_path, top="; ".join(acts)))
        assert _settings() == before
        assert draws() == expected


@pytest.mark.parametrize("top", ["sys.exit(0)", "os._never", "raise BaseException('stop')"])
def test_whatever_a_file_does_when_it_is_imported_is_one_line(top, tmp_path):
    with pytest.raises(UserError, match=r"fresh\.py cannot be imported: ") as caught:
        find_method(written(tmp_path, top=top))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raised", ["sys.exit(0)", "raise ValueError('in\\n two')", "1 / 0"])
@pytest.mark.parametrize("hook", ["graft(self, model)", "phases(self)", "init_server(self, start)"])
def test_whatever_a_hook_does_in_the_check_is_one_line_with_its_place(hook, raised, tmp_path):
    reference = written(tmp_path, body=f"def {hook}:\n        {raised}")
    method = find_method(reference)()
    with pytest.raises(UserError, match=r"^Fresh: .*\(line 11\)$") as caught:
        load_scenario("digits", ["backbone.weights=random"]).check([method])
    assert "\n" not in str(caught.value)


def test_a_users_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), in_a_line("Fresh"):
        raise KeyboardInterrupt


def test_an_error_in_a_clients_step_says_which_and_when(federation):
    @dataclass(frozen=True, kw_only=True)
    class Failing(Method):
        def objective(self, loss, params, context):
            raise ValueError("no")

    for cohort, clients in ((1, "client 0"), (2, "clients 0, [123]")):
        trial = FederatedTrial(Failing(), federation, 0, Compute(cohort=cohort))
        with pytest.raises(UserError, match=rf"no \({clients}, round 1\)"), in_a_line("F"):
            trial.step()


def test_a_method_cannot_leave_another_folder_of_work(tmp_path, monkeypatch):
    """Not even one that is gone by then."""
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    with contained("Hostile"):
        os.chdir(gone)
        gone.rmdir()
    assert Path.cwd() == tmp_path
