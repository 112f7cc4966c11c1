"""FedZO: estimated gradients, the subspace, Adam and 8 bits, each against a second computation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from byhand import HEAD, assert_same, batches, flat, gradients, prompted, with_a_head
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import nn

from pfltune.errors import UserError
from pfltune.federation.trial import FederatedTrial
from pfltune.methods._int8 import Int8Linear, quantize
from pfltune.methods._zeroth_order import (
    adam_start,
    adam_step,
    descend,
    estimated_gradient,
    learner_start,
    low_variance_directions,
    without,
)
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedvpt import FedVPT
from pfltune.methods.fedzo import FedZO
from pfltune.methods.local_vpt import LocalVPT
from pfltune.optimizers import Schedule
from pfltune.randomness import torch_rng
from pfltune.running.hardware import precision_for

PROMPTS = "blocks.0.prompts"
WIDTH, CLASSES = 16, 3


# The estimated gradient


def test_the_estimate_of_a_linear_function_in_closed_form():
    """L(θ) = a·θ: [L(θ + μe) - L(θ)]/μ = a·e whatever μ is, so g = (1/n)·Σ (a·e_i)·e_i."""
    a = torch.randn(3, 4, generator=torch_rng(0, "a"), dtype=torch.float64)
    at = torch.randn(3, 4, generator=torch_rng(0, "at"), dtype=torch.float64)

    def loss(x):
        return (a * x).sum()

    draws = torch_rng(0, "directions")
    e = torch.stack([torch.randn(3, 4, generator=draws) for _ in range(5)]).double()
    expected = torch.einsum("ij,nij,nkl->kl", a, e, e) / 5
    for mu in (1e-3, 1.0):
        found = estimated_gradient(loss, at, loss(at), 5, mu, torch_rng(0, "directions"))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_the_estimate_of_a_square_in_closed_form():
    """L(θ) = ½‖θ‖²: [L(θ + μe) - L(θ)]/μ = θ·e + ½μ‖e‖², a bias that μ scales."""
    at, mu = torch.randn(7, generator=torch_rng(0, "at"), dtype=torch.float64), 0.1

    def loss(x):
        return x.square().sum() / 2

    e = torch.randn(7, generator=torch_rng(0, "directions")).double()
    expected = (at @ e + mu * (e @ e) / 2) * e
    found = estimated_gradient(loss, at, loss(at), 1, mu, torch_rng(0, "directions"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_n_directions_cost_n_forward_passes():
    calls = []
    at = torch.zeros(2)
    estimated_gradient(
        lambda x: calls.append(x) or x.sum(), at, at.sum(), 5, 0.1, torch_rng(0, "e")
    )
    assert len(calls) == 5
    assert len({tuple(call.tolist()) for call in calls}) == 5


@pytest.mark.thorough
def test_the_estimate_turns_to_the_gradient_as_directions_grow_in_number(make_federation):
    """For g = (1/n)·Σ (∇·e_i)·e_i in D dimensions: E g = ∇ and E‖g‖² = ‖∇‖²·(n + D + 1)/n, so that
    the cosine is about √(n / (n + D + 1)). Here D = 16: .44, .89 and .98.
    """
    ground = with_a_head(make_federation)
    answer = prompted(ground.build_backbone(seed=0))
    images, labels = next(batches(ground, number=1, client=3))

    def loss(prompts):
        return F.cross_entropy(answer({PROMPTS: prompts}, images), labels)

    at = 0.3 * torch.randn(1, WIDTH, generator=torch_rng(0, "at"))
    truth = gradients(lambda t: loss(t[PROMPTS]), {PROMPTS: at})[PROMPTS]

    @torch.no_grad()
    def cosine(n, seed):
        g = estimated_gradient(loss, at, loss(at), n, 1e-3, torch_rng(seed, "directions"))
        return F.cosine_similarity(g.flatten(), truth.flatten(), dim=0).item()

    for n, times in ((4, 16), (64, 3), (512, 1)):
        mean = np.mean([cosine(n, seed) for seed in range(times)])
        assert abs(mean - math.sqrt(n / (n + 17))) < 0.1, n
    assert mean > 0.95


# The subspace of low variance


def reference(iterates, nu):
    """(leading, low) principal components of z-scored iterates, by their correlation matrix.

    Its eigenvalues are the variances. Leading components are kept until their cumulative share
    exceeds 1 - ν. Those without variance (a rank-deficient buffer has them) are in neither.
    """
    x = iterates.double().numpy()
    std = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(std > 0, std, 1.0)
    variances, vectors = np.linalg.eigh(z.T @ z / len(z))
    variances, components = variances[::-1], vectors.T[::-1].copy()
    count = int((variances > 1e-12 * variances[0]).sum())
    share = variances[:count].cumsum() / variances[:count].sum()
    kept = next((i + 1 for i, c in enumerate(share) if c > 1 - nu), count)
    components = torch.tensor(components[:count])
    return components[:kept], components[kept:]


def projector(rows):
    """Orthonormal rows are fixed only up to signs and rotations; what they span is not."""
    return rows.double().T @ rows.double()


def walk(steps=20, dim=6, seed=0, rank=None):
    """Iterates of a drifting walk whose directions have very different variances."""
    rng = torch_rng(seed, "walk")
    rank = rank or dim
    scales = 3.0 ** -torch.arange(rank)
    moves = torch.randn(steps, rank, generator=rng, dtype=torch.float64) * scales
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=rng, dtype=torch.float64)).Q
    return moves.cumsum(dim=0) @ turn[:rank] + 3.0


@pytest.mark.parametrize("nu", [1e-3, 0.05, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_low_variance_directions_are_the_principal_components_of_z_scores(nu, seed):
    iterates = walk(seed=seed)
    leading, low = reference(iterates, nu)
    assert len(leading) + len(low) == 6
    assert len(low) > 0, "nothing to find"
    found = low_variance_directions(iterates, nu)
    assert found.shape == low.shape
    torch.testing.assert_close(projector(found), projector(low), rtol=0, atol=1e-6)


def test_coordinates_count_alike_however_far_they_move():
    """Z-scoring makes the result independent of the scale and place of each coordinate."""
    iterates = walk()
    moved = iterates * torch.tensor([1.0, 1e3, 1e-2, 5.0, 0.3, 40.0]) - 7.0
    found, expected = (low_variance_directions(x, 0.05) for x in (moved, iterates))
    torch.testing.assert_close(projector(found), projector(expected), rtol=0, atol=1e-6)


def test_the_share_that_is_projected_out_is_by_hand():
    """Uncorrelated coordinates a, a, b: shares of a's direction 2/3 and of b's 1/3.

    a = ±1 and b = ±1 over the four sign patterns. Below ν = 1/3 everything is kept; above, b goes.
    """
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    iterates = signs[:, [0, 0, 1]]
    assert low_variance_directions(iterates, 0.3).shape == (0, 3)
    found = low_variance_directions(iterates, 0.35)
    torch.testing.assert_close(found.abs(), torch.tensor([[0.0, 0.0, 1.0]]), rtol=0, atol=1e-6)


def test_nothing_is_projected_out_at_nu_zero():
    assert low_variance_directions(walk(), 0.0).shape == (0, 6)


@pytest.mark.parametrize("rank", [2, 3])
def test_directions_never_visited_are_not_returned(rank):
    """Iterates in a plane of 6 dimensions: what is returned lies in that plane, too."""
    iterates = walk(rank=rank)
    found = low_variance_directions(iterates, 0.5)
    leading, low = reference(iterates, 0.5)
    assert len(leading) + len(low) == rank
    torch.testing.assert_close(projector(found), projector(low), rtol=0, atol=1e-6)


def test_fewer_iterates_than_coordinates_span_one_dimension_less():
    """4 iterates less their mean span 3 of 50 dimensions, and of these one at least is leading."""
    iterates = torch.randn(4, 50, generator=torch_rng(0, "few"))
    found = low_variance_directions(iterates, 0.5)
    leading, low = reference(iterates, 0.5)
    assert len(leading) + len(low) == 3
    assert 1 <= len(found) == len(low) <= 2
    torch.testing.assert_close(projector(found), projector(low), rtol=0, atol=1e-5)


def test_a_coordinate_that_stands_still_is_in_no_direction():
    iterates = walk()
    iterates[:, 2] = 0.1
    found = low_variance_directions(iterates.float(), 0.05)
    assert len(found) > 0
    torch.testing.assert_close(found[:, 2], torch.zeros(len(found)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("nu", [0.0, 1e-3, 0.5])
def test_iterates_that_stand_still_have_no_directions(nu):
    assert low_variance_directions(torch.full((5, 4), 0.1), nu).shape == (0, 4)


@pytest.mark.parametrize("nu", [0.0, 1e-3, 0.5])
def test_a_single_component_is_leading(nu):
    line = torch.arange(5.0).view(5, 1) * torch.tensor([[1.0, -2.0, 0.5]])
    assert low_variance_directions(line, nu).shape == (0, 3)


BUFFERS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(3, 8), st.integers(1, 6)),
    elements=st.floats(-4, 4, width=16),
)


@settings(max_examples=60)
@given(BUFFERS, st.floats(0, 0.5))
def test_what_is_returned_is_orthonormal_and_holds_no_more_than_the_share(buffer, nu):
    iterates = torch.from_numpy(buffer)
    found = low_variance_directions(iterates, nu).double()
    count = len(found)
    torch.testing.assert_close(
        found @ found.T, torch.eye(count, dtype=torch.float64), rtol=0, atol=1e-5
    )
    z = iterates.double() - iterates.double().mean(dim=0)
    std = z.std(dim=0, unbiased=False)
    z = z / torch.where(std > 0, std, 1.0)
    total = z.square().sum()
    assert (z @ found.T).square().sum() <= (nu + 1e-6) * total
    if count:
        assert (z @ found.T).square().sum(dim=0).min() > 0, "a direction never visited"


@settings(max_examples=60)
@given(BUFFERS, st.floats(0, 0.5), st.integers(0, 99))
def test_without_is_an_orthogonal_projection(buffer, nu, seed):
    """Applied twice as once; nothing left along the rows; what is across them is untouched."""
    directions = low_variance_directions(torch.from_numpy(buffer).double(), nu)
    dim = buffer.shape[1]
    gradient = torch.randn(dim, generator=torch_rng(seed, "gradient"), dtype=torch.float64)
    once = without(gradient, directions)
    torch.testing.assert_close(without(once, directions), once, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        directions @ once, torch.zeros(len(directions), dtype=torch.float64), rtol=0, atol=1e-9
    )
    assert once @ (gradient - once) < 1e-9
    assert once.norm() <= gradient.norm() + 1e-12


def test_without_leaves_the_leading_components_untouched():
    iterates = walk()
    leading, low = reference(iterates, 0.05)
    directions = low_variance_directions(iterates, 0.05)
    gradient = (2.0 * leading[0] - leading[-1] + 3.0 * low[0]).view(2, 3)
    expected = (2.0 * leading[0] - leading[-1]).view(2, 3)
    torch.testing.assert_close(without(gradient, directions), expected, rtol=0, atol=1e-6)


def test_without_directions_the_gradient_stays():
    gradient = torch.randn(2, 3, generator=torch_rng(0, "gradient"))
    assert torch.equal(without(gradient, torch.zeros(0, 6)), gradient)


# Adam


def test_adam_is_torchs():
    """Eight steps on gradients of very different sizes, the first of which are as small as ε.

    ε is that of ZOODiP's public code.
    """
    rng = torch_rng(0, "gradients")
    ours = torch.randn(3, 4, generator=rng)
    theirs = nn.Parameter(ours.clone())
    optimizer = torch.optim.Adam([theirs], lr=0.01, eps=1e-3)
    state = adam_start(ours)
    for power in (-3, -3, -8, 2, 0, 1, -2, -2):
        gradient = torch.randn(3, 4, generator=rng) * 10.0**power
        before = state
        direction, state = adam_step(state, gradient)
        assert state["steps"] == before["steps"] + 1
        ours = ours - 0.01 * direction
        theirs.grad = gradient.clone()
        optimizer.step()
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-6)


def test_adams_state_is_handed_on_and_not_written_into():
    state = adam_start(torch.ones(2))
    kept = {name: tensor.clone() for name, tensor in state.items()}
    adam_step(state, torch.ones(2))
    assert all(torch.equal(state[name], tensor) for name, tensor in kept.items())


# The learner beside the public code's


class Public:
    """The rule of ZOODiP's public code, in numpy and scikit-learn.

    Args:
        null: whether the refresh keeps the last component, which no iterate has any part in.
    """

    def __init__(self, at, lr, history, nu, null):
        self.at, self.lr, self.history, self.nu, self.null = at.copy(), lr, history, nu, null
        self.first = self.second = np.zeros_like(at)
        self.buffer, self.steps = [], 0
        self.noise = np.zeros((0, at.size))

    def step(self, slopes, draws):
        n, dim = len(draws), self.at.size - len(self.noise)
        grad = sum(slope * draw for slope, draw in zip(slopes, draws, strict=True))
        grad = grad / (np.sqrt((dim + n - 1) / n) * n)
        grad = grad - grad @ self.noise.T @ self.noise
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * grad
        self.second = 0.999 * self.second + 0.001 * grad**2
        mean = self.first / (1 - 0.9**self.steps)
        self.at = self.at - self.lr * mean / (np.sqrt(self.second / (1 - 0.999**self.steps)) + 1e-3)
        self.buffer = [*self.buffer, self.at][-self.history :]
        if self.steps % self.history == 0:
            self.refresh()

    def refresh(self):
        pca = PCA(n_components=self.history, svd_solver="full")
        pca.fit(StandardScaler().fit_transform(np.stack(self.buffer)))
        share = pca.explained_variance_ratio_.cumsum()
        kept = int(np.argmax(share > 1 - self.nu)) + 1
        assert pca.explained_variance_ratio_[-1] < 1e-12
        self.noise = pca.components_[kept : None if self.null else -1]


def beside(null, steps, nu=0.3, size=40, history=8, n=2):
    """How far ours is from the public rule after each step, on ½·Σ (i/D)·θ_i², with equal draws."""
    curvature = torch.arange(1, size + 1, dtype=torch.float64) / size

    def loss(x):
        return (curvature * x.square()).sum() / 2

    at = torch.randn(size, generator=torch_rng(0, "at"), dtype=torch.float64)
    theirs, state = Public(at.numpy(), 0.05, history, nu, null), learner_start(at)
    rng, again = torch_rng(0, "directions"), torch_rng(0, "directions")
    far = []
    for _ in range(steps):
        found = estimated_gradient(loss, at, loss(at), n, 1e-3, rng)
        at, state = descend(state, at, found, n, 0.05, history, nu)
        here = torch.from_numpy(theirs.at)
        draws = [torch.randn(size, generator=again).double() for _ in range(n)]
        slopes = [((loss(here + 1e-3 * e) - loss(here)) / 1e-3).item() for e in draws]
        theirs.step(slopes, [e.numpy() for e in draws])
        far.append(float((at - torch.from_numpy(theirs.at)).abs().max()))
    assert len(theirs.noise) > 1
    return far


def test_the_learner_is_the_public_codes_but_for_its_null_component():
    """Three refreshes and more. With that component both agree until the first refresh."""
    assert max(beside(null=False, steps=30)) < 1e-8
    far = beside(null=True, steps=30)
    assert max(far[:8]) < 1e-8
    assert far[-1] > 1e-4


def test_adam_sees_the_length_of_an_estimate():
    """Estimates ten times as long make other steps: ε is added to what they are divided by."""
    at, gradient = torch.zeros(5), torch.full((5,), 1e-3)
    steps = [
        descend(learner_start(at), at, g, 2, 1.0, 8, 0.1)[0] for g in (gradient, 10 * gradient)
    ]
    short, long = (float(step[0]) for step in steps)
    length = math.sqrt((5 + 2 - 1) / 2)
    assert short == pytest.approx(-1 / (1 + length))
    assert long == pytest.approx(-10 / (10 + length))


# 8 bits

WEIGHTS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    elements=st.one_of(
        st.just(0.0), st.floats(-1e4, 1e4, width=32).filter(lambda w: abs(w) > 1e-20)
    ),
)


def linear_of(weight, bias=True):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight))
    return layer.requires_grad_(False)


@settings(max_examples=100)
@given(WEIGHTS)
def test_no_weight_is_off_by_more_than_half_a_scale(weight):
    """scale = max|w|/127 of the weight's row; rounding of float32 itself is 1e-6 of the largest."""
    layer = Int8Linear(linear_of(weight))
    restored = layer.weight_int8.double() * layer.scale.double()
    largest = torch.from_numpy(weight).double().abs().amax(dim=1, keepdim=True)
    error = (restored - torch.from_numpy(weight).double()).abs()
    assert (error <= largest / 254 + 1e-6 * largest).all()


