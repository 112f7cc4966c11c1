"""Methods that look at features, class counts or other clients' models, against their papers.

Two rounds are replayed by hand, see replay.py; what is counted by class is counted in loops. In the
docstrings z is what the head reads, f_c(θ; B) the mean cross-entropy of client c on batch B.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from byhand import HEAD, assert_same, flat, gradients, well_conditioned
from hypothesis import given, settings
from hypothesis import strategies as st
from replay import ALL, LR, SEED, TOLERANCE, ByHand, mean, spied
from torch import nn
from torch.func import functional_call

from pfltune.errors import UserError
from pfltune.federation.footprint import server_mb
from pfltune.federation.setup import set_up
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Outputs, Phase
from pfltune.methods._centroids import centroids_of, merged
from pfltune.methods._simplex import simplex_minimum
from pfltune.methods.fedala import FedALA
from pfltune.methods.fedamp import FedAMP
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedpac import FedPAC, _statistics
from pfltune.methods.fedpac import combinations as head_weights
from pfltune.methods.fedproto import FedProto
from pfltune.methods.fedrod import FedRoD
from pfltune.methods.moon import MOON
from pfltune.randomness import torch_rng
from pfltune.testing.federations import CLASSES

WEIGHT, BIAS = HEAD
BODY = tuple(name for name in ALL if name not in HEAD)


class Both(nn.Module):
    """A bare timm ViT that answers logits and what its head reads."""

    def __init__(self, bare):
        super().__init__()
        self.bare = bare

    def forward(self, images):
        features = self.bare.norm(self.bare.blocks(self.embedded(images)))[:, 0]
        return self.bare.head(features), features

    def embedded(self, images):
        cls = self.bare.cls_token.expand(len(images), -1, -1)
        return torch.cat([cls, self.bare.patch_embed(images)], dim=1) + self.bare.pos_embed


class Hand(ByHand):
    """By hand with features."""

    def __init__(self, federation):
        super().__init__(federation)
        self.both = Both(self.model)

    def says(self, theta, batch):
        """Logits and features of the images of a batch, and their labels as whole numbers."""
        images = self.federation.dataset.images[batch].float() / 127.5 - 1
        named = {f"bare.{name}": t for name, t in theta.items()}
        return *functional_call(self.both, named, (images,)), self.labels(batch)

    def labels(self, batch):
        return self.federation.dataset.labels[batch].tolist()

    def counts(self, c):
        """How many training images of each class the client has."""
        labels = self.labels(self.federation.clients[c].train)
        return [sum(label == k for label in labels) for k in range(CLASSES)]

    def centroids(self, theta, c):
        """The mean of z over the client's training images of each class; zeros for no image."""
        _, features, labels = self.says(theta, self.federation.clients[c].train)
        sums = [torch.zeros_like(features[0]) for _ in range(CLASSES)]
        for z, label in zip(features, labels, strict=True):
            sums[label] = sums[label] + z
        return torch.stack([s / max(n, 1) for s, n in zip(sums, self.counts(c), strict=True)])

    def descend(self, theta, loss, names, lr=LR):
        """θ ← θ − η·∇loss for the tensors in ``names``."""
        moving = {name: theta[name] for name in names}
        g = gradients(lambda t: loss({**theta, **t}), moving)
        return {n: t - lr * g[n] if n in g else t for n, t in theta.items()}


def ce(logits, labels):
    """The mean of −log softmax at the label, image by image."""
    rows = zip(logits, labels, strict=True)
    return sum(row.exp().sum().log() - row[label] for row, label in rows) / len(labels)


@pytest.fixture(scope="module")
def hand(make_federation):
    return Hand(well_conditioned(make_federation, local_epochs=2))


