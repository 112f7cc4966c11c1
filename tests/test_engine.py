"""The engine's own promises, on methods and models that exist only here."""

import random
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from pfltune import parts
from pfltune.data.images import Images, Preprocessing
from pfltune.data.split import ClientSplit
from pfltune.errors import Diverged, UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.evaluation import Counts, Evaluation, Selection, summary
from pfltune.federation.federation import Rounds
from pfltune.federation.local import LocalTrainer
from pfltune.federation.roles import roles_of, tensors_of
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ClientWork, ServerRound
from pfltune.method import Method, Phase, Update, gradient, squared_distance
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedprox import FedProx
from pfltune.methods.local import Local
from pfltune.methods.pfedpg import PFedPG
from pfltune.randomness import torch_rng
from pfltune.storage import Folder
from pfltune.ties import exact_mean

# Sampling


def cohorts(method, ground, seed):
    trial = FederatedTrial(method, ground, seed)
    return [trial.sampled_clients(number) for number in range(1, 9)]


def test_every_method_meets_the_same_clients_in_the_same_rounds(federation):
    assert cohorts(FedAvg(), federation, 5) == cohorts(PFedPG(), federation, 5)


def test_another_seed_samples_other_clients(federation):
    assert cohorts(FedAvg(), federation, 5) != cohorts(FedAvg(), federation, 6)


def test_a_cohort_holds_as_many_different_clients_as_the_protocol_says(federation):
    found = cohorts(FedAvg(), federation, 5)
    assert all(len(set(cohort)) == len(cohort) == 2 for cohort in found)
    assert set().union(*found) == {0, 1, 2, 3}, "8 rounds should meet all 4 clients"


def test_sampling_does_not_depend_on_the_rounds_before(federation):
    trial = FederatedTrial(FedAvg(), federation, 5)
    assert trial.sampled_clients(7) == cohorts(FedAvg(), federation, 5)[6]


def test_clients_that_are_not_sampled_keep_their_personal_state(federation, differing):
    trial = FederatedTrial(FedPer(lr=0.1), federation, seed=0)
    before = [{n: t.clone() for n, t in personal.items()} for personal in trial.personal]
    trial.step()
    for client, personal in enumerate(trial.personal):
        moved = differing(personal, before[client])
        assert bool(moved) == (client in trial.sampled_clients(1)), f"client {client}: {moved}"


def test_more_sampled_clients_than_there_are_is_the_users_mistake(make_federation):
    with pytest.raises(UserError, match="5"):
        FederatedTrial(FedAvg(), make_federation(sampled_clients=5), seed=0)


def test_uploads_arrive_in_the_order_of_the_clients(make_federation, monkeypatch):
    arrived = []

    class Noting(Method):
        def aggregate(self, server, uploads, work):
            arrived.extend(update.client for update in uploads)
            return server

    monkeypatch.setattr(FederatedTrial, "sampled_clients", lambda self, number: [2, 0, 3])
    FederatedTrial(Noting(), make_federation(), seed=0).step()
    assert arrived == [0, 2, 3]


def test_clients_train_even_if_the_server_ignores_them(federation, state_of, differing):
    class Deaf(FedPer):
        def aggregate(self, server, uploads, work):
            return server

    trial = FederatedTrial(Deaf(lr=0.1), federation, seed=0)
    before = state_of(trial)
    metrics = trial.step().metrics
    trained = {name.split("/")[0] for name in differing(state_of(trial), before)}
    assert trained == {f"client{client}" for client in trial.sampled_clients(1)}
    assert metrics["comm/up_mb_per_round"] == metrics["comm/down_mb_per_round"] > 0


def test_evaluation_keeps_its_rhythm_and_never_misses_the_last_round():
    protocol = Rounds(rounds=7, sampled_clients=1, local_epochs=1, batch_size=1, evaluate_every=3)
    assert [number for number in range(1, 8) if protocol.evaluates(number)] == [3, 6, 7]


