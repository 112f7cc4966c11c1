"""Prefixes in timm's attention variants, against attention written out in plain tensors."""

import math

import pytest
import timm
import torch
from timm.layers.attention import Attention, AttentionRope
from torch import nn

from pfltune import parts
from pfltune.backbones import TimmBackbone
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.methods._attention import VARIANTS, PrefixAttention, TokenPrefix, projections
from pfltune.methods.fedperfix import FedPerfix

WIDTH, HEADS = 16, 2
SIZE = WIDTH // HEADS
MODELS = {
    "one-qkv": "vit_small_patch16_224",
    "norm-inside": "beit3_base_patch16_224",
    "norm-of-queries-and-keys": "vit_small_patch14_reg4_dinov2",
    "norm-behind-attention": "vit_base_patch16_rpn_224",
    "rotary": "eva02_tiny_patch14_224",
    "rotary-apart": "eva02_base_patch14_224",
    "rotary-apart-norm-inside": "eva02_base_patch16_clip_224",
    "rotary-norm-behind": "eva02_enormous_patch14_clip_224",
    "rotary-halves": "vit_small_patch16_dinov3",
    "rotary-of-each-block": "vit_base_patch16_rope_mixed_224",
    "rotary-heads-that-share-keys": "vit_base_patch16_sapiens2",
    "relative-table": "beit_base_patch16_224",
    "relative-network": "vit_relpos_base_patch16_224",
    "relative-shared": "vit_srelpos_small_patch16_224",
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def tiny(name):
    """A model of that name with small sizes, every tensor off the zero that would hide it."""
    torch.manual_seed(0)
    sizes = {"img_size": 24, "patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": HEADS}
    if name.endswith("sapiens2"):
        sizes["num_kv_heads"] = (1, 2)
    return shaken(timm.create_model(name, **sizes, num_classes=3, in_chans=1).eval().double())


def shaken(module):
    rng = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
            parameter += 0.3 * noise
    return module


def images():
    return torch.randn(2, 1, 24, 24, generator=torch.Generator().manual_seed(1)).double()


def turned(x, rope, half):
    """x (heads, tokens, size) as complex numbers, multiplied by those of its positions.

    ``rope`` is [sin, cos], each angle twice. A number is made of two neighbours, or of entry i of
    the first half and entry i of the second.
    """
    sin, cos = rope.expand(*x.shape[:-1], -1).split(x.shape[-1], dim=-1)
    if half:
        middle = x.shape[-1] // 2
        number = torch.complex(x[..., :middle], x[..., middle:])
        number = number * torch.complex(cos[..., :middle], sin[..., :middle])
        return torch.cat([number.real, number.imag], dim=-1)
    number = torch.complex(x[..., ::2], x[..., 1::2]) * torch.complex(cos[..., ::2], sin[..., ::2])
    return torch.stack([number.real, number.imag], dim=-1).flatten(-2)


def relative(old, shared):
    """What is added to the scores: a table's entry for each pair, a network's, or all blocks'."""
    if getattr(old, "relative_position_bias_table", None) is not None:
        table, index = old.relative_position_bias_table, old.relative_position_index
        pairs = [[table[i] for i in row] for row in index.tolist()]
        return torch.stack([torch.stack(row) for row in pairs]).permute(2, 0, 1)
    if getattr(old, "rel_pos", None) is not None:
        return old.rel_pos.get_bias()[0]
    return None if shared is None else shared[0]


def attended(old, z, prefix, rope=None, shared=None):
    """The variant ``old`` on one image z (tokens, dim), written out head by head.

    ``prefix(z, k, v)`` says keys and values (length, width) of the tokens, and how many more stand
    in front: these are normalised as all keys are, but have no position.
    """
    w = dict(old.named_parameters())

    def linear(name, x):
        bias = w.get(f"{name}.bias")
        return x @ w[f"{name}.weight"].T + (0 if bias is None else bias)

    if "qkv.weight" in w:
        q, k, v = linear("qkv", z).chunk(3, dim=-1)
        q, v = q + w.get("q_bias", 0), v + w.get("v_bias", 0)
    else:
        q, k, v = (linear(f"{which}_proj", z) for which in "qkv")
    k, v, before = prefix(z, k, v)
    first = getattr(old, "num_prefix_tokens", 0)
    half = getattr(old, "rotate_half", False)

    def heads(x, norm, skipped):
        x = torch.stack(x.split(SIZE, dim=-1))
        x = getattr(old, norm)(x) if hasattr(old, norm) else x
        if rope is None or not norm:
            return x
        return torch.cat([x[:, :skipped], turned(x[:, skipped:], rope, half)], dim=1)

    q, k, v = heads(q, "q_norm", first), heads(k, "k_norm", before + first), heads(v, "", 0)
    added = relative(old, shared)
    outputs = []
    for head in range(len(q)):
        mine = head * len(k) // len(q)
        scores = q[head] @ k[mine].T / math.sqrt(SIZE)
        if added is not None:
            scores[:, before:] += added[head]
        outputs.append(scores.softmax(dim=-1) @ v[mine])
    joined = torch.cat(outputs, dim=-1)
    joined = old.norm(joined) if hasattr(old, "norm") else joined
    if "gate.weight" in w:
        joined = joined / (1 + (-linear("gate", z)).exp())
    return linear("proj", joined)


def by_hand(prefix, kind, scale):
    """``prefix`` of :func:`attended`, from the tensors by name."""
    w = dict(prefix.named_parameters())

    def apply(z, k, v):
        if kind == "tokens":
            keys, values = (scale * w[which] for which in ("keys", "values"))
            return torch.cat([keys, k]), torch.cat([values, v]), len(keys)
        inner = torch.tanh(z @ w["source.0.weight"].T + w["source.0.bias"])
        p_k, p_v = (inner @ w["source.2.weight"].T + w["source.2.bias"]).split(k.shape[-1], dim=-1)
        return k + scale * p_k, v + scale * p_v, 0

    return apply


def met(model, name):
    """What the attention of a block is handed in a pass over the images, and what it answers."""
    seen = []
    attention = model.get_submodule(f"{name}.attn")
    hook = attention.register_forward_hook(
        lambda _, args, given, answer: seen.append((args[0], given, answer)), with_kwargs=True
    )
    model(images())
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("kind", ["adapter", "tokens"])
@every_model
def test_a_prefix_in_each_variant_is_the_formula(model, kind):
    """In every block, on what the model itself hands to its attention."""
    model, scale = tiny(model), 0.7
    olds = {name: block.attn for name, block in parts.blocks(model).items()}
    FedPerfix(prefix=kind, scale=scale, bottleneck=4, prefix_length=3).graft(model)
    model.double()
    for name, old in olds.items():
        prefix = shaken(model.get_submodule(f"{name}.attn.prefix"))
        z, given, found = met(model, name)
        shared = given.get("shared_rel_pos", given.get("shared_rel_pos_bias"))
        expected = [
            attended(old, each, by_hand(prefix, kind, scale), given.get("rope"), shared)
            for each in z
        ]
        torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-9)


