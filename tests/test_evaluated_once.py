"""Evaluation costs what has changed, and gives what it would give client by client."""

from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest
import torch

from pfltune.federation import evaluating
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, found_under, put_under
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedavg_ft import FedAvgFT
from pfltune.methods.fedper import FedPer
from pfltune.methods.local import Local
from pfltune.metrics import BalancedAccuracy
from pfltune.testing.federations import SKEWED, small_federation
from pfltune.testing.runs import repeatable, run

CLIENTS, SAMPLED = len(SKEWED), 2
EVERYONES = sum(size.val + size.test for size in SKEWED)


def asked(trial):
    """A list of how many samples are answered at each call."""
    found, correct = [], trial._trainer.answers

    def spy(tensors, indices):
        found.append(len(indices))
        return correct(tensors, indices)

    trial._trainer.answers = spy
    return found


def one_by_one(method):
    """The figures of a trial whose clients are all evaluated every time, each by itself."""
    with patch.object(evaluating, "origin_of", lambda *_: None):
        return run(FederatedTrial(method, small_federation(), 0))


@dataclass(frozen=True, kw_only=True)
class Clustered(Method):
    """Clients of even and odd number have a model of their own each."""

    def init_server(self, start):
        return {**put_under("0/", start.shared), **put_under("1/", start.shared)}

    def download(self, server, client):
        return put_under(f"{client % 2}/", found_under(f"{client % 2}/", server))

    def assemble(self, down, personal):
        return {name.partition("/")[2]: tensor for name, tensor in down.items()}

    def train(self, work, down, personal):
        number = next(iter(down)).partition("/")[0]
        update = super().train(work, self.assemble(down, personal), personal)
        return type(update)(put_under(f"{number}/", update.upload), {}, update.weight)

    def aggregate(self, server, uploads, work):
        return {**server, **{n: t for update in uploads for n, t in update.upload.items()}}


@pytest.mark.parametrize(
    ("kind", "calls"),
    [(FedAvg, 1), (Clustered, 2), (FedPer, CLIENTS), (FedAvgFT, CLIENTS)],
)
def test_clients_with_one_model_are_evaluated_together(kind, calls):
    method = kind(lr=0.3)
    trial = FederatedTrial(method, small_federation(), 0)
    found = asked(trial)
    trial.step()
    assert len(found) == calls
    assert sum(found) == EVERYONES
    assert run(FederatedTrial(method, small_federation(), 0)) == one_by_one(method)


@pytest.mark.parametrize("method", [Local(lr=0.3), Ditto(lr=0.3)], ids=["local", "ditto"])
def test_who_has_not_trained_since_is_not_evaluated_again(method):
    trial = FederatedTrial(method, small_federation(), 0)
    found, calls, figures = asked(trial), [], []
    for _ in range(3):
        figures.append(repeatable(trial.step().metrics))
        calls.append(len(found))
        found.clear()
    assert calls == [CLIENTS, SAMPLED, SAMPLED]
    assert figures == one_by_one(method)


def test_where_a_metric_may_draw_everyone_is_evaluated():
    asking = replace(small_federation(), metrics=(BalancedAccuracy(),))
    trial = FederatedTrial(Local(lr=0.3), asking, 0)
    trial.evaluate()
    found = asked(trial)
    trial.evaluate()
    assert sum(found) == EVERYONES


def test_a_client_whose_state_became_another_is_evaluated_again():
    trial = FederatedTrial(Local(lr=0.3), small_federation(), 0)
    before = trial.evaluate()
    found = asked(trial)
    trial.personal[2] = {n: torch.randn_like(t) for n, t in trial.personal[2].items()}
    after = trial.evaluate()
    assert found == [SKEWED[2].val + SKEWED[2].test]
    same = [a == b for a, b in zip(before.on_val.hits, after.on_val.hits, strict=True)]
    assert same[:2] == [True, True]


def test_a_common_batch_is_answered_in_stretches(monkeypatch):
    monkeypatch.setattr(evaluating, "TOGETHER", 0)
    trial = FederatedTrial(FedAvg(lr=0.3), small_federation(), 0)
    found = asked(trial)
    trial.evaluate()
    assert found == [size.val + size.test for size in SKEWED]