# Figures


@pytest.mark.parametrize(("clients", "lowest"), [(1, 1), (4, 1), (10, 1), (11, 2), (25, 3)])
def test_summary_by_hand(clients, lowest):
    """The worst decile is the mean of the lowest ⌈n/10⌉; the deviation divides by n."""
    values = np.random.default_rng(clients).permutation(np.arange(clients) / clients)
    mean = sum(values) / clients
    variance = sum((v - mean) ** 2 for v in values) / clients
    worst = sorted(values)[:lowest]
    found = summary(tuple(values.tolist()))
    assert found["accuracy"] == pytest.approx(mean)
    assert found["accuracy_std"] == pytest.approx(variance**0.5)
    assert found["accuracy_worst_decile"] == pytest.approx(sum(worst) / lowest)
    assert len(found) == 3


def evaluation(val, test=None):
    """Hits among ten samples of each client."""
    tens = (10,) * len(val)
    on_test = None if test is None else Counts(test, tens)
    return Evaluation(tuple(range(len(val))), Counts(val, tens), on_test)


def test_an_evaluation_reports_each_part_that_it_has():
    both = evaluation((5, 7), (1, 3)).metrics()
    assert both["val/accuracy"] == pytest.approx(0.6)
    assert both["test/accuracy"] == pytest.approx(0.2)
    names = {f"val/{name}" for name in ("accuracy", "accuracy_std", "accuracy_worst_decile")}
    assert set(evaluation((5,)).metrics()) == names


def test_accuracy_is_the_share_of_the_clients_own_samples(federation):
    """Val and test are evaluated in one batch: each client, each part, by hand."""
    trial = FederatedTrial(FedAvg(lr=0.1), federation, seed=0)
    trial.step()
    model = federation.build_backbone(0).eval()
    model.load_state_dict(trial.server)
    found = trial.evaluate()
    for part, accuracies in (("val", found.val), ("test", found.test)):
        for split, accuracy in zip(federation.clients, accuracies, strict=True):
            chosen = getattr(split, part)
            pixels = federation.dataset.images[chosen] / 127.5 - 1
            hits = model(pixels).argmax(dim=1) == federation.dataset.labels[chosen]
            assert accuracy == hits.double().mean().item()


def test_selection_keeps_the_best_round_and_the_earliest_of_equals():
    selection = Selection()
    for number, val in enumerate([(2, 4), (6, 8), (8, 6), (1, 2)], start=1):
        selection = selection.better(number, evaluation(val))
    assert selection.round == 2
    assert selection.evaluation.val == (0.6, 0.8)
    assert selection.accuracy == pytest.approx(0.7)


def test_selection_takes_the_first_round_even_at_zero():
    assert Selection().better(4, evaluation((0, 0))).round == 4


@pytest.mark.parametrize(
    ("first", "second", "samples"),
    [((3, 3, 0), (1, 2, 3), (10, 10, 10)), ((1, 0, 2), (0, 1, 2), (3, 3, 7))],
)
def test_equal_means_are_equal_whatever_the_clients_own(first, second, samples):
    """(.3 + .3 + 0) / 3 = (.1 + .2 + .3) / 3, though floats have .19999999999999998 and .2."""
    rounds = [Evaluation((0, 1, 2), Counts(hits, samples), None) for hits in (first, second)]
    for one, other in (rounds, rounds[::-1]):
        assert Selection().better(1, one).better(2, other).round == 1


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 900)), min_size=1, max_size=40))
def test_a_mean_is_that_of_fractions_rounded_once(pairs):
    shares = [Fraction(min(hits, samples), samples) for hits, samples in pairs]
    assert exact_mean([float(share) for share in shares]) == float(sum(shares) / len(shares))


