"""FedPerfix against its paper's formulas, computed a second time on plain tensors."""

import math
from dataclasses import asdict

import pytest
import timm
import torch
import torch.nn.functional as F
from byhand import HEAD, assert_same, two_rounds, with_a_head
from timm.layers import DiffAttention
from timm.models.vision_transformer import ParallelThingsBlock
from torch import nn

from pfltune.errors import UserError
from pfltune.federation.roles import roles_of
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedperfix import FedPerfix
from pfltune.randomness import isolated
from pfltune.registry import make_method

KINDS = ("adapter", "tokens", "zero", "random")
WIDTH, HEADS, DEPTH = 16, 2, 2

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def plain(federation):
    """The bare backbone, without dropout, as every trial with seed 0 begins."""
    return federation.build_backbone(seed=0).eval()


@pytest.fixture
def grafted(federation):
    """``grafted(**knobs)``: the same backbone with FedPerfix's prefixes."""

    def build(**knobs):
        model = federation.build_backbone(seed=0).eval()
        with isolated(0, "graft"):
            FedPerfix(**knobs).graft(model)
        return model.eval()

    return build


def shaken(module):
    """The module in float64, every tensor off its initial value (a zero would hide its term)."""
    rng = torch.Generator().manual_seed(7)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return module


def tokens_like_z():
    rng = torch.Generator().manual_seed(8)
    return torch.randn(3, 5, WIDTH, generator=rng, dtype=torch.float64)


def projections(attention, z):
    """Q, K and V of all heads together: timm stacks W_q, W_k and W_v along the rows of one."""
    weight, bias = attention.qkv.weight.view(3, WIDTH, WIDTH), attention.qkv.bias.view(3, WIDTH)
    return tuple(torch.einsum("bni,oi->bno", z, weight[j]) + bias[j] for j in range(3))


def prefixes(prefix, kind, z):
    """(P_k, P_v) before scaling, from the tensors by name.

    adapter: Tanh(Z·W_down + b_down)·W_up + b_up; zero and random: Z·W + b. The first d columns are
    P_k, the last d are P_v. tokens: the learnable vectors themselves, for each sample alike.
    """
    w = dict(prefix.named_parameters())
    if kind == "tokens":
        return tuple(w[name].expand(len(z), -1, -1) for name in ("keys", "values"))
    if kind == "adapter":
        inner = torch.tanh(
            torch.einsum("bni,oi->bno", z, w["source.0.weight"]) + w["source.0.bias"]
        )
        both = torch.einsum("bni,oi->bno", inner, w["source.2.weight"]) + w["source.2.bias"]
    else:
        both = torch.einsum("bni,oi->bno", z, w["source.weight"]) + w["source.bias"]
    return both[..., :WIDTH], both[..., WIDTH:]


def attend(q, k, v):
    """Softmax(q·kᵀ/√(d/heads))·v for each head, heads side by side."""
    size = WIDTH // HEADS
    outputs = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = torch.einsum("bqi,bki->bqk", q[..., part], k[..., part]) / math.sqrt(size)
        outputs.append(torch.einsum("bqk,bki->bqi", scores.softmax(dim=-1), v[..., part]))
    return torch.cat(outputs, dim=-1)


@every_kind
def test_attention_is_the_papers_formula(kind, grafted):
    """Adapter, zero, random: K = Z·W_k + s·P_k, V = Z·W_v + s·P_v (the public code's eq. 5).

    tokens: K = [s·P_k, Z·W_k], V = [s·P_v, Z·W_v] along the positions (the paper's eq. 5). The
    query is Z·W_q in all of them, and the output goes through the backbone's own projection.
    """
    scale = 0.7
    z = tokens_like_z()
    for block in grafted(prefix=kind, scale=scale).blocks:
        attention = shaken(block.attn)
        q, k, v = projections(attention, z)
        p_k, p_v = (scale * p for p in prefixes(attention.prefix, kind, z))
        if kind == "tokens":
            k, v = torch.cat([p_k, k], dim=1), torch.cat([p_v, v], dim=1)
        else:
            k, v = k + p_k, v + p_v
        expected = attend(q, k, v) @ attention.proj.weight.T + attention.proj.bias
        torch.testing.assert_close(attention(z), expected, rtol=0, atol=1e-6)