def test_fedrod_balances_the_generic_loss_and_adds_a_personal_head(hand):
    """Chen 2022: g on −log(n_y·exp(g_y) / Σ_k n_k·exp(g_k)) with the body; p on that of g + p.

    The gradient of the second goes nowhere but into p. Body and g are averaged, p stays, g + p
    predicts. A class of which the client has no image is none of its sum.
    """

    def balanced(logits, labels, counts):
        total = 0.0
        for row, label in zip(logits, labels, strict=True):
            inside = sum(n * row[k].exp() for k, n in enumerate(counts) if n)
            total = total - (counts[label] * row[label].exp() / inside).log()
        return total / len(labels)

    def local(number, c, u, own):
        counts = hand.counts(c)
        for batch in hand.batches(number, c):
            logits, features, labels = hand.says(u, batch)

            def personal(p, logits=logits, features=features, labels=labels):
                mine = features @ p[f"fedrod.{WEIGHT}"].T + p[f"fedrod.{BIAS}"]
                return ce(logits + mine, labels)

            def generic(theta, batch=batch, labels=labels, counts=counts):
                return balanced(hand.says(theta, batch)[0], labels, counts)

            own, u = hand.descend(own, personal, own), hand.descend(u, generic, u)
        return u, own

    def predict(number, c, u, own):
        return {n: t + own[f"fedrod.{n}"] if n in HEAD else t for n, t in u.items()}

    own = {f"fedrod.{name}": torch.zeros_like(hand.start[name]) for name in HEAD}
    hand.check(FedRoD(lr=LR), local, hand.start, own, predict)


def test_fedrod_with_a_missing_class_stays_finite(make_federation):
    """log 0 says that there is none of it."""
    federation = make_federation([(2, 1, 1), (9, 4, 3)])
    assert 0 in Hand(federation).counts(0)
    trial = FederatedTrial(FedRoD(lr=LR), federation, 0)
    trial.step(), trial.step()
    assert all(t.isfinite().all() for t in trial.server.values())


class Prototypes:
    """FedProto (Tan 2022) on plain tensors.

    f_c(θ; B) + λ·(mean over images and width of (z − c_y)²) with c_y the global prototype of the
    image's class y, if there is one. Then the mean of z of each class over all training images goes
    up with the count n_ck; the server has Σ_c n_ck·mean_ck / Σ_c n_ck.
    """

    NAMES = f"prototypes.{WEIGHT}", f"counts.{WEIGHT}"

    def __init__(self, hand, lam, predicts):
        self.hand, self.lam, self.predicts = hand, lam, predicts
        nothing = torch.zeros_like(hand.start[WEIGHT]), torch.zeros(CLASSES, dtype=torch.int32)
        self.start = dict(zip(self.NAMES, nothing, strict=True))

    def local(self, number, c, server, own):
        prototypes, known = (server[name] for name in self.NAMES)

        def loss(theta, batch):
            logits, features, labels = self.hand.says(theta, batch)
            far = 0.0
            for z, label in zip(features, labels, strict=True):
                far = far + (((z - prototypes[label]) ** 2).mean() if known[label] else 0.0)
            return ce(logits, labels) + self.lam * far / len(labels)

        for batch in self.hand.batches(number, c):
            own = self.hand.descend(own, lambda theta, batch=batch: loss(theta, batch), own)
        counts = torch.tensor(self.hand.counts(c), dtype=torch.int32)
        told = self.hand.centroids(own, c), counts
        return dict(zip(self.NAMES, told, strict=True)), own

    def combine(self, server, uploads, n):
        prototypes, counts = (server[name].clone() for name in self.NAMES)
        for k in range(CLASSES):
            told = [tuple(upload[name][k] for name in self.NAMES) for upload in uploads.values()]
            total = sum(int(count) for _, count in told)
            if total:
                prototypes[k] = sum(mean * int(count) for mean, count in told) / total
                counts[k] = total
        return dict(zip(self.NAMES, (prototypes, counts), strict=True))

    def predict(self, number, c, server, own):
        if self.predicts == "head":
            return own
        """The nearest prototype c: 2·⟨c − m, f⟩ − ‖c‖² + ‖m‖² is largest, m the mean of all c."""
        prototypes = server[self.NAMES[0]]
        middle = sum(prototypes) / len(prototypes)
        norms = torch.stack([sum(x * x for x in row) for row in (*prototypes, middle)])
        return {**own, WEIGHT: prototypes - middle, BIAS: (norms[-1] - norms[:-1]) / 2}


