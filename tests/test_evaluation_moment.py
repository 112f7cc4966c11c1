"""When clients are tested: with the newest aggregate, or right after their own training.

``protocol.evaluate=after_training``: who is sampled is tested with what it has just trained, before
the server has heard of it; the others with the server's state before the round. The tensors with
which each client predicts are replayed by hand, see replay.py.
"""

import time
from dataclasses import replace

import pytest
import torch
from byhand import HEAD, assert_same, flat, well_conditioned
from replay import ALL, LR, SEED, TOLERANCE, ByHand, mean, spied, split
from torch.func import functional_call

from pfltune.errors import Diverged, UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Update
from pfltune.methods._seeds import step as along_seed
from pfltune.methods.apfl import APFL
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedkseed import FedKSeed
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedproto import FedProto
from pfltune.methods.pfedpg import PFedPG
from pfltune.registry import available_methods, make_method
from pfltune.scenario import load_scenario
from pfltune.testing.federations import SKEWED, tiny_federation
from pfltune.testing.runs import Memory

AFTER = {"evaluate": "after_training"}
COHORTS = [[1, 3], [0, 3]]
PROMPTS = "blocks.0.prompts"


@pytest.fixture(scope="module")
def hand(make_federation):
    return ByHand(well_conditioned(make_federation, local_epochs=2, **AFTER))


def others(cohort):
    return [client for client in range(4) if client not in cohort]


def predicting(trial, rounds=2):
    """The tensors with which each was tested in two rounds, and the reports."""
    seen = spied(trial)
    reports = [trial.step() for _ in range(rounds)]
    return seen, reports


def replayed(hand, server, own, local, predict):
    """The same by hand: ``local`` and ``predict`` as in :meth:`ByHand.check`.

    ``predict(round, client, u, v)`` gets what the client has trained itself, or for others the
    server's state before the round.
    """
    clients, expected = [own for _ in range(4)], {}
    for number, cohort in enumerate(COHORTS, start=1):
        back = {c: local(number, c, server, clients[c]) for c in cohort}
        for c in range(4):
            theta = predict(number, c, *(back[c] if c in cohort else (server, clients[c])))
            expected |= {f"round{number}/client{c}/{name}": t for name, t in theta.items()}
        sizes = {c: len(hand.federation.clients[c].train) for c in cohort}
        server = mean(server, {c: back[c][0] for c in cohort}, sizes)
        clients = [back[c][1] if c in cohort else kept for c, kept in enumerate(clients)]
    return expected, server, clients


def check(hand, method, server, own, local, predict=lambda _, c, u, v: {**u, **v}):
    trial = FederatedTrial(method, hand.federation, SEED)
    assert [trial.sampled_clients(number) for number in (1, 2)] == COHORTS
    found, _ = predicting(trial)
    expected, server, clients = replayed(hand, server, own, local, predict)
    assert_same(found, expected, TOLERANCE)
    assert_same(flat(trial.server, trial.personal), flat(server, clients), TOLERANCE)


# ------------------------------------------------------------------ replays


@pytest.mark.parametrize(
    ("method", "mine"), [(FedAvg(lr=LR), ()), (FedPer(lr=LR), HEAD)], ids=["fedavg", "fedper"]
)
def test_what_a_client_has_trained_predicts(method, mine, hand):
    def local(number, c, u, v):
        theta = {**u, **v}
        for batch in hand.batches(number, c):
            theta = hand.step(theta, batch)
        return split(theta, mine)

    check(hand, method, *split(hand.start, mine), local)


def test_two_models_are_mixed_from_the_clients_own(hand):
    """APFL: α·v + (1 - α)·w with the client's w, not the server's mean."""
    alpha, named = torch.tensor(0.4), {f"apfl.{n}": t for n, t in hand.start.items()}

    def mixed(w, own):
        return {n: alpha * own[f"apfl.{n}"] + (1 - alpha) * w[n] for n in w}

    def local(number, c, w, own):
        for batch in hand.batches(number, c):
            g, of_mixed = hand.gradient(w, batch), hand.gradient(mixed(w, own), batch)
            own = own | {f"apfl.{n}": own[f"apfl.{n}"] - LR * alpha * of_mixed[n] for n in w}
            w = {n: w[n] - LR * g[n] for n in w}
        return w, own

    own = {"apfl.alpha": alpha, **named}
    check(hand, APFL(lr=LR, alpha=0.4), hand.start, own, local, lambda _, c, w, own: mixed(w, own))


