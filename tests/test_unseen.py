"""Clients that never train with the others, and are met at the end."""

from dataclasses import replace

import pytest
import torch

from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedper import FedPer
from pfltune.registry import available_methods, make_method
from pfltune.scenario import load_scenario

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


def test_without_a_personal_part_they_predict_with_the_servers_model(ground):
    """FedAvg: the accuracy on an unseen client's samples is that of the last server."""
    trial = FederatedTrial(FedAvg(lr=0.1), ground, seed=0)
    last = list(trial.run())[-1]
    hits = []
    for client in sorted(UNSEEN):
        indices = ground.clients[client].test
        hits.append(trial._trainer.correct(trial.server, indices).double().mean())
    assert last.metrics["unseen/test/accuracy"] == torch.stack(hits).mean().item()


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(available_methods()))
def test_meeting_them_changes_neither_server_nor_clients(name, ground, make_federation, state_of):
    """The rounds themselves are those of a federation in which they are only never sampled."""

    class Blind(FederatedTrial):
        def _meet_unseen(self):
            return {}

    method = make_method(name, {})
    states = []
    for kind in (FederatedTrial, Blind):
        trial = kind(method, ground, seed=0)
        list(trial.run())
        states.append(state_of(trial))
    assert all(torch.equal(tensor, states[1][n]) for n, tensor in states[0].items())


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
