"""pFedPG: the generator against index notation and finite differences, and the round by hand."""

import math

import pytest
import torch
from byhand import HEAD, assert_same, flat, gradients, prompted, trained, with_a_head

from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ServerRound
from pfltune.method import Start, Update
from pfltune.methods.fedvpt import FedVPT
from pfltune.methods.pfedpg import PFedPG, generate
from pfltune.randomness import torch_rng

PROMPTS = "blocks.0.prompts"

# N clients, K prompts of width l.
N, K, L = 3, 4, 5
LEAVES = ("W_Q", "W_K", "W_V", "W_O", "P_base", "d")


@pytest.fixture
def generator():
    """A generator of prompts in float64, without special values."""
    rng = torch.Generator().manual_seed(3)
    shapes = {"P_base": (K, L), "d": (N, L)} | {f"W_{w}": (L, L) for w in "QKVO"}
    return {n: torch.randn(s, generator=rng, dtype=torch.float64) for n, s in shapes.items()}


def generated(g, client):
    """G(P_base, d_n) with every index written out.

    q_j = Σ_i d_i Wq_ij, k_aj = Σ_i P_ai Wk_ij, v_aj = Σ_i P_ai Wv_ij,
    α_a = exp(q·k_a/√l) / Σ_b exp(q·k_b/√l), P_n,aj = P_aj + Σ_i (Σ_b α_b v_bi) Wo_ij.
    """
    q = torch.einsum("i,ij->j", g["d"][client], g["W_Q"])
    k = torch.einsum("ai,ij->aj", g["P_base"], g["W_K"])
    v = torch.einsum("ai,ij->aj", g["P_base"], g["W_V"])
    weight = (torch.einsum("j,aj->a", q, k) / math.sqrt(len(q))).exp()
    mixed = torch.einsum("a,ai->i", weight / weight.sum(), v)
    return g["P_base"] + torch.einsum("i,ij->j", mixed, g["W_O"])


@pytest.fixture
def changes():
    """ΔP_n of the clients 0 and 2; client 1 takes no part."""
    rng = torch.Generator().manual_seed(4)
    return {c: torch.randn(K, L, generator=rng, dtype=torch.float64) for c in (0, 2)}


def surrogate(g, changes):
    """Σ_n ⟨P_n, -ΔP_n⟩: its gradient is the chain rule with -ΔP_n for ∂L/∂P_n."""
    return sum((generated(g, c) * -change).sum() for c, change in changes.items())


def aggregated(generator, changes, server_lr=0.5):
    uploads = (
        Update({PROMPTS: change}, {}, weight=c + 1, client=c) for c, change in changes.items()
    )
    return PFedPG(server_lr=server_lr).aggregate(generator, uploads, ServerRound(0, 1, 2))


# The generator


@pytest.mark.parametrize("client", range(N))
def test_prompts_are_generated_by_cross_attention(client, generator):
    found = generate(generator, generator["d"][client])
    torch.testing.assert_close(found, generated(generator, client), rtol=0, atol=1e-10)


def test_the_server_takes_one_step_down_the_surrogate(generator, changes):
    g = gradients(lambda leaves: surrogate(leaves, changes), generator)
    expected = {name: tensor - 0.5 * g[name] for name, tensor in generator.items()}
    assert_same(aggregated(generator, changes), expected, atol=1e-10)


@pytest.mark.parametrize("name", LEAVES)
def test_the_servers_step_agrees_with_finite_differences(name, generator, changes):
    """(f(θ + h·e) - f(θ - h·e)) / 2h for every entry e of each tensor, h = 1e-5."""

    def surrogate_at(entry, step):
        moved = generator[name].clone()
        moved.view(-1)[entry] += step
        return surrogate({**generator, name: moved}, changes)

    slopes = torch.stack(
        [
            (surrogate_at(entry, 1e-5) - surrogate_at(entry, -1e-5)) / 2e-5
            for entry in range(generator[name].numel())
        ]
    ).view_as(generator[name])
    assert slopes.abs().max() > 0.01, "flat: this shows nothing"
    found = (generator[name] - aggregated(generator, changes)[name]) / 0.5
    torch.testing.assert_close(found, slopes, rtol=1e-6, atol=1e-7)


def test_the_descriptors_of_those_that_took_part_move(generator, changes):
    moved = (aggregated(generator, changes)["d"] != generator["d"]).any(dim=1)
    assert moved.tolist() == [True, False, True]


def test_the_generator_that_all_clients_share_moves(generator, changes, differing):
    assert differing(aggregated(generator, changes), generator) == sorted(LEAVES)


def test_prompts_move_towards_what_the_client_learned(generator):
    """A small step makes P_n follow ΔP_n: ⟨change of P_n, ΔP_n⟩ > 0."""
    change = torch.ones(K, L, dtype=torch.float64)
    new = aggregated(generator, {1: change}, server_lr=1e-3)
    assert ((generated(new, 1) - generated(generator, 1)) * change).sum() > 0


def test_each_client_begins_with_a_random_descriptor_of_its_own():
    basis = torch.randn(K, 64, generator=torch_rng(1, "basis"))
    start = Start({PROMPTS: basis}, {}, clients=50, rng=torch_rng(0, "server"))
    server = PFedPG().init_server(start)
    assert torch.equal(server["P_base"], basis)
    assert server["d"].shape == (50, 64)
    assert abs(server["d"].std() - 1) < 0.05
    assert len(server["d"].unique(dim=0)) == 50
    assert all(server[f"W_{w}"].shape == (64, 64) for w in "QKVO")
    assert all(abs(server[f"W_{w}"].std() - 1 / 8) < 0.01 for w in "QVO")