def test_a_client_adapts_what_it_has_trained(hand):
    """FedBABU: the head is fine-tuned on the body that the client has just trained."""

    def local(number, c, u, head):
        theta = {**u, **head}
        for batch in hand.batches(number, c):
            theta = hand.step(theta, batch, names=u)
        return split(theta, HEAD)

    def predict(number, c, u, head):
        theta = {**u, **head}
        for batch in hand.batches(number, c, range(2), purpose="adaptation"):
            theta = hand.step(theta, batch, names=head)
        return theta

    method = FedBABU(lr=LR, finetune_epochs=2)
    check(hand, method, *split(hand.start, HEAD), local, predict)


def test_a_change_is_added_to_what_it_is_of(make_federation):
    """pFedPG uploads ΔP: the prompts of the client are P + ΔP, with its new head."""
    federation = well_conditioned(make_federation, **AFTER)
    notes, train = {}, PFedPG.train

    class Noted(PFedPG):
        def train(self, work, down, personal):
            update = train(self, work, down, personal)
            prompts = work.fit({**down, **personal}, self.phases(), self.objective)[PROMPTS]
            notes[work.round, work.client] = prompts, update.personal
            return update

    trial = FederatedTrial(Noted(lr=LR, prompts=2), federation, SEED)
    found, _ = predicting(trial)
    for (number, client), (prompts, head) in notes.items():
        at = f"round{number}/client{client}/"
        assert_same({n: found[at + n] for n in head}, head, 0)
        assert (found[at + PROMPTS] - prompts).abs().max() < TOLERANCE


def test_an_upload_of_seeds_stands_for_the_steps_along_them():
    """FedKSeed: the model is what local training has led to."""
    ends, step = {}, FedKSeed.train

    class Noted(FedKSeed):
        def train(self, work, down, personal):
            update = step(self, work, down, personal)
            at = FedKSeed.assemble(self, down, personal)
            key, rng = int(down["key"]), work.generator()
            for loss in work.batches():
                along_seed(loss, at, key + int(torch.randint(8, (), generator=rng)), 0.01, self.lr)
            ends[work.client] = at
            return update

    federation = tiny_federation(rounds=1, local_epochs=2, **AFTER)
    trial = FederatedTrial(Noted(lr=0.01, candidates=8, mu=0.01), federation, SEED)
    found, _ = predicting(trial, 1)
    for client, at in ends.items():
        mine = {name: found[f"round1/client{client}/{name}"] for name in at}
        assert_same(mine, at, TOLERANCE)


def test_with_prototypes_the_own_new_model_keeps_everybodys():
    """FedProto: what a client has of its own classes is no head for all of them."""
    method = FedProto(predict="prototypes")
    name, model = "head.weight", {"head.weight": torch.zeros(2, 3), "head.bias": torch.zeros(2)}

    def told(value, *counts):
        prototypes = torch.full((2, 3), value)
        return {f"prototypes.{name}": prototypes, f"counts.{name}": torch.tensor(counts)}

    down, update = told(1.0, 4, 4), Update(told(0.0, 9, 0), model, weight=1.0)
    found = method.assemble_trained(down, update)
    assert_same(found, method.assemble(down, model), 0)


def test_of_an_upload_that_is_no_model_the_download_stays():
    """What is not named in the download never reaches the model; its hook may say otherwise."""
    down, personal = {"w": torch.zeros(2)}, {"v": torch.ones(2)}
    counts = Update({"counts": torch.arange(3)}, personal, weight=1.0)
    assert Method().assemble_trained(down, counts).keys() == {"w", "v"}
    some = Update({"w": torch.full((2,), 3.0)}, personal, weight=1.0, change=True)
    down = {"w": torch.full((2,), 4.0), "frozen": torch.ones(1)}
    found = Method().assemble_trained(down, some)
    assert found["w"].tolist() == [7.0, 7.0]
    assert found["frozen"] is down["frozen"]
    assert down["w"].tolist() == [4.0, 4.0], "the download is left as it is"


