"""Every baseline against its paper's update rule, written out in plain tensors.

Two rounds of the engine are replayed by hand: own loops, own SGD, own weighted mean, personal
tensors named by plain strings. The engine is asked for nothing but the clients that it samples.
Compared are the server's tensors, those of all clients, and those with which each client predicts
after each round.

In the docstrings f_c(θ; B) is the mean cross-entropy of the model with tensors θ on batch B of
client c, n_c the number of its training samples, η the learning rate. Autograd gives ∇f_c alone.
"""

import pytest
import torch
from byhand import HEAD, well_conditioned
from replay import ALL, ATTN, LR, MLP, MOVED, NORM, ByHand, furthest, split

from pfltune.methods.apfl import APFL
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedalt import FedAlt
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedbn import FedBN
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedprox import FedProx
from pfltune.methods.fedrep import FedRep
from pfltune.methods.fedsim import FedSim
from pfltune.methods.local import Local
from pfltune.methods.per_fedavg import PerFedAvg
from pfltune.methods.vanilla_attention import VanillaAttention


@pytest.fixture(scope="module")
def hand(make_federation):
    return ByHand(well_conditioned(make_federation, local_epochs=2))


def test_the_names_written_here_are_the_models(hand):
    assert set(ALL) == hand.start.keys()
    assert len(ALL) == len(hand.start)


@pytest.mark.parametrize(
    ("method", "mine"),
    [
        pytest.param(FedAvg(lr=LR), (), id="fedavg"),
        pytest.param(Local(lr=LR), ALL, id="local"),
        pytest.param(FedPer(lr=LR), HEAD, id="fedper"),
        pytest.param(FedBN(lr=LR), NORM, id="fedbn"),
        pytest.param(VanillaAttention(lr=LR), ATTN + HEAD, id="vanilla_attention"),
        pytest.param(FedSim(lr=LR, personal="attn"), ATTN, id="fedsim-attn"),
        pytest.param(FedSim(lr=LR, personal="head,mlp"), HEAD + MLP, id="fedsim-head,mlp"),
    ],
)
def test_shared_and_personal_part_take_every_step_together(method, mine, hand):
    """θ = (u, v_c), θ ← θ - η·∇f_c(θ; B) on each batch; u is averaged, v_c stays.

    FedAvg (McMahan 2017) has no v, Local no u. FedPer (Arivazhagan 2019) keeps the head, FedBN
    (Li 2021) the normalisation, Vanilla Attention (Sun 2023) attention and head, FedSim (Pillutla
    2022, algorithm 2) whatever is named.
    """

    def local(number, c, u, v):
        theta = {**u, **v}
        for batch in hand.batches(number, c):
            theta = hand.step(theta, batch)
        return split(theta, mine)

    hand.check(method, local, *split(hand.start, mine))


@pytest.mark.parametrize(
    ("method", "mine", "epochs"),
    [
        pytest.param(FedRep(lr=LR, head_epochs=3), HEAD, 3, id="fedrep"),
        pytest.param(FedAlt(lr=LR, personal="attn"), ATTN, 1, id="fedalt-attn"),
        pytest.param(
            FedAlt(lr=LR, personal="norm,head", personal_epochs=2), NORM + HEAD, 2, id="fedalt-norm"
        ),
    ],
)
def test_the_personal_part_is_trained_first_and_then_the_shared_one(method, mine, epochs, hand):
    """v ← v - η·∇_v f_c(u, v; B) for τ_v epochs, then u ← u - η·∇_u f_c(u, v; B) for two.

    FedRep (Collins 2021): v is the head. FedAlt (Pillutla 2022, algorithm 1): whatever is named.
    The epochs on u go on counting where those on v ended. u is averaged, v_c stays.
    """

    def local(number, c, u, v):
        theta = {**u, **v}
        for batch in hand.batches(number, c, range(epochs)):
            theta = hand.step(theta, batch, names=v)
        for batch in hand.batches(number, c, range(epochs, epochs + 2)):
            theta = hand.step(theta, batch, names=u)
        return split(theta, mine)

    hand.check(method, local, *split(hand.start, mine))


def test_fedprox_pulls_every_step_towards_the_model_that_was_downloaded(hand):
    """Li 2020: with h(w) = f_c(w; B) + μ/2·‖w - w_s‖², ∇h = ∇f_c(w; B) + μ·(w - w_s)."""
    mu = 2.0

    def local(number, c, server, own):
        w = server
        for batch in hand.batches(number, c):
            g = hand.gradient(w, batch)
            w = {n: w[n] - LR * (g[n] + mu * (w[n] - server[n])) for n in w}
        return w, own

    hand.check(FedProx(lr=LR, mu=mu), local, hand.start, {})


