"""FedAvg fine-tuned or on a frozen backbone, servers that descend, and corrected clients.

Each is replayed for two rounds in plain tensors. In the docstrings f_c(θ; B) is the loss of client
c on batch B, n_c the number of its training samples, η the learning rate.
"""

import pytest
import torch
from byhand import HEAD, well_conditioned
from replay import ALL, LR, MOVED, ByHand, furthest

from pfltune.errors import UserError
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ServerRound
from pfltune.figures import DOWN, UP
from pfltune.method import Optimizer, Schedule, Start, Update
from pfltune.methods.fedadam import FedAdam
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedavg_ft import FedAvgFT
from pfltune.methods.fedavgm import FedAvgM
from pfltune.methods.feddyn import FedDyn
from pfltune.methods.fedyogi import FedYogi
from pfltune.methods.linear_probe import LinearProbe
from pfltune.methods.pfedme import PFedMe
from pfltune.methods.scaffold import SCAFFOLD
from pfltune.randomness import torch_rng
from pfltune.testing.federations import Sizes

CLIENTS, SAMPLED = 4, 2
DECAY = 0.05


@pytest.fixture(scope="module")
def hand(make_federation):
    return ByHand(well_conditioned(make_federation, local_epochs=2))


@pytest.fixture(scope="module")
def decaying(make_federation):
    """The rate of round 2 is half that of round 1, and SGD has a weight decay."""
    rules = {
        "schedule": Schedule(kind="step", every=1, factor=0.5),
        "optimizer": Optimizer(weight_decay=DECAY),
    }
    return ByHand(well_conditioned(make_federation, local_epochs=2, **rules))


def rate(number):
    """The learning rate of a round of ``decaying``."""
    return LR * 0.5 ** (number - 1)


def under(prefix, tensors):
    return {prefix + name: t for name, t in tensors.items()}


def zeros(theta):
    return {name: torch.zeros_like(t) for name, t in theta.items()}


def model_of(server):
    """The tensors of the model in the server's state."""
    return {name: server[name] for name in ALL}


def shared(number, c, server, own):
    """A client predicts with the server's model."""
    return model_of(server)


def sgd(hand, number, c, theta, names=ALL):
    """θ after a client's round of plain SGD."""
    for batch in hand.batches(number, c):
        theta = hand.step(theta, batch, names)
    return theta


def weighted(uploads, n, name):
    """Σ_c n_c·upload_c / Σ_c n_c."""
    return sum(n[c] * u[name] for c, u in uploads.items()) / sum(n[c] for c in uploads)


def plain(uploads, name):
    """The mean of the uploads in which all clients count alike."""
    return sum(u[name] for u in uploads.values()) / len(uploads)


def test_fedavg_ft_trains_everything_before_an_evaluation_and_throws_it_away(hand):
    """The rounds are FedAvg's; a client predicts with θ after three epochs of θ ← θ - η_f·∇f_c."""

    def local(number, c, u, own):
        return sgd(hand, number, c, u), own

    def predict(number, c, u, own):
        theta = u
        for batch in hand.batches(number, c, range(3), purpose="adaptation"):
            theta = hand.step(theta, batch, lr=0.04)
        assert furthest(theta, u) > MOVED, "the fine-tuning would not show"
        return theta

    method = FedAvgFT(lr=LR, finetune_lr=0.04, finetune_epochs=3)
    hand.check(method, local, hand.start, {}, predict)


@pytest.mark.parametrize("head", ["shared", "personal"])
def test_a_linear_probe_moves_the_head_alone(head, hand):
    """h ← h - η·∇_h f_c(u, h; B) with the pretrained u; h is averaged, or stays."""

    def local(number, c, shared, own):
        theta = sgd(hand, number, c, {**hand.start, **shared, **own}, HEAD)
        return {n: theta[n] for n in shared}, {n: theta[n] for n in own}

    h = {n: hand.start[n] for n in HEAD}
    server, own = (h, {}) if head == "shared" else ({}, h)
    hand.check(LinearProbe(lr=LR, head=head), local, server, own)


class ByServer:
    """Rounds of FedAvg whose server steps along Δ = Σ_c n_c·(x_c - x) / Σ_c n_c."""

    def __init__(self, hand, step):
        self.hand, self.step = hand, step

    def local(self, number, c, server, own):
        return sgd(self.hand, number, c, model_of(server)), own

    def combine(self, server, uploads, n):
        new = {}
        for name in ALL:
            state = {key: server[key + name] for key in KEYS if key + name in server}
            change = weighted(uploads, n, name) - server[name]
            moved, state = self.step(change, state)
            new |= {name: server[name] + moved} | {key + name: t for key, t in state.items()}
        return new

    def check(self, method, begin, least=MOVED):
        server = self.hand.start.copy()
        for key, value in begin.items():
            server |= {key + n: torch.full_like(server[n], value) for n in ALL}
        todo = (method, self.local, server, {}, shared)
        self.hand.check(*todo, combine=self.combine, least=least)