def test_the_largest_weight_of_each_row_is_127_and_zeros_stay_zero():
    layer = Int8Linear(linear_of(np.array([[-2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.25, 0.5, 0.1]])))
    assert layer.weight_int8.tolist() == [[-127, 0, 64], [0, 0, 0], [64, 127, 25]]
    assert layer.scale.isfinite().all()
    assert (layer.scale > 0).all()


@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_is_the_linear_one_with_the_rounded_weights(bias):
    plain = linear_of(torch.randn(5, 7, generator=torch_rng(0, "w")), bias)
    layer = Int8Linear(plain)
    x = torch.randn(2, 3, 7, generator=torch_rng(0, "x"))
    expected = torch.einsum("bni,oi->bno", x, layer.weight_int8.float() * layer.scale)
    if bias:
        expected = expected + plain.bias
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-6)
    assert (layer(x) - plain(x)).abs().max() < 0.1


def test_what_is_kept_is_a_byte_a_weight():
    layer = Int8Linear(linear_of(np.ones((5, 7))))
    kept = {name: (t.dtype, tuple(t.shape)) for name, t in layer.state_dict().items()}
    assert kept == {
        "weight_int8": (torch.int8, (5, 7)),
        "scale": (torch.float32, (5, 1)),
        "bias": (torch.float32, (5,)),
    }
    assert not any(p.requires_grad for p in layer.parameters())