def test_fedbabu_trains_the_body_and_fine_tunes_the_head_for_evaluation_alone(hand):
    """Oh 2022: u ← u - η·∇_u f_c(u, h; B) with the head h as it began; u is averaged.

    Before each evaluation h ← h - η·∇_h f_c(u, h; B) for three epochs on the training data, from
    the initial h, in an order of its own.
    """

    def local(number, c, u, head):
        theta = {**u, **head}
        for batch in hand.batches(number, c):
            theta = hand.step(theta, batch, names=u)
        return split(theta, HEAD)

    def predict(number, c, u, head):
        theta = {**u, **head}
        for batch in hand.batches(number, c, range(3), purpose="adaptation"):
            theta = hand.step(theta, batch, names=head)
        assert furthest(theta, head, HEAD) > MOVED, "the fine-tuning would not show"
        return theta

    method = FedBABU(lr=LR, finetune_epochs=3)
    hand.check(method, local, *split(hand.start, HEAD), predict, fixed=HEAD)


def momentum_steps(hand, theta, batches, names, momentum, decay=0.0):
    """b ← m·b + ∇f_c(θ; B) + λ·θ, θ ← θ - η·b for the tensors in ``names``; b begins at zero.

    λ is that of weights; biases have none.
    """
    buffers = {name: torch.zeros_like(theta[name]) for name in names}
    for batch in batches:
        g = hand.gradient(theta, batch)
        for name in names:
            pull = 0.0 if name.endswith("bias") else decay
            buffers[name] = momentum * buffers[name] + g[name] + pull * theta[name]
        theta = {n: t - LR * buffers[n] if n in buffers else t for n, t in theta.items()}
    return theta


@pytest.mark.parametrize(
    ("finetune", "steps", "momentum"), [("all", 0, 0.0), ("all", 1, 0.0), ("head", 0, 0.9)]
)
def test_fedbabu_as_its_public_codes_have_it(finetune, steps, momentum, hand):
    """PFLlib: all tensors for some epochs. FedPerfix: on one batch. Authors: momentum 0.9."""

    def local(number, c, u, head):
        theta = {**u, **head}
        theta = momentum_steps(hand, theta, hand.batches(number, c), list(u), momentum)
        return split(theta, HEAD)

    def predict(number, c, u, head):
        batches = list(hand.batches(number, c, range(2), purpose="adaptation"))
        tuned = list(ALL if finetune == "all" else HEAD)
        theta = momentum_steps(hand, {**u, **head}, batches[: steps or None], tuned, momentum)
        assert (furthest(theta, u, u.keys()) > MOVED) == (finetune == "all")
        return theta

    method = FedBABU(
        lr=LR, finetune=finetune, finetune_epochs=2, finetune_steps=steps, momentum=momentum
    )
    hand.check(method, local, *split(hand.start, HEAD), predict, fixed=HEAD)


@pytest.mark.parametrize(("momentum", "decay"), [(0.5, 0.01), (0.0, 0.01), (0.5, 0.0)])
def test_fedrep_as_its_authors_code_has_it(momentum, decay, hand):
    """Momentum 0.5 and weight decay, which biases are spared; each part's momentum is its own."""

    def local(number, c, u, head):
        theta, batches = {**u, **head}, list(hand.batches(number, c, range(4)))
        count = len(batches) // 4
        first, rest = batches[: 2 * count], batches[2 * count :]
        theta = momentum_steps(hand, theta, first, list(HEAD), momentum, decay)
        theta = momentum_steps(hand, theta, rest, list(u), momentum, decay)
        return split(theta, HEAD)

    method = FedRep(lr=LR, head_epochs=2, momentum=momentum, weight_decay=decay)
    hand.check(method, local, *split(hand.start, HEAD))


def test_ditto_trains_a_personal_model_beside_that_of_fedavg(hand):
    """Li 2021: w ← w - η·∇f_c(w; B) from w_s, and v ← v - η·(∇f_c(v; B) + λ·(v - w_s)).

    w_s is the model as it was downloaded. w is averaged, v_c stays and predicts. Both meet the same
    batches.
    """
    lam = 2.0

    def local(number, c, server, v):
        w = server
        for batch in hand.batches(number, c):
            w = hand.step(w, batch)
            g = hand.gradient(v, batch)
            v = {n: v[n] - LR * (g[n] + lam * (v[n] - server[n])) for n in v}
        return w, v

    hand.check(Ditto(lr=LR, lam=lam), local, hand.start, hand.start, lambda _, c, w, v: v)