def test_tokens_mix_attention_as_eq_6_says(grafted):
    """Attn(x; [P, K], [P, V]) = (1-λ)·Attn(x; K, V) + λ·Attn(x; P_k, P_v).

    With scores a_i = q·k_i/√(d/heads) over the n positions and c_j over the L prefixes,
    softmax over both gives Σ_i e^{a_i} v_i / S + Σ_j e^{c_j} p_j / S with S = Σ_i e^{a_i} +
    Σ_j e^{c_j}.
    λ = Σ_j e^{c_j} / S is the mass on the prefixes, for each query and head.
    """
    scale, size = 1.5, WIDTH // HEADS
    z = tokens_like_z()
    attention = shaken(grafted(prefix="tokens", scale=scale).blocks[0].attn)
    q, k, v = projections(attention, z)
    p_k, p_v = (scale * p for p in prefixes(attention.prefix, "tokens", z))

    def by_head(x):
        return x.unflatten(-1, (HEADS, size))

    def mass(keys):
        scores = torch.einsum("bqhi,bkhi->bqhk", by_head(q), by_head(keys)) / math.sqrt(size)
        return scores.exp().sum(dim=-1, keepdim=True)

    share = mass(p_k) / (mass(p_k) + mass(k))
    mixed = (1 - share) * by_head(attend(q, k, v)) + share * by_head(attend(q, p_k, p_v))
    expected = mixed.flatten(2) @ attention.proj.weight.T + attention.proj.bias
    assert 0.05 < share.mean() < 0.95, "the prefixes get no mass, or all: this tests nothing"
    torch.testing.assert_close(attention(z), expected, rtol=0, atol=1e-6)