def test_every_frozen_linear_layer_is_replaced_and_no_other(federation):
    model = federation.build_backbone(seed=0)
    FedZO(precision="int8").graft(model)
    kinds = {name: type(module) for name, module in model.named_modules()}
    found = {name for name, kind in kinds.items() if kind is Int8Linear}
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert found == {f"blocks.{b}.{layer}" for b in range(2) for layer in layers}
    assert [name for name, kind in kinds.items() if kind is nn.Linear] == ["head"]


def test_layers_that_train_are_left_alone():
    model = nn.Sequential(linear_of(np.ones((2, 2))), nn.Linear(2, 2))
    quantize(model)
    assert [type(layer) for layer in model] == [Int8Linear, nn.Linear]


def test_a_model_without_frozen_linear_layers_is_refused():
    with pytest.raises(UserError, match="int8 needs frozen linear layers; Sequential has none"):
        quantize(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value, federation):
    model = federation.build_backbone(seed=0)
    with torch.no_grad():
        model.blocks[1].mlp.fc2.weight[3, 4] = value
    with pytest.raises(UserError, match=r"finite weights; those of blocks\.1\.mlp\.fc2 are not"):
        FedZO(precision="int8").graft(model)


def test_the_eight_bits_hardly_change_what_the_backbone_says(make_federation):
    ground = with_a_head(make_federation)
    images, _ = next(batches(ground, number=1, client=3))
    said = []
    for precision in ("float", "int8"):
        model = ground.build_backbone(seed=0)
        torch.manual_seed(0)
        FedZO(precision=precision).graft(model)
        said.append(model.eval()(images))
    gap = (said[0] - said[1]).abs().max()
    assert 0 < gap < 0.05 * said[0].abs().max()