def test_small_prompts_do_not_make_the_first_attention_uniform():
    """The logits q·k/√l have variance 1 from the start, however small the basis is."""
    basis = 0.01 * torch.randn(200, 64, generator=torch_rng(1, "basis"))
    start = Start({PROMPTS: basis}, {}, clients=50, rng=torch_rng(0, "server"))
    g = PFedPG().init_server(start)
    logits = (g["d"] @ g["W_Q"]) @ (g["P_base"] @ g["W_K"]).T / 8
    assert 0.7 < logits.std() < 1.4


# On the tiny federation


def test_prompts_and_head_train_on_a_frozen_backbone(federation, run_trial):
    trial = run_trial(PFedPG()).trial
    backbone = federation.build_backbone(0).state_dict()
    assert trial.roles.shared == (PROMPTS,)
    assert set(trial.roles.personal) == set(HEAD)
    assert set(trial.roles.frozen) == backbone.keys() - set(HEAD)
    now = trial._trainer.model.state_dict()
    assert all(torch.equal(now[name], backbone[name]) for name in trial.roles.frozen)


def test_k_times_l_floats_travel_each_way(federation):
    """And no more, though the server owns descriptors and projections besides the basis."""
    uploads = []

    class Noting(PFedPG):
        def aggregate(self, server, updates, work):
            uploads.extend(list(updates))
            return super().aggregate(server, iter(uploads), work)

    trial = FederatedTrial(Noting(prompts=K), federation, seed=0)
    trial.step()
    assert trial.footprint()["params/shared"] == K * 16
    assert [{n: t.shape for n, t in u.upload.items()} for u in uploads] == [{PROMPTS: (K, 16)}] * 2


def test_two_rounds_by_hand(make_federation):
    """P_n = G(P_base, d_n). The client's 2 epochs: θ ← θ - lr·(∂loss/∂θ + decay·θ), θ = P_n, H_n.

    With ΔP_n = P̃_n - P_n the server's step is down f = Σ_n ⟨G(P_base, d_n), -ΔP_n⟩ over the clients
    of the round, ΔP_n being constants: φ ← φ - server_lr·∂f/∂φ for φ = W_Q, W_K, W_V, W_O, P_base
    and all d_n. The second round begins with the prompts that the moved generator says.
    """
    lr, decay, server_lr = 0.25, 0.05, 0.5
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2)
    method = PFedPG(prompts=K, lr=lr, weight_decay=decay, server_lr=server_lr)
    trial = FederatedTrial(method, ground, seed=0)
    g, heads = trial.server, list(trial.personal)
    before, answer = g, prompted(ground.build_backbone(0))
    for number in (1, 2):
        changes = {}
        for c in trial.sampled_clients(number):
            own = {PROMPTS: generated(g, c), **heads[c]}
            new = trained(ground, number, c, own, answer, lr, decay)
            changes[c] = new[PROMPTS] - own[PROMPTS]
            heads[c] = {name: new[name] for name in HEAD}
        slope = gradients(lambda t, changes=changes: surrogate(t, changes), g)
        g = {name: tensor - server_lr * slope[name] for name, tensor in g.items()}
    for name in LEAVES:
        assert (g[name] - before[name]).abs().max() > 0.001, f"{name} hardly moved"
    trial.step(), trial.step()
    assert_same(flat(trial.server, trial.personal), flat(g, heads), atol=1e-5)


def gaps(server):
    """‖P_a - P_b‖ / ‖P_base‖ for every two clients a, b."""
    prompts = [generated(server, c) for c in range(len(server["d"]))]
    scale = server["P_base"].norm()
    return torch.stack([(a - b).norm() / scale for i, a in enumerate(prompts) for b in prompts[:i]])


@pytest.mark.parametrize("server_lr", [0.001, 0.1])
def test_clients_have_prompts_of_their_own_after_the_rounds(server_lr, make_federation, run_trial):
    """Every two differ by more than 5 % of the basis; uniform attention gives all the same."""
    everybody = with_a_head(make_federation, sampled_clients=4)
    server = run_trial(PFedPG(server_lr=server_lr), everybody).trial.server
    assert gaps(server).min() > 0.05
    uniform = {**server, "W_K": torch.zeros_like(server["W_K"])}
    assert gaps(uniform).max() < 1e-6, "what makes them differ is the attention"


def test_prompts_change_over_the_rounds(federation, run_trial):
    trial = run_trial(PFedPG(server_lr=0.1)).trial
    fresh = FederatedTrial(trial.method, federation, seed=0)
    for client in range(4):
        now, then = (t.method.download(t.server, client)[PROMPTS] for t in (trial, fresh))
        assert (now - then).abs().max() > 1e-5, f"the prompts of client {client} stood still"


def test_the_local_round_is_fedvpts(make_federation):
    """From the same prompts a client's head becomes the same: the server alone is another."""
    alone = with_a_head(make_federation, [(19, 3, 3)])
    ours, theirs = (
        FederatedTrial(method(prompts=K, lr=0.1), alone, seed=0) for method in (PFedPG, FedVPT)
    )
    theirs.server = ours.method.download(ours.server, 0)
    before = theirs.server[PROMPTS]
    ours.step(), theirs.step()
    assert_same(ours.personal[0], theirs.personal[0], atol=0)
    assert (theirs.server[PROMPTS] - before).abs().max() > 0.001