@every_model
def test_an_added_prefix_of_scale_zero_changes_nothing(model):
    plain, prefixed = tiny(model), tiny(model)
    FedPerfix(bottleneck=4).graft(prefixed)
    prefixed.double()
    assert not torch.allclose(prefixed(images()), plain(images()), rtol=0, atol=1e-6)
    for block in prefixed.blocks:
        block.attn.prefix.scale = 0.0
    torch.testing.assert_close(prefixed(images()), plain(images()), rtol=0, atol=1e-9)


@every_model
def test_the_layers_keep_their_names_and_prefixes_are_added(model):
    plain, prefixed = tiny(model), tiny(model)
    FedPerfix(bottleneck=4).graft(prefixed)
    kept = {n: t for n, t in prefixed.state_dict().items() if ".attn.prefix." not in n}
    assert kept.keys() == plain.state_dict().keys()
    assert all(torch.equal(kept[name], t) for name, t in plain.state_dict().items())


def test_every_variant_is_met_here():
    kinds = {type(block.attn) for name in MODELS.values() for block in tiny(name).blocks}
    assert kinds == set(VARIANTS)


@pytest.mark.parametrize("kind", ["adapter", "tokens"])
@pytest.mark.parametrize(
    "old",
    [
        pytest.param(
            lambda: Attention(WIDTH, HEADS, qk_norm=True, gated=True, norm_layer=nn.LayerNorm),
            id="gated",
        ),
        pytest.param(
            lambda: AttentionRope(WIDTH, 4, qkv_fused=False, attn_head_dim=SIZE, num_kv_heads=2),
            id="heads-that-share-keys",
        ),
        pytest.param(
            lambda: Attention(WIDTH, 3, attn_head_dim=SIZE, dim_out=10), id="other-widths"
        ),
    ],
)
def test_a_prefix_in_what_no_small_model_has(old, kind):
    torch.manual_seed(0)
    old = shaken(old().eval().double())
    model = nn.Module()
    model.blocks = nn.Sequential(nn.Module())
    model.blocks[0].attn = old
    FedPerfix(prefix=kind, scale=0.7, bottleneck=4, prefix_length=3).graft(model)
    attention = shaken(model.double().blocks[0].attn.prefix)
    z = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1)).double()
    angles = torch.arange(4 * SIZE // 2).view(4, -1).repeat_interleave(2, dim=1).double()
    rope = torch.cat([angles.sin(), angles.cos()], dim=-1)
    given = {"rope": rope} if isinstance(old, AttentionRope) else {}
    found = model.blocks[0].attn(z, **given)
    expected = [attended(old, each, by_hand(attention, kind, 0.7), **given) for each in z]
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-9)