# A round


class Learner:
    """One client's learner, by hand: prompts P, head h, Adam's moments, iterates, subspace."""

    def __init__(self, personal, answer, method):
        self.prompts = personal[PROMPTS]
        self.head = {name: personal[name] for name in HEAD}
        self.answer, self.method = answer, method
        self.m = self.v = torch.zeros(self.prompts.shape, dtype=torch.float64)
        self.iterates, self.low, self.t = [], None, 0
        self.removed = []

    def loss(self, prompts, head, images, labels):
        return F.cross_entropy(self.answer({PROMPTS: prompts, **head}, images), labels)

    def step(self, images, labels, rng, factor):
        """See the derivation in ``test_two_rounds_by_hand``."""
        method, p, head = self.method, self.prompts, self.head
        slope = gradients(lambda h: self.loss(p, h, images, labels), head)
        with torch.no_grad():
            base = self.loss(p, head, images, labels)
            g = torch.zeros(p.shape, dtype=torch.float64)
            for _ in range(method.directions):
                e = torch.randn(p.shape, generator=rng)
                rise = (self.loss(p + method.mu * e, head, images, labels) - base) / method.mu
                g += (rise * e).double() / method.directions
        left = g.numel() - (0 if self.low is None else len(self.low))
        g = g / math.sqrt((left + method.directions - 1) / method.directions)
        if self.low is not None:
            along = (g.flatten() @ projector(self.low)).view_as(g)
            self.removed.append((along.norm() / g.norm()).item())
            g = g - along
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g**2
        rate = method.lr * factor
        move = (self.m / (1 - 0.9**self.t)) / ((self.v / (1 - 0.999**self.t)).sqrt() + 1e-3)
        self.prompts = (p.double() - rate * move).float()
        self.head = {name: t - method.head_lr * factor * slope[name] for name, t in head.items()}
        self.iterates.append(self.prompts.flatten())
        if len(self.iterates) == method.history:
            _, self.low = reference(torch.stack(self.iterates), method.nu)
            self.iterates = []