@pytest.mark.parametrize("predicts", ["prototypes", "head"])
def test_fedproto_pulls_features_to_prototypes_and_sends_nothing_else(predicts, make_federation):
    federation = well_conditioned(make_federation, local_epochs=2)
    short = {"norm.weight": 0.3 * federation.weights["norm.weight"]}  # ‖c‖² adds roundings up
    hand = Hand(replace(federation, weights={**federation.weights, **short}))
    paper = Prototypes(hand, 0.7, predicts)
    hand.check(
        FedProto(lr=LR, lam=0.7, predict=predicts),
        paper.local,
        paper.start,
        hand.start,
        paper.predict,
        combine=paper.combine,
    )


def test_fedproto_predicts_the_nearest_prototype_and_never_one_that_is_not_there():
    rng = torch.Generator().manual_seed(0)
    prototypes = torch.randn(4, 6, generator=rng)
    features = torch.randn(50, 6, generator=rng)
    counts = torch.tensor([3, 0, 1, 2], dtype=torch.int32)
    down = {f"prototypes.{WEIGHT}": prototypes, f"counts.{WEIGHT}": counts}
    head = FedProto().assemble(down, {WEIGHT: torch.zeros(4, 6), BIAS: torch.zeros(4)})
    found = (features @ head[WEIGHT].T + head[BIAS]).argmax(dim=1).tolist()
    for z, k in zip(features, found, strict=True):
        far = {j: float((z - prototypes[j]).norm()) for j in (0, 2, 3)}
        assert k == min(far, key=far.get)


def test_fedproto_predicts_with_its_head_before_there_are_prototypes():
    down = {f"prototypes.{WEIGHT}": torch.zeros(4, 6), f"counts.{WEIGHT}": torch.zeros(4).int()}
    personal = {WEIGHT: torch.ones(4, 6), BIAS: torch.ones(4)}
    assert_same(FedProto().assemble(down, personal), personal, atol=0)


