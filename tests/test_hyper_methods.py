"""Hypernetworks on the server: generated models and the chain rule, in plain tensors."""

import pytest
import timm
import torch
from byhand import HEAD, well_conditioned
from replay import ALL, LR, SEED, ByHand, mean, split
from timm.layers.attention import Attention
from torch import nn

from pfltune.backbones import TimmBackbone
from pfltune.errors import UserError
from pfltune.federation.traffic import traffic
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ServerRound
from pfltune.method import Start, Update
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedtp import FedTP
from pfltune.methods.pfedhn import PFedHN

OWN, MOMENTUM = "hypernetwork.", "momentum.hypernetwork."
QKV = ("blocks.0.attn.qkv.weight", "blocks.1.attn.qkv.weight")
RATE, INERTIA, DECAY = 0.5, 0.9, 0.01
SERVER = {"server_lr": RATE, "server_momentum": INERTIA, "server_decay": DECAY}
SMALL = {"embedding": 3, "hidden": 5, "layers": 2, **SERVER}


@pytest.fixture(scope="module")
def hand(make_federation):
    return ByHand(well_conditioned(make_federation, local_epochs=2))


@pytest.fixture(scope="module")
def first_server(hand):
    """The server's state as a method draws it before the first round."""
    return lambda method: dict(FederatedTrial(method, hand.federation, SEED).server)


def pieces(server, client):
    """For each piece j the inputs of all layers: x_0 = [v, c_j], x_l+1 = W_l·relu(x_l) + b_l.

    The first layer reads x_0 itself. The last of these is f. A single piece has no vector c_j.
    """
    h = {n.removeprefix(OWN): t for n, t in server.items() if n.startswith(OWN)}
    found = []
    for c in h.get("chunks", [torch.zeros(0)]):
        xs = [torch.cat([h["clients"][client], c])]
        for number in range(SMALL["layers"] + 1):
            read = xs[-1] if number == 0 else xs[-1].clamp(min=0)
            weight, bias = h[f"layer.{number}.weight"], h[f"layer.{number}.bias"]
            xs.append(torch.einsum("oi,i->o", weight, read) + bias)
        found.append(xs)
    return found


def bases(server):
    start = OWN + "base."
    return {n.removeprefix(start): t for n, t in server.items() if n.startswith(start)}


def in_order(tensors):
    """All numbers one behind the other, the tensors in the order of their names."""
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def download(server, client):
    """θ = base + [W·f_1, W·f_2, …] cut into the tensors, and what is not generated as it is."""
    base, out = bases(server), server[OWN + "out"]
    said = torch.cat([torch.einsum("nh,h->n", out, xs[-1]) for xs in pieces(server, client)])
    theta, begin = {}, 0
    for name in sorted(base):
        end = begin + base[name].numel()
        theta[name] = base[name] + said[begin:end].reshape(base[name].shape)
        begin = end
    common = {n: t for n, t in server.items() if not n.startswith((OWN, MOMENTUM))}
    return {**common, **theta}


def chain_rule(server, client, change):
    """(∂θ/∂φ)ᵀ(-Δθ) for every φ of the network, layer by layer, from the last to the first."""
    base, out = bases(server), server[OWN + "out"]
    slope = {n: torch.zeros_like(t) for n, t in server.items() if n.startswith(OWN)}
    g = -in_order({name: change[name] for name in base})
    for name in base:
        slope[f"{OWN}base.{name}"] = -change[name]
    size, width = len(out), SMALL["embedding"]
    for j, xs in enumerate(pieces(server, client)):
        mine = torch.zeros(size)
        mine[: len(g[j * size : (j + 1) * size])] = g[j * size : (j + 1) * size]
        slope[OWN + "out"] += torch.outer(mine, xs[-1])
        at = out.T @ mine
        for number in reversed(range(SMALL["layers"] + 1)):
            read = xs[number] if number == 0 else xs[number].clamp(min=0)
            slope[f"{OWN}layer.{number}.weight"] += torch.outer(at, read)
            slope[f"{OWN}layer.{number}.bias"] += at
            at = server[f"{OWN}layer.{number}.weight"].T @ at
            at = at if number == 0 else at * (xs[number] > 0)
        slope[OWN + "clients"][client] += at[:width]
        if OWN + "chunks" in slope:
            slope[OWN + "chunks"][j] += at[width:]
    return slope