def test_two_rounds_by_hand(make_federation):
    """For each batch, with L(P, h) its loss, both steps from the same (P, h):

    h ← h - head_lr·∂L/∂h. g = (1/n)·Σ [L(P + μe_i, h) - L(P, h)]/μ·e_i, e_i drawn one after another
    from (seed, "training/draws", round, client); g ← g / √((D + n - 1)/n), D the numbers of P less
    the low-variance components c_j; g ← g - Σ_j (g·c_j)·c_j. m ← .9m + .1g, v ← .999v + .001g²,
    P ← P - lr·m̂/(√v̂ + 1e-3) with m̂ = m/(1 - .9^t), v̂ = v/(1 - .999^t). After every 3 steps the
    c_j are found anew from the last 3 iterates. Steps, moments, iterates and c_j go on from one
    round to the next. With a schedule both rates are those of the round.
    """
    halved = Schedule(kind="step", every=1, factor=0.5)
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2, schedule=halved)
    method = FedZO(
        prompts=2,
        lr=0.02,
        head_lr=0.1,
        directions=3,
        mu=0.05,
        history=3,
        nu=0.5,
        precision="float",
    )
    trial = FederatedTrial(method, ground, seed=0)
    answer = prompted(ground.build_backbone(seed=0))
    learners = [Learner(personal, answer, method) for personal in trial.personal]
    for number in (1, 2):
        for c in trial.sampled_clients(number):
            rng = torch_rng(0, "training/draws", number, c)
            for images, labels in batches(ground, number, c):
                learners[c].step(images, labels, rng, factor=1 / number)
    removed = [share for learner in learners for share in learner.removed]
    assert max(removed, default=0) > 0.05, "no gradient was ever projected"
    begun = list(trial.personal)
    trial.step(), trial.step()
    assert trial.server == {}
    expected = [{PROMPTS: one.prompts, **one.head} for one in learners]
    found = [{name: own[name] for name in (PROMPTS, *HEAD)} for own in trial.personal]
    assert_same(flat({}, found), flat({}, expected), atol=1e-5)
    for c in trial.sampled_clients(1):
        assert (found[c][PROMPTS] - begun[c][PROMPTS]).abs().max() > 0.01, "hardly trained"
    for own, one in zip(trial.personal, learners, strict=True):
        assert own["zo.steps"] == one.t
        assert len(own["zo.iterates"]) == len(one.iterates)
        assert len(own["zo.noise"]) == (0 if one.low is None else len(one.low))