def test_fedproto_tells_near_prototypes_apart_in_half_precision():
    """Features far from zero: beside them the differences would be rounded away."""
    rng = torch.Generator().manual_seed(1)
    far, apart = 30 * torch.ones(6), torch.randn(4, 6, generator=rng)
    down = {f"prototypes.{WEIGHT}": far + apart, f"counts.{WEIGHT}": torch.ones(4).int()}
    head = FedProto().assemble(down, {WEIGHT: torch.zeros(4, 6), BIAS: torch.zeros(4)})
    narrow = {name: tensor.bfloat16() for name, tensor in head.items()}
    said = F.linear((far + apart).bfloat16(), narrow[WEIGHT], narrow[BIAS])
    assert said.argmax(dim=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("rounding", [1.0, 1.0001])
def test_fedpac_gives_a_client_of_one_image_its_own_head(rounding):
    """Of one image ‖z‖² − ‖h‖² is rounding alone, on either side of zero."""
    said = Outputs(torch.zeros(1, 2), torch.tensor([[0.1, 0.7, 1.3]]), torch.tensor([1]))
    counts = torch.tensor([0, 1])
    spread = _statistics(said, rounding * centroids_of(said, counts), counts)["v"]
    assert spread >= 0
    means = [torch.zeros(2, 3), torch.full((2, 3), 5.0)]
    weights = head_weights(means, [spread, spread])
    torch.testing.assert_close(weights, torch.eye(2, dtype=weights.dtype))


def test_a_class_that_nobody_has_keeps_its_centroid():
    told = [
        (torch.tensor([[1.0], [0.0]]), torch.tensor([1, 0])),
        (torch.tensor([[4.0], [0.0]]), torch.tensor([2, 0])),
    ]
    centroids, counts = merged(told, torch.tensor([[7.0], [8.0]]), torch.tensor([5, 6]))
    assert centroids.tolist() == [[3.0], [8.0]]
    assert counts.tolist() == [3, 6]


def test_moon_contrasts_with_the_global_and_the_clients_previous_model(hand):
    """Li 2021: f_c(w; B) + μ·mean of −log(e^(s/τ) / (e^(s/τ) + e^(s′/τ))).

    s is the cosine of z with that of the downloaded model, s′ with that of the model that the
    client sent last, the common start before that. w is averaged.
    """
    mu, tau = 3.0, 0.4

    def cosine(a, b):
        return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())

    def local(number, c, server, own):
        previous = {name.removeprefix("moon.previous."): t for name, t in own.items()}

        def loss(theta, batch):
            logits, features, labels = hand.says(theta, batch)
            other, last = hand.says(server, batch)[1], hand.says(previous, batch)[1]
            total = 0.0
            for z, near, off in zip(features, other, last, strict=True):
                a, b = (cosine(z, near) / tau).exp(), (cosine(z, off) / tau).exp()
                total = total - (a / (a + b)).log()
            return ce(logits, labels) + mu * total / len(labels)

        w = server
        for batch in hand.batches(number, c):
            w = hand.descend(w, lambda theta, batch=batch: loss(theta, batch), w)
        return w, {f"moon.previous.{name}": t for name, t in w.items()}

    own = {f"moon.previous.{name}": t for name, t in hand.start.items()}
    hand.check(MOON(lr=LR, mu=mu, tau=tau), local, hand.start, own, lambda _, c, w, v: w)


def test_moon_without_the_contrast_is_fedavg(make_federation):
    """Up to rounding: its loss is written with the logits of the batch."""
    federation = well_conditioned(make_federation)
    trials = [FederatedTrial(method, federation, SEED) for method in (MOON(mu=0.0), FedAvg())]
    for trial in trials:
        trial.step(), trial.step()
    assert_same(trials[0].server, trials[1].server)


class Aggregation:
    """FedALA (Zhang 2023) on plain tensors, with the two tensors of the head on top.

    From the second round on a client begins at θ + (w − θ)·W in the head and at w below, θ its last
    local model. Before that W ← clip(W − η·∇·(w − θ), 0, 1) for each batch of 60 % of its samples:
    one epoch, but the first time until the last ten of more than ten losses, each of an epoch's
    last batch, have a standard deviation below 0.1.
    """

    def __init__(self, hand, eta, share):
        self.hand, self.eta, self.share = hand, eta, share
        ones = {name: torch.ones_like(hand.start[name]) for name in HEAD}
        self.start = self.kept(hand.start, ones)
        self.epochs = []

    def kept(self, theta, weights):
        own = {f"fedala.own.{name}": theta[name] for name in HEAD}
        return own | {f"fedala.weight.{n}": w for n, w in weights.items()}

    def local(self, number, c, w, own):
        weights = {name: own[f"fedala.weight.{name}"] for name in HEAD}
        first = {n: t for n, t in own.items() if n == "fedala.epochs"}
        if number > 1:
            weights = self.learned(number, c, w, own, weights, until=not first)
            first = first or {"fedala.epochs": torch.tensor(self.epochs[-1], dtype=torch.int32)}
        theta = self.mixed(w, own, weights)
        for batch in self.hand.batches(number, c):
            theta = self.hand.step(theta, batch)
        return theta, self.kept(theta, weights) | first

    def learned(self, number, c, w, own, weights, until):
        mine = self.hand.federation.clients[c].train
        rng = torch_rng(SEED, "training/order", number, c, 0)
        some = mine[torch.randperm(len(mine), generator=rng)][: round(self.share * len(mine))]
        losses = []
        while not losses or (until and (len(losses) <= 10 or np.std(losses[-10:]) >= 0.1)):
            for batch in some.split(self.hand.federation.protocol.batch_size):
                theta = self.mixed(w, own, weights)
                logits, _, labels = self.hand.says(theta, batch)
                g = self.hand.gradient(theta, batch)
                towards = {n: w[n] - own[f"fedala.own.{n}"] for n in HEAD}
                stepped = {n: weights[n] - self.eta * g[n] * towards[n] for n in HEAD}
                weights = {n: t.clamp(min=0).clamp(max=1) for n, t in stepped.items()}
            losses.append(float(ce(logits, labels)))
        self.epochs.append(len(losses))
        return weights

    def mixed(self, w, own, weights):
        tops = {n: own[f"fedala.own.{n}"] for n in HEAD}
        return {**w, **{n: t + (w[n] - t) * weights[n] for n, t in tops.items()}}

    def predict(self, number, c, w, own):
        return self.mixed(w, own, {name: own[f"fedala.weight.{name}"] for name in HEAD})


