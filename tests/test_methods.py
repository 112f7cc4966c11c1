"""What FedAvg, FedRep and Local promise; test_fidelity.py replays every update rule."""

import inspect
import textwrap
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from byhand import assert_same

import pfltune.method
from pfltune import knob, parts
from pfltune.data.images import Images
from pfltune.federation.local import LocalTrainer
from pfltune.federation.roles import roles_of, tensors_of
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ClientWork, ServerRound
from pfltune.method import Update
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedprox import FedProx
from pfltune.methods.fedrep import FedRep
from pfltune.methods.local import Local
from pfltune.randomness import isolated, torch_rng
from pfltune.testing.runs import differing, repeatable, state_of


class Desk:
    """A method on the tiny backbone, and the work of one client in round 1."""

    def __init__(self, method, federation, client=3):
        model = federation.build_backbone(seed=0)
        with isolated(0, "graft"):
            method.graft(model)
        self.roles = roles_of(method, model)
        self.start = tensors_of(model, self.roles.part("all"))
        data = federation.dataset
        images = Images(data.images, data.labels, federation.backbone.image_size)
        trainer = LocalTrainer(model, self.roles, images, federation.protocol, seed=0)
        split, classes = federation.clients[client], federation.dataset.classes
        self.work = ClientWork(trainer, "training", 1, client, split, classes)


def plain_sgd(federation, rounds, lr, seed=0, **options):
    """The one client's model after torch's own SGD, round after round, epoch after epoch.

    The order of an epoch has the key (seed, "training/order", round, client, epoch).
    """
    model = federation.build_backbone(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, **options)
    data, mine = federation.dataset, federation.clients[0].train
    for number in range(1, rounds + 1):
        for epoch in range(federation.protocol.local_epochs):
            rng = torch_rng(seed, "training/order", number, 0, epoch)
            order = mine[torch.randperm(len(mine), generator=rng)]
            for chosen in order.split(federation.protocol.batch_size):
                pixels = data.images[chosen].float() / 127.5 - 1
                optimizer.zero_grad()
                F.cross_entropy(model(pixels), data.labels[chosen]).backward()
                optimizer.step()
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def test_fedavg_with_one_client_is_plain_sgd(make_federation, run_trial):
    alone = make_federation([(19, 3, 3)], rounds=3, local_epochs=2)
    trial = run_trial(FedAvg(lr=0.1), alone).trial
    expected = plain_sgd(alone, rounds=3, lr=0.1)
    start = alone.build_backbone(0).state_dict()
    assert max((expected[n] - start[n]).abs().max() for n in start) > 0.01, "hardly trained"
    assert_same(trial.server, expected)


def test_fedavg_takes_the_mean_weighted_by_samples():
    """(1·[0, 4, 8] + 3·[4, 0, -8]) / 4 = [12/4, 4/4, -16/4] = [3, 1, -4]."""
    uploads = [
        Update({"w": torch.tensor([0.0, 4.0, 8.0])}, {}, weight=1, client=0),
        Update({"w": torch.tensor([4.0, 0.0, -8.0])}, {}, weight=3, client=2),
    ]
    server = FedAvg().aggregate({"w": torch.full((3,), 100.0)}, iter(uploads), ServerRound(0, 1, 2))
    assert server["w"].tolist() == [3.0, 1.0, -4.0]
    assert server["w"].dtype == torch.float32


def test_fedavg_without_uploads_keeps_the_server():
    server = {"w": torch.tensor([1.0, 2.0, 3.0])}
    kept = FedAvg().aggregate(server, iter(()), ServerRound(0, 1, 2))
    assert kept["w"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("client", [0, 3])
def test_a_client_weighs_as_many_as_it_has_training_samples(client, federation):
    desk = Desk(FedAvg(), federation, client)
    update = FedAvg().train(desk.work, desk.start, {})
    assert update.weight == len(federation.clients[client].train)


def test_fedrep_spends_its_head_epochs_besides_the_scenarios(make_federation):
    """22 samples in batches of 8 are 3 steps an epoch: 3 head epochs and 2 of the body make 15."""
    desk = Desk(FedRep(head_epochs=3), make_federation(local_epochs=2))
    desk.work.fit(desk.start, FedRep(head_epochs=3).phases())
    assert desk.work.steps == 15


def test_local_shares_nothing_and_sends_no_byte(federation, run_trial):
    finished = run_trial(Local())
    assert finished.trial.roles.shared == ()
    assert finished.trial.server == {}
    assert all(m["comm/total_mb"] == m["comm/total_evaluation_mb"] == 0 for m in finished.metrics)
    assert finished.trial.footprint()["params/shared"] == 0


def test_the_three_methods_that_open_the_interface_are_the_built_in_ones(federation):
    """method.py shows FedAvg, FedPer and FedProx in full: with the same figures to the last bit."""
    shown = inspect.getdoc(pfltune.method).partition("\n\n")[2].partition("\n\nA method is")[0]
    written = {name: getattr(pfltune.method, name) for name in ("Method", "squared_distance")}
    written |= {"dataclass": dataclass, "knob": knob, "parts": parts, "__name__": "shown"}
    exec(textwrap.dedent(shown), written)
    for built_in in (FedAvg, FedPer, FedProx):
        ours, theirs = (
            FederatedTrial(cls(lr=0.1), federation, seed=0)
            for cls in (written[built_in.__name__], built_in)
        )
        assert [repeatable(r.metrics) for r in ours.run()] == [
            repeatable(r.metrics) for r in theirs.run()
        ]
        assert differing(state_of(ours), state_of(theirs)) == []