def combine(server, uploads, n):
    """g = Σ_c n_c·(∂θ_c/∂φ)ᵀ(-Δθ_c) / Σ_c n_c + decay·φ; m ← inertia·m + g; φ ← φ - rate·m.

    What is not generated moves by the mean change.
    """
    common = [name for name in server if not name.startswith((OWN, MOMENTUM))]
    moved = mean(common, uploads, n)
    slopes = mean(
        [name for name in server if name.startswith(OWN)],
        {c: chain_rule(server, c, change) for c, change in uploads.items()},
        n,
    )
    after = {name: server[name] + moved[name] for name in common}
    for name, g in slopes.items():
        after["momentum." + name] = INERTIA * server["momentum." + name] + g + DECAY * server[name]
        after[name] = server[name] - RATE * after["momentum." + name]
    return after


def check(hand, method, server, mine=()):
    """Two rounds: θ ← θ - η·∇f_c(θ; B) from what is generated; the change goes up, θ does not."""

    def local(number, c, server, own):
        began = {**download(server, c), **own}
        theta = began
        for batch in hand.batches(number, c):
            theta = hand.step(theta, batch)
        shared, kept = split(theta, mine)
        return {name: t - began[name] for name, t in shared.items()}, kept

    def predict(number, c, server, own):
        return {**download(server, c), **own}

    own = {name: hand.start[name] for name in mine}
    return hand.check(method, local, server, own, predict, combine=combine)