def saved_for_backward(trial):
    """How many numbers each tensor has that autograd keeps during a round."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trial.step()
    return sizes


@pytest.mark.parametrize("precision", ["int8", "float"])
def test_nothing_of_the_backbone_is_kept_for_a_backward_pass(precision, federation):
    """The largest is the head's input (8 samples × 16), then its weights (3 × 16).

    FedVPT and Local-VPT, which train the same prompts by backpropagation, keep the activations of
    all tokens in every block: 8 × 6 × 16 numbers and more, again and again.
    """
    kept = saved_for_backward(FederatedTrial(FedZO(precision=precision), federation, seed=0))
    assert 0 < max(kept) <= max(8 * WIDTH, CLASSES * WIDTH)
    for method in (FedVPT, LocalVPT):
        others = saved_for_backward(FederatedTrial(method(prompts=1), federation, seed=0))
        assert max(others) >= 8 * 6 * WIDTH
        assert sum(others) > 50 * sum(kept)


def backward_passes(trial):
    """How often a gradient goes back through a block in a step of the second round.

    In the first one operations are counted, by steps on a few images.
    """
    trial.step()
    before, count = trial.totals.steps, []
    for block in trial._trainer.model.blocks:
        block.register_full_backward_hook(lambda *_: count.append(1))
    trial.step()
    return len(count) / (trial.totals.steps - before)


@pytest.mark.parametrize("precision", ["int8", "float"])
def test_no_gradient_goes_back_through_a_block(precision, federation):
    assert backward_passes(FederatedTrial(FedZO(precision=precision), federation, seed=0)) == 0
    backpropagation = FederatedTrial(LocalVPT(), federation, seed=0)
    assert backward_passes(backpropagation) == 2


def test_prompts_alone_lower_the_training_loss(make_federation):
    """15 rounds with the head all but fixed; the loss is then taken with the head as it began.

    A client's loss is that on all its training samples; the prompts are all that differs.
    """
    ground = with_a_head(make_federation, sampled_clients=4, rounds=15, evaluate_every=15)
    method = FedZO(lr=0.05, head_lr=1e-4, prompts=2, history=16)
    trial = FederatedTrial(method, ground, seed=0)
    answer = prompted(ground.build_backbone(seed=0))
    data, begun = ground.dataset, list(trial.personal)

    def loss(c, prompts):
        mine = ground.clients[c].train
        images = data.images[mine].float() / 127.5 - 1
        with torch.no_grad():
            return F.cross_entropy(answer({PROMPTS: prompts}, images), data.labels[mine]).item()

    for _ in trial.run():
        pass
    for c, own in enumerate(trial.personal):
        before, after = loss(c, begun[c][PROMPTS]), loss(c, own[PROMPTS])
        assert after < 0.85 * before, f"client {c}: {before:.3f} to {after:.3f}"


# What travels


def test_all_is_personal_and_nothing_travels(federation, run_trial):
    finished = run_trial(FedZO())
    trial = finished.trial
    assert trial.roles.shared == ()
    assert set(trial.roles.personal) == {PROMPTS, *HEAD}
    assert trial.server == {}
    assert all(m["comm/total_mb"] == m["comm/total_evaluation_mb"] == 0 for m in finished.metrics)
    assert trial.footprint()["params/shared"] == 0


def test_the_broadcast_of_a_linear_layer_is_about_a_quarter_in_8_bits(federation):
    """A byte a weight and 4 a row in place of 4 a weight, for each client; 16 or 64 weights a row.

    All else in the broadcast is the same, but for names in its header (under 100 bytes a tensor).
    """

    def broadcast(precision):
        trial = FederatedTrial(FedZO(precision=precision), stored, seed=0)
        return trial.footprint()["comm/setup_mb"] * 1e6 / len(stored.clients)

    rng = torch.Generator().manual_seed(1)
    bare = federation.build_backbone(seed=3).state_dict()
    weights = {name: t + 0.1 * torch.randn(t.shape, generator=rng) for name, t in bare.items()}
    stored = replace(federation, weights=weights)

    model = federation.build_backbone(seed=0)
    linear = [m.weight for m in model.blocks.modules() if isinstance(m, nn.Linear)]
    floats = sum(4 * w.numel() for w in linear)
    whole = sum(w.numel() + 4 * len(w) for w in linear)
    assert 0.25 < whole / floats < 0.32
    header = 100 * len(linear)
    assert abs(broadcast("float") - broadcast("int8") - (floats - whole)) < header


def test_parameters_are_what_a_client_predicts_with(federation):
    """One prompt of 16 numbers, and a head of 3·16 + 3; Adam's state and the iterates are not."""
    trial = FederatedTrial(FedZO(lr=0.01), federation, seed=0)
    counts = [trial.footprint()["params/personal"] for _ in trial.run()]
    assert counts == [16 + 51] * len(counts)


@pytest.mark.parametrize(("asked", "chosen"), [("auto", "float32"), ("float32", "float32")])
def test_a_comparison_with_a_method_that_needs_float32_has_it(asked, chosen):
    assert precision_for([FedAvg(), FedZO()], asked) == chosen
    assert precision_for([FedAvg()], asked) == asked


def test_bfloat16_is_refused_for_a_method_that_needs_float32():
    with pytest.raises(UserError, match="bfloat16: FedZO needs float32; choose from: auto"):
        precision_for([FedAvg(), FedZO()], "bfloat16")