def three_rounds(hand, method, server, own, local, predict, combine):
    """Three rounds of ``method`` equal those by hand; returns the trial."""
    trial = FederatedTrial(method, hand.federation, SEED)
    cohorts = [trial.sampled_clients(number) for number in (1, 2, 3)]
    expected = hand.rounds(cohorts, server, own, local, predict, combine)
    predicting = spied(trial)
    for _ in cohorts:
        trial.step()
    assert_same(flat(trial.server, trial.personal), flat(*expected[:2]), TOLERANCE)
    assert_same(predicting, expected[2], TOLERANCE)
    return trial


def test_fedala_weighs_the_downloaded_head_against_its_own(make_federation):
    """Three rounds, so that clients have weights to learn for the first and for a further time."""
    hand = Hand(well_conditioned(make_federation, local_epochs=2, sampled_clients=3))
    paper = Aggregation(hand, eta=1.0, share=0.6)
    method = FedALA(lr=LR, eta=1.0, share=0.6)
    trial = three_rounds(hand, method, hand.start, paper.start, paper.local, paper.predict, mean)
    assert 1 in paper.epochs
    assert max(paper.epochs) > 10
    learned = torch.cat([own[f"fedala.weight.{WEIGHT}"].flatten() for own in trial.personal])
    assert learned.min() < learned.max() == 1


def test_fedala_with_weights_of_one_is_fedavg(make_federation):
    """η = 0 leaves them there; equal to the last bit."""
    federation = well_conditioned(make_federation)
    trials = [FederatedTrial(method, federation, SEED) for method in (FedALA(eta=0.0), FedAvg())]
    predicting = [spied(trial) for trial in trials]
    for trial in trials:
        trial.step(), trial.step()
    assert_same(trials[0].server, trials[1].server, atol=0)
    assert_same(*predicting, atol=0)


def test_fedala_says_when_nothing_that_trains_is_named(make_federation):
    with pytest.raises(UserError, match="top='none' names nothing that trains"):
        FederatedTrial(FedALA(top="none"), make_federation(), 0)


def test_a_share_of_the_samples_is_read_in_each_epoch(make_federation):
    trial = FederatedTrial(FedAvg(), make_federation(), 0)
    work, half = trial._crew.work(3, "training", 1), Phase("all", lr=0.1, epochs=2, share=0.5)
    read = torch.cat([chosen for (chosen,) in work.draw()(half)]).tolist()
    first, second = set(read[:11]), set(read[11:])
    assert [len(read), len(first), len(second)] == [22, 11, 11]
    assert first != second
    assert first | second <= set(trial.federation.clients[3].train.tolist())
    assert len(list(work.batches(half))) == len(list(work.draw()(half))) == 4