# ------------------------------------------------------------------ figures


def accuracies(hand, theta, client, part):
    """Of the model with tensors θ on a client's samples, by plain torch."""
    data, chosen = hand.federation.dataset, getattr(hand.federation.clients[client], part)
    images = data.images[chosen].float() / 127.5 - 1
    logits = functional_call(hand.model.eval(), theta, (images,))
    return (logits.argmax(1) == data.labels[chosen]).double().mean().item()


def test_the_round_is_chosen_by_that_moments_accuracies(hand):
    trial = FederatedTrial(FedPer(lr=LR), hand.federation, SEED)
    found, reports = predicting(trial)
    val = [
        [
            accuracies(hand, {n: found[f"round{r}/client{c}/{n}"] for n in ALL}, c, "val")
            for c in range(4)
        ]
        for r in (1, 2)
    ]
    for of_round, report in zip(val, reports, strict=True):
        assert report.metrics["val/accuracy"] == pytest.approx(sum(of_round) / 4, abs=1e-12)
    best = max((0, 1), key=lambda r: (sum(val[r]), -r))
    assert trial.selection.round == best + 1
    assert list(trial.selection.evaluation.val) == pytest.approx(val[best])


def ended(method, cohort=1, **protocol):
    federation = tiny_federation(**{"rounds": 3, **protocol})
    trial = FederatedTrial(method, federation, 0, Compute(cohort=cohort))
    return trial, [report.metrics for report in trial.run()]


STEADY = ("comm/up_mb", "comm/down_mb", "train/loss", "comm/total_mb")


@pytest.mark.parametrize("method", [FedBABU(lr=0.1), Ditto(lr=0.1)], ids=["fedbabu", "ditto"])
def test_training_and_its_bytes_are_as_after_aggregation(method):
    (one, before), (other, after) = ended(method), ended(method, **AFTER)
    assert_same(flat(one.server, one.personal), flat(other.server, other.personal), 0)
    kept = [{n: v for n, v in m.items() if n in STEADY} for m in before]
    assert kept == [{n: v for n, v in m.items() if n in STEADY} for m in after]
    assert kept[0].keys() >= {"comm/total_mb"}


def test_who_has_trained_downloads_nothing_to_be_evaluated():
    """2 of 4 clients are sampled: half the bytes for evaluations; as many steps of adaptation."""
    (one, _), (other, _) = ended(FedBABU(lr=0.1)), ended(FedBABU(lr=0.1), **AFTER)
    assert 2 * other.totals.evaluation_down == one.totals.evaluation_down > 0
    assert other.totals.adaptation_steps == one.totals.adaptation_steps > 0


def test_rounds_without_an_evaluation_test_nobody():
    _, rounds = ended(FedPer(lr=0.1), evaluate_every=2, **AFTER)
    assert ["val/accuracy" in metrics for metrics in rounds] == [False, True, True]


def test_seconds_of_training_are_without_those_of_testing(monkeypatch):
    trial = FederatedTrial(FedAvg(lr=0.1), tiny_federation(rounds=1, **AFTER), 0)
    correct = trial._trainer.answers

    def slow(*arguments):
        time.sleep(0.3)
        return correct(*arguments)

    monkeypatch.setattr(trial._trainer, "answers", slow)
    metrics = trial.step().metrics
    assert metrics["time/evaluation_s"] > 3 * 0.3
    assert metrics["time/round_s"] < metrics["time/evaluation_s"]


# ------------------------------------------------------------------ resume, cohorts, unseen clients