M, V = KEYS = "optimizer.momentum.", "optimizer.second."


def test_fedavgm_remembers_the_changes_of_earlier_rounds(hand):
    """Hsu 2019: v ← β·v + Δ, x ← x + η·v; v begins at 0 and stays on the server."""

    def step(change, state):
        v = 0.7 * state[M] + change
        return 1.5 * v, {M: v}

    method = FedAvgM(lr=LR, momentum=0.7, server_lr=1.5)
    ByServer(hand, step).check(method, {M: 0.0})


def adaptive(second):
    """Reddi 2021, Algorithm 2: m ← β₁·m + (1-β₁)·Δ, x ← x + η·m/(√v+τ); m = 0 and v = τ²·v0 first.

    ``second(v, Δ²)`` is the next v.
    """

    def step(change, state):
        m = 0.6 * state[M] + 0.4 * change
        v = second(state[V], change**2)
        return 0.5 * m / (v**0.5 + 0.3), {M: m, V: v}

    return step


def test_fedadam_divides_by_a_moving_mean_of_squares(hand):
    """v ← β₂·v + (1-β₂)·Δ²."""
    rule = adaptive(lambda v, square: 0.8 * v + 0.2 * square)
    method = FedAdam(lr=LR, server_lr=0.5, beta1=0.6, beta2=0.8, tau=0.3, v0=2.0)
    ByServer(hand, rule).check(method, {M: 0.0, V: 2 * 0.3**2})


def test_fedyogi_moves_the_second_moment_by_the_square_alone(make_federation):
    """v ← v - (1-β₂)·Δ²·sign(v - Δ²), here with v on both sides of Δ²."""
    hand, signs = ByHand(well_conditioned(make_federation, local_epochs=10)), set()

    def second(v, square):
        signs.update(torch.sign(v - square).flatten().tolist())
        return v - 0.8 * square * torch.sign(v - square)

    method = FedYogi(lr=LR, server_lr=0.5, beta1=0.6, beta2=0.2, tau=0.3, v0=0.1)
    ByServer(hand, adaptive(second)).check(method, {M: 0.0, V: 0.1 * 0.3**2}, least=0.0)
    assert signs >= {1.0, -1.0}


def begun(method, x):
    """The first states of server and client of a model with a count and a mean beside its x."""
    shared = {"x": torch.tensor(x), "seen": torch.tensor(4), "mean": torch.tensor([1.0])}
    rng = torch_rng(0, "server")
    start = Start(shared, {}, clients=9, rng=rng, trainable=frozenset({"x"}))
    return method.init_server(start), method.init_client(start, 0)


def test_the_numbers_of_one_step_of_each_server():
    """x = (1, 1), clients at (3, 1.1) with weight 3 and (-1, 1.1) with weight 1: Δ = (1, 0.1).

    β₁ = 0.9, β₂ = 0.99, τ = 0.5, v0 = 1 and η = 1: m = (0.1, 0.01). Adam's v = 0.99·0.25 + 0.01·Δ²
    = (0.2575, 0.2476); Yogi's is 0.25 + 0.01·1 = 0.26 where Δ² is larger, 0.25 - 0.01·0.01 = 0.2499
    where it is smaller. x + m/(√v + 0.5) follows. FedAvgM with η = 2 steps to 1 + 2·Δ.
    """
    uploads = ([3.0, 1.1], 3.0), ([-1.0, 1.1], 1.0)
    knobs = {"tau": 0.5, "server_lr": 1.0, "v0": 1.0}
    expected = {
        FedAvgM(server_lr=2.0): [3.0, 1.2],
        FedAdam(**knobs): [1 + 0.1 / (0.2575**0.5 + 0.5), 1 + 0.01 / (0.2476**0.5 + 0.5)],
        FedYogi(**knobs): [1 + 0.1 / (0.26**0.5 + 0.5), 1 + 0.01 / (0.2499**0.5 + 0.5)],
    }
    for method, x in expected.items():
        server, own = begun(method, [1.0, 1.0])
        down = method.download(server, 0)
        changed = (Update({**down, "x": torch.tensor(x)}, own, weight) for x, weight in uploads)
        found = method.aggregate(server, changed, ServerRound(0, 1, 9))
        torch.testing.assert_close(found["x"], torch.tensor(x), msg=type(method).__name__)