class Mixture:
    """APFL (Deng 2020) on plain tensors: w, and on each client v and α.

    The client predicts with v̄ = α·v + (1 - α)·w. On each batch, all from where it was before:
    w ← w - η·∇f_c(w; B); as ∂v̄/∂v = α, v ← v - η·α·∇f_c(v̄; B); and as ∂v̄/∂α = v - w, a learned
    α ← α - η·⟨v - w, ∇f_c(v̄; B)⟩. Outside of [0, 1] the bound is mixed; α is put back
    after the round.
    """

    def __init__(self, hand, alpha, learned, lr=LR):
        self.hand, self.learned, self.lr = hand, learned, lr
        self.start = self.kept(torch.tensor(alpha), hand.start)
        self.ends = []  # α at the end of each local training, before it is put back

    def kept(self, alpha, v):
        return {"apfl.alpha": alpha} | {f"apfl.{name}": v[name] for name in ALL}

    def predict(self, number, c, w, own):
        alpha = own["apfl.alpha"]
        return {n: alpha * own[f"apfl.{n}"] + (1 - alpha) * w[n] for n in w}

    def local(self, number, c, w, own):
        alpha, v = own["apfl.alpha"], {n: own[f"apfl.{n}"] for n in w}
        for batch in self.hand.batches(number, c):
            used = alpha.clamp(0, 1)
            mixed = {n: used * v[n] + (1 - used) * w[n] for n in w}
            of_w, of_mixed = self.hand.gradient(w, batch), self.hand.gradient(mixed, batch)
            slope = sum(((v[n] - w[n]) * of_mixed[n]).sum() for n in w)
            w = {n: w[n] - self.lr * of_w[n] for n in w}
            v = {n: v[n] - self.lr * used * of_mixed[n] for n in w}
            alpha = alpha - self.lr * slope if self.learned else alpha
        self.ends.append(alpha.item())
        return w, self.kept(alpha.clamp(0, 1), v)


def test_apfl_mixes_a_personal_model_with_that_of_fedavg(hand):
    """With α fixed, see :class:`Mixture`."""
    paper = Mixture(hand, 0.4, learned=False)
    method = APFL(lr=LR, alpha=0.4)
    start = (hand.start, paper.start)
    trial = hand.check(method, paper.local, *start, paper.predict, fixed=["apfl.alpha"])
    assert len({own["apfl.alpha"].item() for own in trial.personal}) == 1


def test_apfl_learns_alpha(hand):
    """Here α stays within [0, 1] by itself, see :class:`Mixture`."""
    paper = Mixture(hand, 0.5, learned=True)
    method = APFL(lr=LR, alpha=0.5, learn_alpha=True)
    hand.check(method, paper.local, hand.start, paper.start, paper.predict)
    assert all(0 < alpha < 1 for alpha in paper.ends)


def test_apfl_puts_a_learned_alpha_back_into_its_range(hand):
    """Here local training leaves [0, 1] on both sides, see :class:`Mixture`."""
    paper = Mixture(hand, 0.9, learned=True, lr=0.2)
    method = APFL(lr=0.2, alpha=0.9, learn_alpha=True)
    trial = hand.check(method, paper.local, hand.start, paper.start, paper.predict)
    assert max(paper.ends) > 1
    assert 1.0 in {own["apfl.alpha"].item() for own in trial.personal}