@pytest.mark.parametrize("chunk", [2000, 2**20])
def test_pfedhn_learns_its_network_by_the_chain_rule(chunk, hand, first_server):
    """Shamsian 2021: Δθ_c back through θ_c = h(v_c; φ) into φ and v_c, whole or in pieces."""
    method = PFedHN(lr=LR, chunk=chunk, **SMALL)
    server = first_server(method)
    assert len(pieces(server, 0)) == -(-len(in_order(hand.start)) // chunk)
    check(hand, method, server)


def test_pfedhn_pc_keeps_the_head_on_the_client(hand, first_server):
    """It is trained together with what is generated, from where it was."""
    method = PFedHN(lr=LR, local_head=True, chunk=2000, **SMALL)
    server = first_server(method)
    assert bases(server).keys() == set(ALL) - set(HEAD)
    check(hand, method, server, mine=HEAD)


def test_fedtp_generates_the_projections_and_averages_the_rest(hand, first_server):
    """Li 2023: W_Q, W_K, W_V of every block by the chain rule, everything else Σ α_c·θ_c."""
    method = FedTP(lr=LR, chunk=500, **SMALL)
    server = first_server(method)
    assert bases(server).keys() == set(QKV)
    check(hand, method, server)


@pytest.mark.parametrize("method", [PFedHN(), FedTP()], ids=["pfedhn", "fedtp"])
def test_every_client_begins_with_the_start_weights(method, hand):
    trial = FederatedTrial(method, hand.federation, SEED)
    for client in range(4):
        down = trial.method.download(trial.server, client)
        assert down.keys() == hand.start.keys()
        assert all(torch.equal(down[name], t) for name, t in hand.start.items())


@pytest.mark.parametrize("cls", [PFedHN, FedTP])
def test_after_one_round_at_rate_one_the_base_is_fedavgs(cls, hand):
    """∂θ/∂base is the identity: base + Σ α_c·Δθ_c, which is the mean of the clients' models."""
    plain = cls(lr=LR, server_lr=1.0, server_momentum=0.0, server_decay=0.0)
    ours, theirs = (FederatedTrial(m, hand.federation, SEED) for m in (plain, FedAvg(lr=LR)))
    ours.step(), theirs.step()
    found = {**ours.server, **bases(ours.server)}
    for name, t in theirs.server.items():
        torch.testing.assert_close(found[name], t, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cls", [PFedHN, FedTP])
def test_models_of_the_clients_part_and_those_left_out_learn_too(cls, hand):
    trial = FederatedTrial(cls(lr=LR, server_lr=0.5), hand.federation, SEED)
    trial.step(), trial.step()
    downs = [
        in_order({n: trial.method.download(trial.server, c)[n] for n in QKV}) for c in range(4)
    ]
    began = in_order({name: hand.start[name] for name in QKV})
    assert all((down - began).abs().max() > 1e-3 for down in downs), "client 2 took no part"
    assert min((a - b).abs().max() for i, a in enumerate(downs) for b in downs[:i]) > 1e-6


@pytest.mark.parametrize("cls", [PFedHN, FedTP])
def test_what_is_generated_follows_the_change(cls, hand, first_server):
    """After a small step ⟨θ_c' - θ_c, Δθ_c⟩ > 0."""
    method = cls(server_lr=1e-3, server_decay=0.0)
    server = first_server(method)
    down = method.download(server, 1)
    change = {name: torch.ones_like(t) for name, t in down.items()}
    upload = Update(change, {}, weight=7, client=1, change=True)
    after = method.download(method.aggregate(server, iter([upload]), ServerRound(0, 1, 4)), 1)
    assert sum((after[name] - down[name]).sum() for name in down) > 0


def test_a_round_without_uploads_changes_nothing(hand, first_server):
    method = FedTP()
    server = first_server(method)
    after = method.aggregate(server, iter([]), ServerRound(0, 1, 4))
    assert all(torch.equal(after[name], t) for name, t in server.items())


def test_without_momentum_the_server_keeps_none(first_server):
    assert not [name for name in first_server(FedTP(server_momentum=0.0)) if "momentum" in name]


def network(method, clients=50, size=1000, device="cpu"):
    """The first network for a model of one layer with so many weights."""
    block = nn.Module()
    block.attn = Attention(1, 1)
    model = nn.Module()
    model.blocks = nn.Sequential(block)
    weight = {"blocks.0.attn.qkv.weight": torch.zeros(size, device=device)}
    rng = torch.Generator().manual_seed(0)
    start = Start(weight, {}, clients, rng, frozenset(weight), model)
    return {n.removeprefix(OWN): t for n, t in method.init_server(start).items()}


def test_the_published_networks():
    """Vectors of 1 + N/4 (pFedHN) and 128 (FedTP), a layer to 100 and three more, all biased."""
    for method, length in ((PFedHN(), 13), (FedTP(), 128)):
        h = network(method)
        assert h["clients"].shape == (50, length)
        shapes = [tuple(h[f"layer.{number}.weight"].shape) for number in range(4)]
        assert shapes == [(100, length), (100, 100), (100, 100), (100, 100)]
        assert "layer.4.weight" not in h
        assert h["out"].shape == (1000, 100)
    assert abs(h["clients"].std() - 1) < 0.05
    assert all(0.09 < h[f"layer.1.{kind}"].abs().max() <= 0.1 for kind in ("weight", "bias"))


def test_what_is_generated_in_pieces_has_a_vector_for_each():
    h = network(FedTP(chunk=300, embedding=6), size=1000)
    assert h["chunks"].shape == (4, 6)
    assert h["out"].shape == (300, 100)
    assert h["layer.0.weight"].shape == (100, 12)


def test_a_network_that_is_too_large_is_refused_with_its_size():
    with pytest.raises(UserError, match=r"3,000,000 × 100, 1\.2 GB.*chunk to 2684354 or less"):
        network(PFedHN(chunk=2**30), size=3 * 10**6, device="meta")


def test_fedtp_names_attention_that_it_cannot_generate():
    with torch.device("meta"):
        model = timm.create_model("cait_xxs24_224", depth=1)
    with pytest.raises(UserError, match=r"FedTP needs self-attention.*TalkingHeadAttn$"):
        FedTP().init_server(Start({}, {}, 10, torch.Generator(), frozenset(), model))


def test_fedtp_generates_projections_that_stand_apart(make_federation):
    backbone = TimmBackbone(
        model="eva02_base_patch14_224", image_size=8, patch_size=4, width=16, depth=1, heads=2
    )
    trial = FederatedTrial(FedTP(lr=LR), make_federation(backbone=backbone), SEED)
    trial.step()
    names = {f"blocks.0.attn.{which}_proj.weight" for which in "qkv"}
    assert bases(trial.server).keys() == names


@pytest.mark.thorough
@pytest.mark.parametrize("method", [PFedHN(), FedTP()], ids=["pfedhn", "fedtp"])
def test_a_vit_s_is_generated_by_a_layer_of_26_mb(method):
    bare = TimmBackbone(model="vit_small_patch16_224").build(100, 3, seed=0)
    assert traffic(method, bare).up == 21_704_164