def test_prefix_zero_starts_as_the_plain_backbone(plain, grafted):
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(grafted(prefix="zero")(images), plain(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["adapter", "tokens", "random"])
def test_the_other_prefixes_start_elsewhere(kind, plain, grafted):
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(grafted(prefix=kind)(images), plain(images), rtol=0, atol=1e-5)


def test_prefix_zero_does_not_stay_there(grafted):
    """Zero is no stationary point: the keys' and values' gradients do not pass through it."""
    model = grafted(prefix="zero")
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    assert all(block.attn.prefix.source.weight.grad.abs().max() > 0 for block in model.blocks)


@every_kind
def test_the_graft_leaves_the_weights_of_the_backbone_alone(kind, plain, grafted, differing):
    kept = {n: t for n, t in grafted(prefix=kind).state_dict().items() if n in plain.state_dict()}
    assert not differing(kept, plain.state_dict())


PREFIX_TENSORS = {
    "adapter": ("source.0.weight", "source.0.bias", "source.2.weight", "source.2.bias"),
    "tokens": ("keys", "values"),
    "zero": ("source.weight", "source.bias"),
    "random": ("source.weight", "source.bias"),
}


@every_kind
def test_personal_are_exactly_the_prefixes_and_the_head(kind, plain, grafted):
    roles = roles_of(FedPerfix(prefix=kind), grafted(prefix=kind))
    prefix_names = {
        f"blocks.{block}.attn.prefix.{name}"
        for block in range(DEPTH)
        for name in PREFIX_TENSORS[kind]
    }
    assert set(roles.personal) == prefix_names | {"head.weight", "head.bias"}
    assert set(roles.shared) == plain.state_dict().keys() - {"head.weight", "head.bias"}
    assert roles.frozen == ()


def test_defaults_are_the_published_ones():
    assert asdict(FedPerfix()) == {
        "lr": 0.01,
        "prefix": "adapter",
        "bottleneck": 256,
        "prefix_length": 8,
        "scale": 1.5,
        "place": "attn",
        "depth": 0,
        "personal_blocks": 0,
    }


def added_parameters(model, plain):
    new = [t.numel() for n, t in model.state_dict().items() if n not in plain.state_dict()]
    return sum(new)


@pytest.mark.parametrize("m", [1, 4, 256])
def test_an_adapter_adds_its_two_layers_to_each_block(m, plain, grafted):
    """W_down (d·m) and its bias (m), W_up (m·2d) and its bias (2d)."""
    d = WIDTH
    expected = DEPTH * (d * m + m + m * 2 * d + 2 * d)
    assert added_parameters(grafted(bottleneck=m), plain) == expected


def test_tokens_add_their_vectors_to_each_block(plain, grafted):
    model = grafted(prefix="tokens", prefix_length=5)
    assert added_parameters(model, plain) == DEPTH * 5 * 2 * WIDTH


@pytest.mark.parametrize("kind", ["zero", "random"])
def test_the_ablations_add_one_layer_to_each_block(kind, plain, grafted):
    expected = DEPTH * (WIDTH * 2 * WIDTH + 2 * WIDTH)
    assert added_parameters(grafted(prefix=kind), plain) == expected


def test_adapters_start_as_pytorch_initialises_linear_layers(grafted):
    """nn.Linear's default draws weight and bias uniformly from ±1/√(inputs)."""
    for block in grafted(bottleneck=64).blocks:
        down, _, up = block.attn.prefix.source
        for layer, inputs in ((down, WIDTH), (up, 64)):
            for tensor in (layer.weight, layer.bias):
                assert 0.8 / math.sqrt(inputs) < tensor.abs().max() <= 1 / math.sqrt(inputs)


def test_prefixes_of_two_blocks_differ(grafted):
    first, second = (block.attn.prefix.source[0].weight for block in grafted().blocks)
    assert not torch.equal(first, second)


def test_prefixes_are_in_every_block_and_take_part(grafted):
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    model = grafted()
    before = model(images)
    for block in model.blocks:
        kept = block.attn.prefix.scale
        block.attn.prefix.scale = 0.0
        assert not torch.allclose(model(images), before, rtol=0, atol=1e-5)
        block.attn.prefix.scale = kept


class Strange(nn.Module):
    def forward(self, z):
        return z


@pytest.mark.parametrize(
    "strange",
    [Strange(), DiffAttention(WIDTH, num_heads=HEADS)],
    ids=["another-class", "attends-twice"],
)
def test_attention_of_another_kind_is_refused(strange, plain):
    plain.blocks[1].attn = strange
    with pytest.raises(UserError, match=f"self-attention of ViT.*{type(strange).__name__}"):
        FedPerfix().graft(plain)


def test_blocks_without_one_attention_are_refused():
    """As in timm's vit_small_patch16_18x2_224, whose blocks hold two attentions side by side."""
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=8,
        patch_size=4,
        embed_dim=WIDTH,
        depth=1,
        num_heads=HEADS,
        block_fn=ParallelThingsBlock,
    )
    with pytest.raises(UserError, match="self-attention of ViT"):
        FedPerfix().graft(model)


def test_a_model_without_blocks_is_refused():
    with pytest.raises(UserError, match="Strange"):
        FedPerfix().graft(Strange())


def test_an_attention_mask_is_refused(grafted):
    attention = grafted(prefix="tokens").blocks[0].attn
    with pytest.raises(UserError, match="mask"):
        attention(torch.zeros(1, 5, WIDTH), is_causal=True)


@every_kind
def test_it_sends_less_than_fedavg(kind, federation):
    def sent(method):
        return FederatedTrial(method, federation, seed=0).step().metrics["comm/total_mb"]

    assert 0 < sent(FedPerfix(prefix=kind)) < sent(FedAvg())


# Which blocks


@pytest.mark.parametrize(("depth", "blocks"), [(0, {0, 1}), (1, {1}), (2, {0, 1})])
def test_the_last_blocks_have_prefixes(depth, blocks, plain, grafted):
    new = grafted(depth=depth).state_dict().keys() - plain.state_dict().keys()
    expected = {f"blocks.{b}.attn.prefix.{n}" for b in blocks for n in PREFIX_TENSORS["adapter"]}
    assert new == expected


def test_blocks_without_a_prefix_are_the_backbones(plain, grafted):
    """What the last block reads is the same to the last bit, what it says is not."""
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    seen = []
    for model in (plain, grafted(depth=1)):
        model.blocks[1].register_forward_hook(lambda _, args, y: seen.append((args[0], y)))
        model(images)
    (read, said), (prefixed_read, prefixed_said) = seen
    assert torch.equal(read, prefixed_read)
    assert not torch.allclose(said, prefixed_said, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("count", "blocks"), [(1, {1}), (2, {0, 1})])