class Apart:
    """APFL as FedPerfix's public code and PFLlib have it: w and v train by themselves.

    On each batch w ← w - η·∇f_c(w; B) and v ← v - η·∇f_c(v; B). A learned α then goes down the
    slope ⟨v - w, α·∇f_c(v; B) + (1 - α)·∇f_c(w; B)⟩ + 0.02·α by η, with the new v and w and the
    gradients of before, and never leaves [0, 1]. At the end v ← α·v + (1 - α)·w, and v predicts.
    """

    def __init__(self, hand, alpha, learned, lr=LR):
        self.hand, self.learned, self.lr = hand, learned, lr
        self.start = self.kept(torch.tensor(alpha), hand.start)
        self.slopes, self.bounds = [], set()

    def kept(self, alpha, v):
        return {"apfl.alpha": alpha} | {f"apfl.{name}": v[name] for name in ALL}

    def predict(self, number, c, w, own):
        return {n: own[f"apfl.{n}"] for n in w}

    def local(self, number, c, w, own):
        alpha, v = own["apfl.alpha"], {n: own[f"apfl.{n}"] for n in w}
        for batch in self.hand.batches(number, c):
            of_w, of_v = self.hand.gradient(w, batch), self.hand.gradient(v, batch)
            w = {n: w[n] - self.lr * of_w[n] for n in w}
            v = {n: v[n] - self.lr * of_v[n] for n in w}
            if self.learned:
                mixed = {n: alpha * of_v[n] + (1 - alpha) * of_w[n] for n in w}
                slope = sum(((v[n] - w[n]) * mixed[n]).sum() for n in w) + 0.02 * alpha
                self.slopes.append(slope.item())
                beyond = alpha - self.lr * slope
                alpha = beyond.clamp(0, 1)
                self.bounds |= {alpha.item()} if beyond != alpha else set()
        return w, self.kept(alpha, {n: alpha * v[n] + (1 - alpha) * w[n] for n in w})


@pytest.mark.parametrize("learned", [False, True])
def test_apfl_as_public_codes_have_it_mixes_once_a_round(learned, hand):
    """See :class:`Apart`."""
    code = Apart(hand, 0.25, learned)
    method = APFL(lr=LR, alpha=0.25, learn_alpha=learned, mixing="round")
    fixed = [] if learned else ["apfl.alpha"]
    hand.check(method, code.local, hand.start, code.start, code.predict, fixed)


def test_apfls_alpha_is_put_back_after_each_step_as_in_public_codes(hand):
    """Here α meets a bound within a round, and goes on from there, see :class:`Apart`."""
    code = Apart(hand, 0.99, learned=True, lr=0.2)
    method = APFL(lr=0.2, alpha=0.99, learn_alpha=True, mixing="round")
    hand.check(method, code.local, hand.start, code.start, code.predict)
    assert code.bounds, "no bound was met"


def test_per_fedavg_steps_along_the_gradient_after_an_inner_step(hand):
    """Fallah 2020, first order: w ← w - β·∇f_c(w - α·∇f_c(w; D); D′); w is averaged.

    D′ comes from the second stream of batches. A client predicts with w - α·∇f_c(w; D), where D is
    the first batch of its training data in an order of evaluation's own.
    """
    alpha = 0.2

    def local(number, c, w, own):
        pairs = zip(hand.batches(number, c), hand.batches(number, c, stream=(1,)), strict=True)
        for first, second in pairs:
            g = hand.gradient(hand.step(w, first, lr=alpha), second)
            w = {n: w[n] - LR * g[n] for n in w}
        return w, own

    def predict(number, c, w, own):
        theta = hand.step(w, next(hand.batches(number, c, purpose="adaptation")), lr=alpha)
        assert furthest(theta, w) > MOVED, "the adaptation would not show"
        return theta

    hand.check(PerFedAvg(lr=LR, inner_lr=alpha), local, hand.start, {}, predict)


def test_per_fedavg_may_approach_second_derivatives(hand):
    """Its Hessian-free variant: w ← w - β·(v - α·d) with v = ∇f_c(w - α·∇f_c(w; D); D′).

    d = [∇f_c(w + δ·v; D″) - ∇f_c(w - δ·v; D″)]/(2δ) with D″ from the third stream of batches.
    """
    alpha, delta = 0.2, 0.1

    def local(number, c, w, own):
        streams = ((), (1,), (2,))
        triples = zip(*(hand.batches(number, c, stream=s) for s in streams), strict=True)
        for first, second, third in triples:
            v = hand.gradient(hand.step(w, first, lr=alpha), second)
            ahead = hand.gradient({n: w[n] + delta * v[n] for n in w}, third)
            behind = hand.gradient({n: w[n] - delta * v[n] for n in w}, third)
            d = {n: (ahead[n] - behind[n]) / (2 * delta) for n in w}
            assert max(t.abs().max() for t in d.values()) > 0.01, "it would not show"
            w = {n: w[n] - LR * (v[n] - alpha * d[n]) for n in w}
        return w, own

    def predict(number, c, w, own):
        return hand.step(w, next(hand.batches(number, c, purpose="adaptation")), lr=alpha)

    method = PerFedAvg(lr=LR, inner_lr=alpha, hessian_free=True, delta=delta)
    hand.check(method, local, hand.start, {}, predict)