class Messages:
    """FedAMP (Huang 2021) on plain tensors.

    u_i = (1 − Σ_j ξ_ij)·w_i + Σ_j ξ_ij·w_j with ξ_ij = α·exp(−‖w_i − w_j‖²/σ)/σ over the other
    clients that have sent a model; ξ_ij / Σ_j ξ_ij in its place where the sum is above one. Then
    f_i(w) + λ/(2α)·‖w − u_i‖² from u_i on.
    """

    def __init__(self, hand, alpha, sigma, lam):
        self.hand, self.alpha, self.sigma, self.lam = hand, alpha, sigma, lam
        self.clients = range(len(hand.federation.clients))
        heard = torch.zeros(len(self.clients), dtype=torch.uint8)
        stacked = {n: torch.stack([t for _ in self.clients]) for n, t in hand.start.items()}
        far = torch.zeros(len(self.clients), len(self.clients))
        self.start = {**stacked, "fedamp.heard": heard, "fedamp.distances": far}
        self.sums = []

    def cloud(self, server, i):
        xi = {}
        for j in self.clients:
            if j != i and server["fedamp.heard"][j]:
                far = sum(((server[n][i] - server[n][j]) ** 2).sum() for n in ALL)
                xi[j] = self.alpha * (-far / self.sigma).exp() / self.sigma
        total = sum(xi.values())
        self.sums.append(float(total))
        if total > 1:
            xi = {j: value / total for j, value in xi.items()}
        rest = 1 - sum(xi.values())
        return {n: rest * server[n][i] + sum(x * server[n][j] for j, x in xi.items()) for n in ALL}

    def local(self, number, c, server, own):
        u = w = self.cloud(server, c)
        for batch in self.hand.batches(number, c):
            g = self.hand.gradient(w, batch)
            w = {n: w[n] - LR * (g[n] + self.lam / self.alpha * (w[n] - u[n])) for n in w}
        return w, w

    def combine(self, server, uploads, n):
        new = {name: t.clone() for name, t in server.items()}
        for c, upload in uploads.items():
            new["fedamp.heard"][c] = 1
            for name, t in upload.items():
                new[name][c] = t
        for i in self.clients:
            for j in self.clients:
                gaps = (((new[n][i] - new[n][j]) ** 2).sum() for n in ALL)
                new["fedamp.distances"][i, j] = sum(gaps)
        return new


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 2.0), (9.0, 3.0)])
def test_fedamp_starts_each_client_from_a_cloud_model_of_its_own(alpha, sigma, hand):
    paper = Messages(hand, alpha, sigma, lam=2.0)
    hand.check(
        FedAMP(lr=LR, alpha=alpha, sigma=sigma, lam=2.0),
        paper.local,
        paper.start,
        hand.start,
        lambda _, c, server, own: own,
        combine=paper.combine,
    )
    assert (max(paper.sums) > 1) == (alpha > sigma)
    assert any(0.05 < total < 20 for total in paper.sums)


def test_one_client_of_fedamp_is_pulled_to_where_it_began(make_federation):
    """No other has been heard of: the cloud model is its own."""
    server = FederatedTrial(FedAMP(), make_federation(), 0).server
    down = FedAMP().download(server, 2)
    assert all(torch.equal(t, server[n][2]) for n, t in down.items())


@pytest.mark.parametrize("clients", [1, 2, 3, 4, 30])
def test_what_the_server_of_fedamp_holds_is_known_before_it_does(clients, make_federation):
    """N models, N marks and N² distances; 4 bytes a number, 1 a mark."""
    setup = set_up(FedAMP(), make_federation().build_backbone(0), 1, 0, torch.device("cpu"))
    size = sum(t.numel() for t in setup.model.state_dict().values())
    expected = 4 * clients * size + clients + 4 * clients**2
    assert server_mb(setup.server_of, clients) * 1e6 == pytest.approx(expected)
    assert sum(t.nbytes for t in setup.server_of(clients).values()) == expected