def test_prefix_tokens_have_no_position():
    """Turning all positions by the same angle leaves scores among tokens, not those with prefixes.

    q·k of two tokens depends on the difference of their angles alone. So without prefixes nothing
    changes; a prefix is where it was, and its score is another.
    """
    torch.manual_seed(0)
    old = AttentionRope(WIDTH, HEADS, num_prefix_tokens=0).eval().double()
    prefixed = PrefixAttention(old, TokenPrefix(3, WIDTH, 5.0)).double()
    z = torch.randn(1, 4, WIDTH, generator=torch.Generator().manual_seed(1)).double()

    def rope(turn):
        angles = turn + torch.arange(4.0).view(-1, 1).expand(-1, SIZE).double()
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    torch.testing.assert_close(old(z, rope(0.0)), old(z, rope(1.0)), rtol=0, atol=1e-9)
    shaken(prefixed.prefix)
    assert (prefixed(z, rope(0.0)) - prefixed(z, rope(1.0))).abs().max() > 1e-3


@pytest.mark.parametrize(
    "name",
    [
        "vit_dwee_patch16_reg1_gap_256",
        "vit_dpwee_patch16_reg1_gap_256",
        "vit_base_patch16_xp_224",
        "vit_base_patch16_18x2_224",
        "cait_xxs24_224",
        "xcit_nano_12_p16_224",
        "convit_tiny",
        "samvit_base_patch16_224",
    ],
)
def test_attention_that_no_prefix_fits_is_named_in_one_line(name):
    with torch.device("meta"):
        model = timm.create_model(name, depth=1)
    kind = type(getattr(model.blocks[0], "attn", model.blocks[0])).__name__
    with pytest.raises(UserError, match=rf"{kind}$"):
        FedPerfix().graft(model)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "beit_base_patch16_224"])
def test_what_is_added_to_a_projection_counts_beside_a_prefix(name):
    """Low-rank adapters sit there, even where timm passes by the layer and reads its weight."""
    model = tiny(name)
    FedPerfix(bottleneck=4).graft(model)
    model.double()
    before = model(images())
    (layer,) = projections(model.blocks[0].attn).values()
    layer.register_forward_hook(lambda _, args, y: y + 0.1 * args[0].repeat(1, 1, 3))
    assert (model(images()) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "beit_base_patch16_224"])
@pytest.mark.parametrize("kind", ["adapter", "tokens"])
def test_a_federation_trains_them_at_once_as_one_by_one(name, kind, make_federation):
    backbone = TimmBackbone(model=name, image_size=8, patch_size=4, width=16, depth=2, heads=2)
    method = FedPerfix(prefix=kind, bottleneck=4, prefix_length=3, lr=0.1)
    ground = make_federation(backbone=backbone, rounds=1)
    single, joint = (FederatedTrial(method, ground, 0, Compute(cohort=c)) for c in (1, 2))
    before = {name: t.clone() for name, t in single.server.items()}
    single.step(), joint.step()
    assert not joint.hindrances
    assert any((t - before[n]).abs().max() > 1e-3 for n, t in single.server.items())
    for n, t in single.server.items():
        torch.testing.assert_close(joint.server[n], t, rtol=0, atol=1e-5)