@pytest.mark.parametrize("kind", [FedAvgM, FedAdam, FedYogi, SCAFFOLD, FedDyn])
def test_what_does_not_train_is_averaged_and_has_no_state(kind):
    method = kind()
    prefix = {SCAFFOLD: "control.", FedDyn: "slope."}.get(kind, M)
    server, own = begun(method, [1.0, 1.0])
    up = {**method.download(server, 0), "seen": torch.tensor(6), "mean": torch.tensor([3.0])}
    new = method.aggregate(server, iter([Update(up, own, 5.0)]), ServerRound(0, 1, 9))
    assert new.keys() == server.keys()
    assert {n for n in server if n.startswith(prefix)} == {prefix + "x"}
    assert new["seen"].dtype == torch.int64
    assert new["seen"] == 6
    assert new["mean"] == 3.0


def test_scaffold_takes_the_drift_out_of_every_step(decaying):
    """Karimireddy 2020, Algorithm 1 with option II.

    y ← y - η_l·(g + c - c_i) from x, with g = ∇f_i(y; B) + decay·y as all that SGD descends; after
    K steps c_i⁺ = c_i - c + (x - y)/(K·η_l). x ← x + η_g·mean(y - x) and
    c ← c + |S|/N·mean(c_i⁺ - c_i), where all clients count alike. η_l is that of the round.
    """
    hand, eta_g = decaying, 1.5

    def local(number, c, server, own):
        x, y, eta, steps = model_of(server), model_of(server), rate(number), 0
        control = {n: server[f"control.{n}"] for n in ALL}
        before = {n: own[f"control.{n}"] for n in ALL}
        for batch in hand.batches(number, c):
            g = hand.gradient(y, batch)
            y = {n: y[n] - eta * (g[n] + DECAY * y[n] + control[n] - before[n]) for n in y}
            steps += 1
        after = {n: before[n] - control[n] + (x[n] - y[n]) / (steps * eta) for n in ALL}
        change = {f"change.{n}": after[n] - before[n] for n in ALL}
        return {**y, **change}, under("control.", after)

    def combine(server, uploads, n):
        x = {m: server[m] + eta_g * (plain(uploads, m) - server[m]) for m in ALL}
        c = {
            f"control.{m}": server[f"control.{m}"]
            + SAMPLED / CLIENTS * plain(uploads, f"change.{m}")
            for m in ALL
        }
        return x | c

    none = under("control.", zeros(hand.start))
    method = SCAFFOLD(lr=LR, server_lr=eta_g)
    hand.check(method, local, {**hand.start, **none}, none, shared, combine=combine)


def test_scaffold_sends_twice_what_fedavg_sends(federation, run_trial):
    found, fedavg = (
        run_trial(m, federation, rounds=1).trial for m in (SCAFFOLD(lr=LR), FedAvg(lr=LR))
    )
    down = found.method.download(found.server, 0)
    numbers = sum(t.numel() for t in fedavg.method.download(fedavg.server, 0).values())
    assert sum(t.numel() for t in down.values()) == 2 * numbers


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_the_bytes_of_corrections_are_counted_and_those_of_server_state_are_none(
    direction, federation, run_trial
):
    def megabytes(method):
        return run_trial(method, federation, rounds=1).metrics[0][direction.name]

    fedavg = megabytes(FedAvg(lr=LR))
    assert all(megabytes(m(lr=LR)) == fedavg for m in (FedAvgM, FedAdam, FedYogi, FedDyn, PFedMe))
    assert megabytes(SCAFFOLD(lr=LR)) / fedavg == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [(Optimizer(momentum=0.9), "momentum=0.9"), (Optimizer(kind="adamw"), "adamw")],
)
def test_scaffold_is_refused_where_steps_are_not_those_of_plain_sgd(
    optimizer, told, make_federation
):
    ground = make_federation(optimizer=optimizer)
    with pytest.raises(UserError, match=rf"SCAFFOLD reads .*{told}; possible: kind=sgd"):
        FederatedTrial(SCAFFOLD(), ground, seed=0)
    for method in (FedAvg(), PFedMe(), FedDyn()):
        FederatedTrial(method, ground, seed=0)


def test_on_one_client_scaffold_has_no_drift_to_correct(make_federation, run_trial):
    """c = cᵢ then, so that the steps are FedAvg's."""
    alone = well_conditioned(make_federation, (Sizes(20, 5, 5),))
    found, fedavg = (run_trial(m(lr=LR), alone).trial.server for m in (SCAFFOLD, FedAvg))
    assert furthest(found, fedavg) < 1e-6