def test_the_last_blocks_are_personal_as_a_whole(count, blocks, plain, grafted):
    """Beside prefixes and head, wherever the prefixes are."""
    roles = roles_of(FedPerfix(personal_blocks=count), grafted())
    whole = {n for n in plain.state_dict() for b in blocks if n.startswith(f"blocks.{b}.")}
    assert len(whole) == 12 * count, "a block of timm's has 12 tensors"
    prefix_names = {n for n in grafted().state_dict() if ".prefix." in n}
    assert set(roles.personal) == whole | prefix_names | {"head.weight", "head.bias"}
    assert set(roles.shared) == plain.state_dict().keys() - set(roles.personal)


def test_a_prefix_in_the_last_block_alone_leaves_the_others_shared(plain, grafted):
    roles = roles_of(FedPerfix(depth=1), grafted(depth=1))
    names = {f"blocks.1.attn.prefix.{name}" for name in PREFIX_TENSORS["adapter"]}
    assert set(roles.personal) == names | {"head.weight", "head.bias"}
    assert set(roles.shared) == plain.state_dict().keys() - {"head.weight", "head.bias"}


def test_a_personal_block_stays_and_a_shared_one_travels(plain, run_trial, make_federation):
    everybody = make_federation(sampled_clients=4)
    trial = run_trial(FedPerfix(personal_blocks=1, lr=0.1), everybody, rounds=1).trial
    name = "attn.qkv.weight"
    assert f"blocks.0.{name}" in trial.server
    assert not torch.equal(trial.server[f"blocks.0.{name}"], plain.state_dict()[f"blocks.0.{name}"])
    assert not [n for n in trial.server if n.startswith("blocks.1.")]
    assert not [n for n in trial.personal[0] if n.startswith("blocks.0.") and ".prefix." not in n]
    own = [personal[f"blocks.1.{name}"] for personal in trial.personal]
    assert all(not torch.equal(a, b) for i, a in enumerate(own) for b in own[:i])


@pytest.mark.parametrize("knob", ["depth", "personal_blocks"])
def test_more_blocks_than_there_are_is_the_users_mistake(knob, federation):
    """Told before training, with the value and what is possible on this backbone."""
    with pytest.raises(UserError, match=rf"{knob}=3 .*possible: 0 to 2"):
        FederatedTrial(FedPerfix(**{knob: 3}), federation, seed=0)
    FederatedTrial(FedPerfix(**{knob: 2}), federation, seed=0)


@pytest.mark.parametrize("knob", ["depth", "personal_blocks"])
@pytest.mark.parametrize("value", [-1, 101, 1.5])
def test_a_number_of_blocks_that_no_model_has_is_refused_at_once(knob, value):
    with pytest.raises(UserError, match=rf"{knob}={value} .*whole number: 0 to 100"):
        make_method("fedperfix", {knob: value})


def vit_with_prefixes(kind, scale, place="attn"):
    """``answer(tensors, images)``: the whole ViT on plain tensors, a prefix in every attention.

    Or an adapter at another ``place``, y + s·(Tanh(y·W_down + b_down)·W_up + b_up).
    """

    def linear(t, name, x):
        return F.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])

    def adapted(t, here, name, y):
        if here != place:
            return y
        inner = torch.tanh(linear(t, f"{name}.adapter.source.0", y))
        return y + scale * linear(t, f"{name}.adapter.source.2", inner)

    def norm(t, name, x):
        y = F.layer_norm(x, (WIDTH,), t[f"{name}.weight"], t[f"{name}.bias"], eps=1e-6)
        return adapted(t, "norm", name, y) if name.startswith("blocks") else y

    def keys_and_values(t, name, z, k, v):
        if place != "attn":
            return k, v
        if kind == "tokens":
            p_k, p_v = (t[f"{name}.{which}"].expand(len(z), -1, -1) for which in ("keys", "values"))
            return torch.cat([scale * p_k, k], dim=1), torch.cat([scale * p_v, v], dim=1)
        if kind == "adapter":
            both = linear(t, f"{name}.source.2", torch.tanh(linear(t, f"{name}.source.0", z)))
        else:
            both = linear(t, f"{name}.source", z)
        return k + scale * both[..., :WIDTH], v + scale * both[..., WIDTH:]

    def answer(t, images):
        patches = F.conv2d(
            images, t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=4
        )
        patches = adapted(t, "patch_embed", "patch_embed", patches.flatten(2).transpose(1, 2))
        x = torch.cat([t["cls_token"].expand(len(images), -1, -1), patches], dim=1)
        x = adapted(t, "pos_embed", "pos_drop", x + t["pos_embed"])
        for number in range(DEPTH):
            block = f"blocks.{number}"
            z = norm(t, f"{block}.norm1", x)
            q, k, v = linear(t, f"{block}.attn.qkv", z).split(WIDTH, dim=-1)
            k, v = keys_and_values(t, f"{block}.attn.prefix", z, k, v)
            out = linear(t, f"{block}.attn.proj", attend(q, k, v))
            x = x + adapted(t, "attn_output", f"{block}.attn", out)
            inner = F.gelu(linear(t, f"{block}.mlp.fc1", norm(t, f"{block}.norm2", x)))
            x = x + adapted(t, "mlp", f"{block}.mlp", linear(t, f"{block}.mlp.fc2", inner))
        return linear(t, "head", norm(t, "norm", x[:, 0]))

    return answer