@pytest.mark.parametrize("method", [FedBABU(lr=0.1), APFL(lr=0.1)], ids=["fedbabu", "apfl"])
def test_what_is_resumed_ends_bit_for_bit_the_same(method):
    federation, memory = tiny_federation(rounds=3, **AFTER), Memory()
    straight = FederatedTrial(method, federation, 0)
    told = [straight.step().metrics]
    Checkpoints(memory).save(straight, [])
    told += [report.metrics for report in straight.run()]
    resumed = FederatedTrial(method, federation, 0)
    Checkpoints(memory).load(resumed)
    again = [report.metrics for report in resumed.run()]
    assert resumed.selection == straight.selection
    assert_same(flat(resumed.server, resumed.personal), flat(straight.server, straight.personal), 0)
    names = [name for name in told[-1] if name.startswith(("val/", "test/", "comm/", "train/"))]
    assert [[m[n] for n in names] for m in again] == [[m[n] for n in names] for m in told[1:]]


def test_clients_at_once_are_tested_as_one_by_one(make_federation):
    """The tensors with which they predict, adapted together, up to rounding."""
    federation = well_conditioned(make_federation, **AFTER)
    one, both = (
        FederatedTrial(FedBABU(lr=LR), federation, SEED, Compute(cohort=size)) for size in (1, 2)
    )
    (alone, _), (together, _) = predicting(one), predicting(both)
    assert not both.hindrances
    assert_same(together, alone, 1e-5)


def test_unseen_clients_meet_the_servers_state_of_the_chosen_round():
    federation = tiny_federation(rounds=2, clients=SKEWED)
    hidden = {"unseen": frozenset({2})}
    before = replace(federation, **hidden)
    rules = federation.protocol.model_copy(update=AFTER)
    after = replace(federation, protocol=rules, **hidden)
    found = {}
    for name, ground in (("before", before), ("after", after)):
        trial = FederatedTrial(FedPer(lr=0.1), ground, 0)
        servers = {}
        for report in trial.run():
            servers[report.round] = trial.server
            last = report.metrics
        assert_same(trial.selected_server, servers[trial.selection.round], 0)
        found[name] = trial.selection.round, last["unseen/test/accuracy"]
    if found["before"][0] == found["after"][0]:
        assert found["before"] == found["after"]


def test_who_has_diverged_is_told_as_such_and_not_tested():
    trial = FederatedTrial(FedAvg(lr=1e30), tiny_federation(rounds=1, **AFTER), 0)
    tested, correct = [], trial._trainer.answers
    trial._trainer.answers = lambda *arguments: tested.append(1) or correct(*arguments)
    with pytest.raises(Diverged, match="round 1"):
        trial.step()
    assert len(tested) == 1, "the two that are not sampled, together"


@pytest.mark.thorough
@pytest.mark.parametrize("name", available_methods())
def test_every_method_trains_alike_and_predicts_with_as_many_tensors(name):
    """Whatever it uploads: the model of who has just trained has the names of everybody's."""
    method = make_method(name, {})
    one, other = (
        FederatedTrial(method, tiny_federation(rounds=2, **rules), SEED) for rules in ({}, AFTER)
    )
    found, reports = predicting(other)
    asked = {}
    for path in found:
        _, client, tensor = path.split("/", 2)
        asked.setdefault((path.split("/")[0], client), set()).add(tensor)
    assert len({frozenset(names) for names in asked.values()}) == 1
    assert all(0 <= report.metrics["val/accuracy"] <= 1 for report in reports)
    one.step(), one.step()
    assert_same(flat(one.server, one.personal), flat(other.server, other.personal), 0)


# ------------------------------------------------------------------ as a setting


def test_it_is_a_setting_of_the_scenario():
    plain, after = tiny_federation(), tiny_federation(**AFTER)
    assert plain.protocol.evaluate == "after_aggregation"
    one, other = fingerprint(plain), fingerprint(after)
    assert [name for name in one if one[name] != other[name]] == ["rules"], "a trial of its own"
    assert load_scenario("digits", ["protocol.evaluate=after_training"]).protocol.evaluate
    with pytest.raises(UserError, match="'after_aggregation' or 'after_training'"):
        load_scenario("digits", ["protocol.evaluate=always"])