def test_feddyn_bends_the_losses_until_their_minima_agree(hand):
    """Acar 2021, Algorithm 1, with g_k for ∇L_k(θ_k) of the client's last round.

    θ_k ← θ_k - η·(∇f_k(θ_k; B) - g_k + α·(θ_k - θ)) from θ; g_k ← g_k - α·(θ_k - θ);
    h ← h - α/N·Σ_k (θ_k - θ), θ ← mean of θ_k - h/α; all clients count alike.
    """
    alpha = 0.5

    def local(number, c, server, own):
        theta, slope = model_of(server), {n: own[f"slope.{n}"] for n in ALL}
        for batch in hand.batches(number, c):
            g = hand.gradient(theta, batch)
            theta = {
                n: t - LR * (g[n] - slope[n] + alpha * (t - server[n])) for n, t in theta.items()
            }
        slope = {n: slope[n] - alpha * (theta[n] - server[n]) for n in ALL}
        return theta, under("slope.", slope)

    def combine(server, uploads, n):
        new = {}
        for name in ALL:
            gone = sum(u[name] - server[name] for u in uploads.values())
            h = server[f"slope.{name}"] - alpha / CLIENTS * gone
            new |= {name: plain(uploads, name) - h / alpha, f"slope.{name}": h}
        return new

    none = under("slope.", zeros(hand.start))
    state = ({**hand.start, **none}, none)
    hand.check(FedDyn(lr=LR, alpha=alpha), local, *state, shared, combine=combine)


def test_pfedme_keeps_personal_models_near_one_that_follows_their_envelopes(decaying):
    """Dinh 2020, Algorithm 1, with the inner solver of its public code, K = 3 steps.

    From θ = w as downloaded, on each batch three times θ ← θ - η_p·(∇f(θ; B) + λ·(θ - w)), then
    w ← w - η·λ·(w - θ). The server takes (1-β)·w + β·mean. θ predicts. Both rates are the round's,
    and there is no weight decay.
    """
    lam, beta, eta_p = 4.0, 1.5, 0.05
    hand = decaying

    def local(number, c, server, own):
        w, theta, factor = server, server, rate(number) / LR
        for batch in hand.batches(number, c):
            for _ in range(3):
                g = hand.gradient(theta, batch)
                theta = {
                    n: t - factor * eta_p * (g[n] + lam * (t - w[n])) for n, t in theta.items()
                }
            w = {n: t - factor * LR * lam * (t - theta[n]) for n, t in w.items()}
        return w, under("personal.", theta)

    def combine(server, uploads, n):
        return {m: (1 - beta) * server[m] + beta * weighted(uploads, n, m) for m in ALL}

    def predict(number, c, server, own):
        return {n: own[f"personal.{n}"] for n in ALL}

    method = PFedMe(lr=LR, personal_lr=eta_p, lam=lam, inner_steps=3, beta=beta)
    start = under("personal.", hand.start)
    hand.check(method, local, hand.start, start, predict, combine=combine)


@pytest.fixture(scope="module")
def whole(make_federation):
    """Each client reads all its training data as one batch, and takes one step a round."""
    return well_conditioned(make_federation, batch_size=64)


def test_pfedme_with_one_step_of_each_kind_is_fedavg(whole, run_trial):
    """θ = w - η_p·∇f(w), as the pull is 0 at θ = w; so w ← w - η·λ·η_p·∇f(w)."""
    pfedme = PFedMe(lr=0.5, personal_lr=0.1, lam=4.0, inner_steps=1, beta=1.0)
    found, fedavg = (run_trial(m, whole).trial.server for m in (pfedme, FedAvg(lr=0.5 * 4 * 0.1)))
    assert furthest(found, fedavg) < 1e-6


def test_pfedme_approaches_fedavg_as_its_envelope_closes_in_on_the_loss(hand, run_trial):
    """With η_p = 1/λ each inner step ends at w - ∇f(θ)/λ, so from the second on θ = w - O(1/λ).

    Then w ← w - η·∇f(w - O(1/λ)): FedAvg's step at the rate η, up to an error that falls as 1/λ.
    """
    ground = hand.federation
    fedavg = run_trial(FedAvg(lr=LR), ground, rounds=1).trial.server

    def off(lam):
        method = PFedMe(lr=LR, personal_lr=1 / lam, lam=lam, inner_steps=3, beta=1.0)
        return furthest(run_trial(method, ground, rounds=1).trial.server, fedavg)

    assert off(10.0) > 1e-3
    assert off(30.0) / off(300.0) == pytest.approx(10, rel=0.2)


def test_pfedmes_server_stays_where_nothing_pulls(whole, run_trial, differing):
    """λ = 0: the envelope is flat in w."""
    begin = FederatedTrial(PFedMe(lam=0.0), whole, seed=0).server
    assert not differing(run_trial(PFedMe(lam=0.0), whole).trial.server, begin)
