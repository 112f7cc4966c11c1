"""Clients that never train with the others, and are met at the end."""

from dataclasses import replace

import pytest
import torch

from pfltune.errors import Diverged
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.crew import Crew
from pfltune.federation.evaluation import Counts
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedper import FedPer
from pfltune.scenario import load_scenario
from pfltune.storage import Folder

UNSEEN = frozenset({1, 3})


@pytest.fixture(scope="module")
def ground(make_federation):
    return replace(make_federation(rounds=3), unseen=UNSEEN)


def test_unseen_clients_are_never_sampled(ground):
    trial = FederatedTrial(FedAvg(), ground, seed=0)
    sampled = {client for number in range(1, 20) for client in trial.sampled_clients(number)}
    assert sampled == {0, 2}


def test_evaluations_in_the_rounds_leave_them_out(ground):
    trial = FederatedTrial(FedAvg(), ground, seed=0)
    assert len(trial.evaluate().val) == 2


def test_they_are_met_once_in_the_last_round(ground):
    reports = list(FederatedTrial(FedPer(), ground, seed=0).run())
    assert [any(name.startswith("unseen/") for name in r.metrics) for r in reports] == [
        False,
        False,
        True,
    ]
    assert {"unseen/val/accuracy", "unseen/test/accuracy"} <= reports[-1].metrics.keys()


def test_without_test_indices_they_are_validated_only(ground):
    last = list(FederatedTrial(FedPer(), ground.without_test(), seed=0).run())[-1]
    assert "unseen/val/accuracy" in last.metrics
    assert not any("test" in name for name in last.metrics)


def test_one_that_diverges_as_it_personalises_ends_the_trial(ground, monkeypatch):
    """As one of the rounds does: its figures would be anything."""
    trial = FederatedTrial(FedPer(), replace(ground, unseen=frozenset({3})), seed=0)
    trained = Crew.trained

    def endless(self, work, *states):
        found = trained(self, work, *states)
        bad = {name: t * float("nan") for name, t in found.update.personal.items()}
        return found._replace(update=replace(found.update, personal=bad))

    trial.step()
    trial.selected_server = trial.server
    monkeypatch.setattr(Crew, "trained", endless)
    told = "not finite after the personalisation of unseen client 3"
    with pytest.raises(Diverged, match=told), torch.no_grad():
        trial._meet_unseen()


def best_first(monkeypatch):
    """Validation finds each round worse than the one before."""
    evaluate, rounds = FederatedTrial._evaluate, []

    def worse(self, meter):
        found = evaluate(self, meter)
        rounds.append(found)
        hits = tuple(max(0, 2 - len(rounds)) for _ in found.clients)
        return replace(found, on_val=Counts(hits, (3,) * len(hits)))

    monkeypatch.setattr(FederatedTrial, "_evaluate", worse)


def test_they_are_met_on_the_server_of_the_chosen_round(ground, monkeypatch):
    """FedAvg: the accuracy on an unseen client's samples is that of the server after round 1."""
    best_first(monkeypatch)
    trial = FederatedTrial(FedAvg(lr=0.5), ground, seed=0)
    trial.step()
    chosen = {name: t.clone() for name, t in trial.server.items()}
    last = list(trial.run())[-1]
    assert trial.selection.round == 1
    shares = []
    for client in sorted(UNSEEN):
        indices = ground.clients[client].test
        shares.append(hits(trial, chosen, indices))
    assert last.metrics["unseen/test/accuracy"] == pytest.approx(sum(shares) / 2)
    now = [hits(trial, trial.server, ground.clients[c].test) for c in sorted(UNSEEN)]
    assert now != shares, "the last round tells nothing"


def hits(trial, tensors, indices):
    """Accuracy on the samples."""
    logits, labels = trial._trainer.answers(tensors, indices)
    return (logits.argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("method", [FedPer(lr=0.3), FedBABU(lr=0.3)], ids=["fedper", "fedbabu"])
def test_a_resumed_trial_meets_them_as_it_would_have(
    method, ground, monkeypatch, tmp_path, reproducible
):
    best_first(monkeypatch)
    straight = list(FederatedTrial(method, ground, seed=0).run())[-1]
    best_first(monkeypatch)
    trial = FederatedTrial(method, ground, seed=0)
    trial.step(), trial.step()
    Checkpoints(Folder(tmp_path)).save(trial, [])
    fresh = FederatedTrial(method, ground, seed=0)
    Checkpoints(Folder(tmp_path)).load(fresh)
    assert reproducible(fresh.step().metrics) == reproducible(straight.metrics)


def test_more_rounds_of_personalisation_train_longer(ground):
    once, thrice = (
        replace(ground, protocol=ground.protocol.model_copy(update={"personalise_rounds": n}))
        for n in (1, 3)
    )
    losses = []
    for federation in (once, thrice):
        trial = FederatedTrial(FedPer(lr=0.1), federation, seed=0)
        seen = []
        fit = trial._trainer.fit

        def spy(*args, seen=seen, fit=fit, **options):
            seen.append(args)
            return fit(*args, **options)

        trial._trainer.fit = spy
        list(trial.run())
        losses.append(len(seen))
    assert losses[1] - losses[0] == 2 * len(UNSEEN)


def test_a_scenario_keeps_a_share_of_its_clients_out():
    cold = ["backbone.weights=random"]
    federation = load_scenario("digits", [*cold, "unseen_clients=0.2"]).build()
    same = load_scenario("digits", [*cold, "unseen_clients=0.2"]).build()
    plain = load_scenario("digits", cold).build()
    assert len(federation.unseen) == 2
    assert federation.unseen == same.unseen
    assert plain.unseen == frozenset()
    pairs = zip(federation.clients, plain.clients, strict=True)
    assert all(torch.equal(a.train, b.train) for a, b in pairs)