class Alignment:
    """FedPAC (Xu 2023) on plain tensors.

    Before training h_k = (n_k/n)·mean of z over class k, and V = (Σ_k (n_k/n)·mean of ‖z‖² over
    class k − Σ_k ‖h_k‖²)/n. The head trains for one epoch on f_c, then the body on f_c + λ·(mean
    over images and width of (z − c_y)²), with c_y the global centroid, or the client's own before
    training; in the first round there is no such term. Up go body, head, h, V, centroids after
    training, and n_k. The next head of client i is Σ_j α_j·head_j, see :func:`weights`.
    """

    def __init__(self, hand, lam, head_lr):
        self.hand, self.lam, self.head_lr = hand, lam, head_lr
        self.seen = []  # weights of heads
        body = {name: hand.start[name] for name in BODY}
        none = torch.zeros_like(hand.start[WEIGHT]), torch.zeros(CLASSES, dtype=torch.int32)
        told = dict(zip(("statistics.centroids", "statistics.counts"), none, strict=True))
        self.start = {**body, **self.sent({n: hand.start[n] for n in HEAD}), **told}

    def sent(self, head):
        return {f"classifier.{name}": t for name, t in head.items()}

    def predict(self, number, c, server, own):
        mine = f"of/{c}/classifier."
        prefix = mine if mine + WEIGHT in server else "classifier."
        head = {name: server[prefix + name] for name in HEAD}
        return {**{name: server[name] for name in BODY}, **head}

    def statistics(self, theta, c):
        _, features, labels = self.hand.says(theta, self.hand.federation.clients[c].train)
        counts, h, v = self.hand.counts(c), [], 0.0
        for k in range(CLASSES):
            images = [z for z, label in zip(features, labels, strict=True) if label == k]
            share = counts[k] / len(labels)
            h.append(share * sum(images) / len(images) if images else 0 * features[0])
            v = v + (share * sum((z**2).sum() for z in images) / len(images) if images else 0.0)
            v = v - (h[k] ** 2).sum()
        return {"statistics.h": torch.stack(h), "statistics.v": v / len(labels)}

    def local(self, number, c, server, own):
        theta, counts = self.predict(number, c, server, own), self.hand.counts(c)
        before, statistics = self.hand.centroids(theta, c), self.statistics(theta, c)

        def aligned(theta, batch):
            logits, features, labels = self.hand.says(theta, batch)
            far = 0.0
            for z, y in zip(features, labels, strict=True):
                known = server["statistics.counts"][y] > 0
                target = server["statistics.centroids"][y] if known else before[y]
                far = far + ((z - target) ** 2).mean()
            return ce(logits, labels) + (self.lam * far / len(labels) if number > 1 else 0.0)

        for batch in self.hand.batches(number, c, [0]):
            theta = self.hand.step(theta, batch, HEAD, self.head_lr)
        for batch in self.hand.batches(number, c, [1, 2]):
            theta = self.hand.descend(theta, lambda t, batch=batch: aligned(t, batch), BODY)
        told = {
            "statistics.centroids": self.hand.centroids(theta, c),
            "statistics.counts": torch.tensor(counts, dtype=torch.int32),
        }
        body = {name: theta[name] for name in BODY}
        return {**body, **self.sent({n: theta[n] for n in HEAD}), **told, **statistics}, own

    def combine(self, server, uploads, n):
        names = (*BODY, *self.sent(dict.fromkeys(HEAD)))
        new = {**server, **mean(names, uploads, n)}
        centroids, counts = "statistics.centroids", "statistics.counts"
        paper = Prototypes.combine
        both = type("", (), {"NAMES": (centroids, counts)})
        new |= paper(both, server, uploads, n)
        for i, c in enumerate(uploads):
            alpha = self.weights(i, list(uploads.values()))
            for name in self.sent(dict.fromkeys(HEAD)):
                parts = [a * u[name] for a, u in zip(alpha, uploads.values(), strict=True)]
                new[f"of/{c}/{name}"] = sum(parts)
        return new

    def weights(self, i, uploads):
        """The best of all sets of heads with positive weights, each tried in turn."""
        h = [u["statistics.h"].double() for u in uploads]
        form = torch.zeros(len(h), len(h), dtype=torch.float64)
        for a in range(len(h)):
            for b in range(len(h)):
                form[a, b] = ((h[i] - h[a]) * (h[i] - h[b])).sum()
            form[a, a] += uploads[a]["statistics.v"].double()
        alpha = tried(form)
        self.seen += alpha.tolist()
        alpha = [a if a > 1e-3 else 0.0 for a in alpha.tolist()]
        return [a / sum(alpha) for a in alpha]