PLACES = {"attn_output": 2, "mlp": 2, "norm": 4, "patch_embed": 1, "pos_embed": 1}


@pytest.mark.parametrize(("place", "adapters"), PLACES.items())
def test_two_rounds_with_adapters_elsewhere(place, adapters, make_federation):
    """As below. How many there are: one for each layer of that kind; they stay with the client."""
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2)
    method = FedPerfix(place=place, bottleneck=6, scale=0.7, lr=0.1)
    trial = FederatedTrial(method, ground, seed=0)
    own = {name for name in trial.roles.personal if ".adapter." in name}
    assert len(own) == 4 * adapters
    found, expected = two_rounds(trial, own | set(HEAD), vit_with_prefixes("", 0.7, place), lr=0.1)
    assert_same(found, expected, atol=1e-5)


@pytest.mark.parametrize("place", ["attn_output", "mlp", "norm"])
def test_the_last_blocks_have_adapters(place, plain, grafted):
    new = grafted(place=place, depth=1).state_dict().keys() - plain.state_dict().keys()
    assert new
    assert all(name.startswith("blocks.1.") for name in new)


@pytest.mark.parametrize("place", ["patch_embed", "pos_embed"])
def test_no_number_of_blocks_beside_an_embedding(place, plain):
    with pytest.raises(UserError, match=f"depth=1 has no effect with place={place}"):
        FedPerfix(place=place, depth=1).graft(plain)


def test_an_embedding_that_is_not_there_is_named(plain):
    plain.pos_embed = None
    with pytest.raises(UserError, match="place=pos_embed: VisionTransformer has no pos_embed"):
        FedPerfix(place="pos_embed").graft(plain)


def test_where_prefixes_sit_is_the_axis_of_a_grid():
    """``--over place=…`` beside what applies to the adapter alone."""
    for place in PLACES:
        make_method("fedperfix", {"place": place, "bottleneck": 4})
    with pytest.raises(UserError, match="place='mlp' has no effect; it needs prefix=adapter"):
        make_method("fedperfix", {"place": "mlp", "prefix": "tokens"})


@every_kind
def test_two_rounds_by_hand(kind, make_federation):
    """θ ← θ - lr·∂loss/∂θ for prefixes, head and backbone alike, 2 epochs a round.

    Prefixes and head of client c stay with it; the backbone is Σ_c n_c·u_c / Σ_c n_c over the 3
    clients of the round.
    """
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2)
    knobs = {"tokens": {"prefix_length": 3}, "adapter": {"bottleneck": 6}}.get(kind, {})
    trial = FederatedTrial(FedPerfix(prefix=kind, scale=0.7, lr=0.1, **knobs), ground, seed=0)
    own = {name for name in trial.roles.personal if ".attn.prefix." in name}
    assert own
    found, expected = two_rounds(trial, own | set(HEAD), vit_with_prefixes(kind, 0.7), lr=0.1)
    assert_same(found, expected, atol=1e-5)