def test_the_mean_of_many_clients_is_taken_at_once():
    """10,000 clients of up to 997 samples: the common denominator has some thousand digits."""
    accuracies = [h / n for n in range(3, 1000) for h in range(0, n, n // 3)]
    assert len(accuracies) < 10_000
    assert exact_mean(accuracies) == pytest.approx(np.mean(accuracies), abs=1e-12)


def test_a_trial_selects_on_validation_never_on_test(federation, run_trial, monkeypatch):
    evaluations = [
        evaluation((5,) * 4, (1,) * 4),
        evaluation((6,) * 4, (2,) * 4),
        evaluation((4,) * 4, (9,) * 4),
    ]
    remaining = iter(evaluations)
    monkeypatch.setattr(FederatedTrial, "_evaluate", lambda self, meter: next(remaining))
    trial = run_trial(FedAvg()).trial
    assert (trial.selection.round, trial.selection.evaluation) == (2, evaluations[1])


def test_the_training_loss_is_the_mean_over_all_local_steps(make_federation, run_trial):
    """A rate of (nearly) zero leaves the model: batches of 1 give every sample's own loss."""

    class Still(Method):
        def phases(self):
            return (Phase("all", 0.0),)

    ground = make_federation(sampled_clients=4, batch_size=1)
    model, data = ground.build_backbone(0), ground.dataset
    mine = torch.cat([client.train for client in ground.clients])
    expected = F.cross_entropy(model(data.images[mine] / 127.5 - 1), data.labels[mine]).item()
    metrics = run_trial(Still(), ground, rounds=1).metrics[0]
    assert metrics["train/loss"] == pytest.approx(expected, abs=1e-5)
    assert metrics["train/total_steps"] == len(mine)


# Failures


def test_a_learning_rate_that_blows_up_is_reported_as_diverged(make_federation):
    class Wild(Method):
        def phases(self):
            return (Phase("all", 1e30),)

    trial = FederatedTrial(Wild(), make_federation(rounds=2), seed=0)
    with pytest.raises(Diverged, match=r"nan|inf"):
        list(trial.run())


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_objective_that_is_not_finite_is_reported_as_diverged(value, federation):
    class Broken(Method):
        def objective(self, loss, params, context):
            return loss(params) + value * sum((p - 1).square().sum() for p in params.values())

    with pytest.raises(Diverged, match=r"nan.*round 1"):
        FederatedTrial(Broken(), federation, seed=0).step()


def test_a_last_step_that_ends_in_nan_is_reported_as_diverged(make_federation):
    """One step in the only round: its loss is finite, the model that it leaves is not.

    The gradient of ‖w − w₀‖, written as √Σ(w − w₀)², is 0/0 at w₀.
    """

    class Broken(Method):
        def objective(self, loss, params, context):
            return loss(params) + squared_distance(params, context).sqrt()

    trial = FederatedTrial(Broken(), make_federation(rounds=1, batch_size=64), seed=0)
    with pytest.raises(Diverged):
        trial.step()


def test_uploading_a_personal_tensor_is_refused(federation):
    class Leaky(FedPer):
        def train(self, work, down, personal):
            update = super().train(work, down, personal)
            return replace(update, upload={**update.upload, **update.personal})

    with pytest.raises(RuntimeError, match=r"head\.bias"):
        FederatedTrial(Leaky(), federation, seed=0).step()


def test_an_unknown_personal_name_is_refused_and_the_real_ones_are_named(federation):
    class Typo(Method):
        def personal_part(self, model):
            return ("head.wieght",)

    with pytest.raises(UserError, match=r"head\.wieght.*did you mean 'head\.weight'"):
        FederatedTrial(Typo(), federation, seed=0)


def test_a_frozen_tensor_cannot_be_personal(federation):
    class Contradiction(Method):
        def graft(self, model):
            parts.freeze(model)

        def personal_part(self, model):
            return ("head.bias",)

    with pytest.raises(UserError, match=r"frozen.*head\.bias"):
        FederatedTrial(Contradiction(), federation, seed=0)


# Randomness


class Dropping(FedAvg):
    """FedAvg with dropout on the tokens."""

    def graft(self, model):
        model.norm_pre = nn.Dropout(0.5)


def test_dropout_in_a_strangers_model_is_reproducible(run_trial, state_of, differing):
    torch.manual_seed(1)
    one = run_trial(Dropping())
    torch.manual_seed(2)
    two = run_trial(Dropping())
    assert one.metrics == two.metrics
    assert not differing(state_of(one.trial), state_of(two.trial))
    assert one.metrics != run_trial(FedAvg()).metrics, "no token was dropped"


def test_dropout_goes_on_after_a_resume_as_it_would_have(
    federation, run_trial, state_of, differing, tmp_path
):
    straight, begun = run_trial(Dropping()), run_trial(Dropping(), rounds=1)
    Checkpoints(Folder(tmp_path)).save(begun.trial, [])
    resumed = FederatedTrial(Dropping(), federation, seed=0)
    Checkpoints(Folder(tmp_path)).load(resumed)
    list(resumed.run())
    assert not differing(state_of(resumed), state_of(straight.trial))


def test_dropout_differs_between_clients_rounds_and_steps_but_not_between_fits():
    model = nn.Sequential(nn.Dropout(0.5), Flat())
    desk = Bench(model)
    eight_times = torch.zeros(8, dtype=torch.int64)  # one image: no order of data shows
    same = ClientSplit(eight_times, torch.arange(0), None)

    def last_loss(client, number, fits=1, epochs=1):
        work = ClientWork(desk.trainer, "training", number, client, same, 3)
        for _ in range(fits):
            work.fit(desk.start, [Phase("all", 0.0, epochs)])
        return round(work.losses[-1].item(), 5)

    losses = {last_loss(0, 1), last_loss(1, 1), last_loss(0, 2), last_loss(0, 1, epochs=2)}
    assert len(losses) == 4
    assert last_loss(0, 1, fits=2) == last_loss(0, 1)


def test_evaluation_drops_nothing(federation):
    trial = FederatedTrial(Dropping(), federation, seed=0)
    seen = []
    trial._trainer.model.norm_pre.register_forward_hook(lambda m, a, out: seen.append((a[0], out)))
    trial.evaluate()
    assert seen
    assert all(torch.equal(before, after) for before, after in seen)


def test_a_trial_leaves_the_global_generators_untouched(run_trial):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    run_trial(Dropping(), rounds=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def test_a_seed_changes_the_initialisation_and_the_run(federation, run_trial, state_of, differing):
    one, two = (run_trial(FedAvg(), seed=seed, rounds=1).trial for seed in (0, 1))
    assert "server/head.weight" in differing(state_of(one), state_of(two))


def test_start_weights_are_the_same_for_every_seed(federation, make_federation):
    weights = federation.build_backbone(seed=9).state_dict()
    ground = make_federation(weights=weights)
    for seed in (0, 1):
        server = FederatedTrial(FedAvg(), ground, seed).server
        assert all(torch.equal(server[name], weights[name]) for name in weights)


# Local training, on a linear model


class Flat(nn.Module):
    """Logits of flattened pixels."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(11)
        self.weight = nn.Parameter(0.1 * torch.randn(3, 64, generator=rng))
        self.bias = nn.Parameter(torch.tensor([0.5, -0.5, 0.25]))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


class Bench:
    """A model on 20 random images of 3 classes, trained by the engine or by hand."""

    def __init__(self, model, method=None, batch_size=8):
        method = method or Method()
        rng = torch.Generator().manual_seed(12)
        pixels = torch.randint(0, 256, (20, 1, 8, 8), generator=rng).to(torch.uint8)
        self.images = Images(pixels, torch.arange(20) % 3, 8)
        self.roles = roles_of(method, model)
        self.start = tensors_of(model, (*self.roles.shared, *self.roles.personal))
        rules = Rounds(rounds=1, sampled_clients=1, local_epochs=2, batch_size=batch_size)
        self.trainer = LocalTrainer(model, self.roles, self.images, rules, seed=4)
        every = ClientSplit(torch.arange(20), torch.arange(0), None)
        self.work = ClientWork(self.trainer, "training", 1, 0, every, 3)

    def batches(self, epochs):
        """The order as documented: key (seed, "training/order", round, client, epoch)."""
        for epoch in range(epochs):
            order = torch.randperm(20, generator=torch_rng(4, "training/order", 1, 0, epoch))
            yield from (self.images.batch(chosen) for chosen in order.split(8))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_weight_decay_is_that_of_torchs_sgd(weight_decay):
    desk, model = Bench(Flat()), Flat()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=weight_decay)
    for x, y in desk.batches(epochs=2):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    trained = desk.work.fit(desk.start, [Phase("all", 0.1, weight_decay=weight_decay)])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(trained[name], parameter.detach(), rtol=0, atol=1e-6)


def test_a_phase_counts_its_own_epochs_or_the_scenarios():
    """20 samples in batches of 8 are 3 steps; the scenario has 2 epochs."""
    for epochs, steps in ((None, 6), (1, 3), (5, 15)):
        desk = Bench(Flat())
        desk.work.fit(desk.start, [Phase("all", 0.1, epochs=epochs)])
        assert desk.work.steps == steps


def test_fit_leaves_its_arguments_alone(differing):
    desk = Bench(Flat())
    before = {name: tensor.clone() for name, tensor in desk.start.items()}
    trained = desk.work.fit(desk.start, [Phase("all", 0.1)])
    assert not differing(desk.start, before)
    assert len(differing(trained, before)) == 2
    assert not any(tensor.requires_grad for tensor in trained.values())


def test_fedprox_takes_the_steps_of_its_closed_form():
    """w ← w − η(∇L(w) + μ(w − w₀)), with ∇L of the linear model written out.

    For cross-entropy on logits x·Wᵀ + b the gradient is (softmax − onehot)ᵀ·x / batch for W and
    the mean of (softmax − onehot) for b.
    """
    mu, rate = 0.5, 0.1
    desk = Bench(Flat())
    update = FedProx(mu=mu, lr=rate).train(desk.work, desk.start, {})
    weight0, bias0 = desk.start["weight"], desk.start["bias"]
    weight, bias = weight0.clone(), bias0.clone()
    for x, y in desk.batches(epochs=2):
        flat = x.flatten(1)
        error = ((flat @ weight.T + bias).softmax(1) - F.one_hot(y, 3)) / len(y)
        weight = weight - rate * (error.T @ flat + mu * (weight - weight0))
        bias = bias - rate * (error.sum(0) + mu * (bias - bias0))
    torch.testing.assert_close(update.upload["weight"], weight, rtol=0, atol=1e-5)
    torch.testing.assert_close(update.upload["bias"], bias, rtol=0, atol=1e-5)
    assert (weight - weight0).abs().max() > 1e-3


def test_fedprox_keeps_the_clients_near_the_server(federation, run_trial):
    def distance(mu):
        trial = run_trial(FedProx(mu=mu, lr=0.1), rounds=1).trial
        start = federation.build_backbone(0).state_dict()
        return sum((trial.server[n] - start[n]).square().sum() for n in start)

    assert 0 < distance(5.0) < 0.9 * distance(0.0)


def test_without_mu_fedprox_is_fedavg(run_trial):
    assert run_trial(FedProx(mu=0.0)).metrics == run_trial(FedAvg()).metrics


def test_a_step_sees_one_augmentation_however_often_its_loss_is_asked(federation):
    """A difference of losses, as FedZO takes, must not be one of augmentations."""
    crops = replace(federation, preprocessing=Preprocessing(augment=("crop",)))
    trial = FederatedTrial(FedAvg(), crops, seed=0)
    losses = [
        (loss(trial.server).item(), loss(trial.server).item())
        for _ in range(2)
        for loss in trial._crew.work(3, "training", 0).batches()
    ]
    assert len(losses) == 6
    assert all(first == second for first, second in losses)
    assert losses[:3] == losses[3:]
    plain = FederatedTrial(FedAvg(), federation, seed=0)
    unaugmented = [
        loss(plain.server).item() for loss in plain._crew.work(3, "training", 0).batches()
    ]
    assert [first for first, _ in losses[:3]] != unaugmented


# Adaptation


class Adapting(FedAvg):
    """FedAvg that fine-tunes before each evaluation."""

    def adapt(self):
        return (Phase("all", 0.2, epochs=6),)


@pytest.fixture(scope="module")
def one_class_each(federation):
    """The tiny federation in which client c has only the class c mod 3."""
    labels = federation.dataset.labels.clone()
    for number, client in enumerate(federation.clients):
        labels[torch.cat([client.train, client.val, client.test])] = number % 3
    return replace(federation, dataset=replace(federation.dataset, labels=labels))


def test_adaptation_changes_what_is_evaluated(one_class_each, run_trial):
    """A client of one class learns in some steps to answer with it; the mean model cannot."""
    adapted = run_trial(Adapting(), one_class_each, rounds=1).metrics[0]
    plain = run_trial(FedAvg(), one_class_each, rounds=1).metrics[0]
    assert adapted["val/accuracy"] == adapted["test/accuracy"] == 1.0
    assert plain["val/accuracy"] < 0.9


def test_adaptation_is_thrown_away(one_class_each, run_trial, state_of, differing):
    adapted, plain = (run_trial(m, one_class_each, rounds=2).trial for m in (Adapting(), FedAvg()))
    assert not differing(state_of(adapted), state_of(plain))


def test_adaptation_is_not_trained_on_what_is_evaluated(one_class_each):
    trial = FederatedTrial(Adapting(), one_class_each, seed=0)
    used = []
    loss_on = trial._trainer.loss_on

    def spy(batches, rest):
        used.extend(torch.cat(batches).tolist())
        return loss_on(batches, rest)

    trial._trainer.loss_on = spy
    trial.evaluate()
    assert set(used) == set(torch.cat([c.train for c in one_class_each.clients]).tolist())


# Roles and buffers


class Normed(nn.Module):
    """BatchNorm over pixels, then a linear layer."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.flat = Flat()

    def forward(self, x):
        return self.flat(self.norm(x))


NORM = {f"norm.{n}" for n in ("weight", "bias", "running_mean", "running_var")}
NORM |= {"norm.num_batches_tracked"}


class Partly(Method):
    """Freezes, and keeps personal, what it is told by class attributes."""

    frozen = ()
    kept = ()

    def graft(self, model):
        parts.freeze(model, but=[n for n, _ in model.named_parameters() if n not in self.frozen])

    def personal_part(self, model):
        return self.kept


def partly(model, frozen=(), kept=()):
    method = type("Some", (Partly,), {"frozen": frozen, "kept": kept})()
    method.graft(model)
    return method, model


def test_a_gradient_through_batchnorm_that_trains_is_refused_in_one_line():
    """Its statistics would be written inside of what torch differentiates."""
    model, x = Normed(), torch.rand(4, 1, 8, 8)
    at = dict(model.named_parameters())

    def loss(tensors):
        return functional_call(model, tensors, (x,)).square().mean()

    with pytest.raises(UserError, match=r"as BatchNorm writes its statistics .*; freeze") as found:
        gradient(loss, at)
    assert "\n" not in str(found.value)
    model.norm.eval()
    assert gradient(loss, at).keys() == at.keys()


def test_tensors_are_shared_unless_somebody_says_otherwise():
    roles = roles_of(*partly(Normed()))
    assert set(roles.shared) == NORM | {"flat.weight", "flat.bias"}
    assert (roles.personal, roles.frozen) == ((), ())


def test_buffers_go_where_personal_sends_them():
    roles = roles_of(*partly(Normed(), kept=("norm.running_mean",)))
    assert roles.personal == ("norm.running_mean",)
    assert "norm.running_var" in roles.shared


def test_buffers_of_a_frozen_module_are_frozen():
    roles = roles_of(*partly(Normed(), frozen=("norm.weight", "norm.bias")))
    assert set(roles.frozen) == NORM
    assert set(roles.shared) == {"flat.weight", "flat.bias"}


def test_buffers_of_a_module_that_is_frozen_in_part_are_shared():
    roles = roles_of(*partly(Normed(), frozen=("norm.weight",)))
    assert roles.frozen == ("norm.weight",)
    assert "norm.running_mean" in roles.shared


def test_buffers_are_no_part_of_training():
    roles = roles_of(*partly(Normed(), kept=("flat.bias", "norm.running_var")))
    assert set(roles.part("shared")) == {"norm.weight", "norm.bias", "flat.weight"}
    assert roles.part("personal") == ("flat.bias",)
    assert set(roles.part("all")) == {*roles.part("shared"), "flat.bias"}


def test_a_frozen_batchnorm_keeps_its_statistics():
    model = Normed()
    desk = Bench(model, partly(model, frozen=("norm.weight", "norm.bias"))[0])
    desk.trainer.answers(desk.start, torch.arange(4))  # as after any evaluation
    desk.work.fit(desk.start, [Phase("all", 0.1)])
    assert model.norm.running_mean.tolist() == [0.0]
    assert model.norm.num_batches_tracked == 0


def test_a_frozen_batchnorm_keeps_its_statistics_before_the_first_evaluation():
    model = Normed()
    desk = Bench(model, partly(model, frozen=("norm.weight", "norm.bias"))[0])
    desk.work.fit(desk.start, [Phase("all", 0.1)])
    assert model.norm.running_mean.tolist() == [0.0]
    assert model.norm.num_batches_tracked == 0


def test_a_shared_batchnorm_returns_its_statistics_and_leaves_the_model_alone():
    """20 samples in batches of 8, 2 epochs: 6 batches were tracked, in the upload only."""
    model = Normed()
    desk = Bench(model)
    update = Method(lr=0.1).train(desk.work, desk.start, {})
    assert update.upload["norm.num_batches_tracked"] == 6
    assert update.upload["norm.running_mean"].abs() > 1e-3
    assert model.norm.num_batches_tracked == desk.start["norm.num_batches_tracked"] == 0
    assert model.norm.running_mean.tolist() == desk.start["norm.running_mean"].tolist() == [0.0]


def test_statistics_are_averaged_in_their_own_type():
    """(1·2 + 3·6) / 4 = 5 batches, an integer as before."""
    uploads = [Update({"n": torch.tensor(2)}, {}, 1), Update({"n": torch.tensor(6)}, {}, 3)]
    server = Method().aggregate({"n": torch.tensor(0)}, iter(uploads), ServerRound(0, 1, 2))
    assert server["n"] == 5
    assert server["n"].dtype == torch.int64


def test_frozen_start_weights_are_those_of_the_scenario(federation, make_federation):
    weights = federation.build_backbone(seed=9).state_dict()
    trial = FederatedTrial(PFedPG(), make_federation(weights=weights), seed=0)
    model = trial._trainer.model.state_dict()
    assert all(torch.equal(model[name], weights[name]) for name in trial.roles.frozen)


# Checkpoints


def test_a_checkpoint_is_readable_without_pickle(run_trial, tmp_path):
    Checkpoints(Folder(tmp_path)).save(run_trial(Local(), rounds=1).trial, [])
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_a_checkpoint_restores_totals_and_selection(federation, run_trial, tmp_path):
    trial = run_trial(FedPer(), rounds=2).trial
    Checkpoints(Folder(tmp_path)).save(trial, [])
    fresh = FederatedTrial(FedPer(), federation, seed=0)
    Checkpoints(Folder(tmp_path)).load(fresh)
    assert (fresh.round, fresh.totals, fresh.selection) == (2, trial.totals, trial.selection)


def test_a_finished_trial_stays_finished_after_a_resume(federation, run_trial, tmp_path):
    Checkpoints(Folder(tmp_path)).save(run_trial(FedPer()).trial, [])
    fresh = FederatedTrial(FedPer(), federation, seed=0)
    Checkpoints(Folder(tmp_path)).load(fresh)
    assert fresh.finished
    assert list(fresh.run()) == []


def test_clients_with_two_digits_are_told_apart(make_federation, state_of, differing, tmp_path):
    """client1 and client10 begin alike."""
    ground = make_federation([(3, 1, 1)] * 12, rounds=1, sampled_clients=12)
    trial = FederatedTrial(FedPer(lr=0.1), ground, seed=0)
    trial.step()
    Checkpoints(Folder(tmp_path)).save(trial, [])
    fresh = FederatedTrial(FedPer(lr=0.1), ground, seed=0)
    Checkpoints(Folder(tmp_path)).load(fresh)
    assert not differing(state_of(fresh), state_of(trial))


def test_operations_are_those_of_the_models_matrix_products(federation):
    """Counted by hand: 4 patches of 4×4 pixels and a class token, width 16, 2 blocks, 2 heads."""
    tokens, width, classes = 5, 16, 3
    patches = 2 * 4 * width * (4 * 4)
    attention = 2 * (2 * 2 * tokens * tokens * (width // 2))
    block = 2 * tokens * width * (3 * width + width + 2 * 4 * width) + attention
    expected = patches + 2 * block + 2 * width * classes
    found = FederatedTrial(Method(), federation, 0).footprint()["compute/gflops"]
    assert found == pytest.approx(expected / 1e9, abs=0)


# Parts and phases


@pytest.mark.parametrize("name", ["levit_128s", "efficientvit_m0"])
def test_norms_are_the_normalisation_layers_and_nothing_that_contains_one(name):
    """Both backbones call pairs of a convolution and its BatchNorm, and a head, after the norm."""
    model = timm.create_model(name, num_classes=3)
    expected = {
        f"{path}.{tensor}"
        for path, module in model.named_modules()
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
        for tensor in module.state_dict()
    }
    assert set(parts.norms(model)) == expected
    sizes = {n: t.numel() for n, t in model.state_dict().items()}
    assert sum(sizes[n] for n in expected) < 0.03 * sum(sizes.values())


@dataclass(frozen=True, kw_only=True)
class Beside(Method):
    """Keeps a number beside the model, which alone trains in the personal phase."""

    whole: bool = False

    def init_client(self, start, client):
        kind = torch.int64 if self.whole else torch.float32
        return {"beside.number": torch.ones((), dtype=kind)}

    def phases(self):
        return (Phase("personal", self.lr),)

    def objective(self, loss, params, context):
        return sum(t.square() for n, t in params.items() if n == "beside.number")

    def train(self, work, down, personal):
        kept = work.fit({**down, **personal}, self.phases(), self.objective)
        return Update(dict(down), {n: kept[n] for n in personal}, work.samples)


def test_a_personal_phase_may_train_what_init_client_alone_has_made(federation):
    trial = FederatedTrial(Beside(lr=0.1), federation, seed=0)
    trial.step()
    client = trial.sampled_clients(1)[0]
    steps = -(-len(federation.clients[client].train) // 8)
    assert trial.personal[client]["beside.number"].item() == pytest.approx(0.8**steps)


def test_a_personal_phase_without_anything_to_train_is_refused(federation):
    with pytest.raises(UserError, match="trains its personal part, which has no parameters"):
        FederatedTrial(Beside(whole=True), federation, seed=0)