def tried(form):
    """argmin αᵀPα over the simplex: of all supports the best that needs no negative weight.

    On a support Pα = λ·1 and Σα = 1, one linear system for α and λ.
    """
    best, least = None, np.inf
    for size in range(1, len(form) + 1):
        for support in map(list, combinations(range(len(form)), size)):
            system = torch.ones(size + 1, size + 1, dtype=form.dtype)
            system[:size, :size], system[size, size] = form[support][:, support], 0
            right = torch.zeros(size + 1, dtype=form.dtype)
            right[size] = 1
            found = torch.linalg.lstsq(system, right, driver="gelsd").solution[:size]
            alpha = torch.zeros(len(form), dtype=form.dtype)
            alpha[support] = found
            if found.min() >= 0 and (value := float(alpha @ form @ alpha)) < least:
                best, least = alpha, value
    return best


def test_fedpac_aligns_features_and_combines_heads(make_federation):
    """Three of four clients a round, so that there is something to weigh."""
    hand = Hand(well_conditioned(make_federation, local_epochs=2, sampled_clients=3))
    paper = Alignment(hand, lam=0.7, head_lr=0.2)
    method = FedPAC(lr=LR, lam=0.7, head_lr=0.2)
    three_rounds(hand, method, paper.start, {}, paper.local, paper.predict, paper.combine)
    assert any(0 < a < 1 for a in paper.seen)
    assert 0.0 in paper.seen


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([0, 1e-4, 1]))
def test_weights_of_heads_are_the_minimum_over_the_simplex(heads, width, seed, variance):
    """No better ones on any support; also where the form is singular."""
    rng = torch.Generator().manual_seed(seed)
    means = torch.randn(heads, width, generator=rng, dtype=torch.float64)
    apart = means - means[0]
    form = apart @ apart.T + variance * torch.rand(heads, generator=rng).double().diag()
    alpha = simplex_minimum(form.unsqueeze(0))[0]
    assert alpha.min() >= 0
    assert abs(alpha.sum() - 1) < 1e-12
    best = tried(form)
    scale = form.diagonal().mean() + 1e-300
    assert (alpha @ form @ alpha - best @ form @ best) / scale < 1e-10


def test_weights_of_many_heads_leave_no_duality_gap():
    """αᵀPα − min(Pα) bounds how far αᵀPα is from the least."""
    rng = torch.Generator().manual_seed(1)
    means = torch.randn(40, 30, generator=rng).double()
    apart = means.unsqueeze(1) - means
    forms = apart @ apart.mT + 0.1 * torch.rand(40, generator=rng).double().diag()
    alpha = simplex_minimum(forms)
    slopes = (forms @ alpha.unsqueeze(2)).squeeze(2)
    gap = (alpha * slopes).sum(dim=1) - slopes.min(dim=1).values
    assert (gap / forms.diagonal(dim1=1, dim2=2).mean(dim=1)).max() < 1e-10
    assert (alpha > 0).sum(dim=1).max() > 1


@pytest.mark.parametrize("method", [FedRoD(), FedProto(), FedPAC()], ids=lambda m: m.title)
def test_a_head_that_is_not_linear_is_named(method, make_federation):
    model = make_federation().build_backbone(0)
    model.head = nn.Conv1d(1, 3, 1)
    with pytest.raises(UserError, match=f"{method.title} needs a linear head.*Conv1d"):
        method.graft(model)
