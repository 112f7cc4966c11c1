"""Personal adapters behind the MLPs, against the block written out by hand."""

import pytest
import timm
import torch
from byhand import HEAD, assert_same, two_rounds, with_a_head
from timm.models.vision_transformer import ParallelThingsBlock
from torch import nn
from torch.func import functional_call

from pfltune.errors import UserError
from pfltune.federation.roles import roles_of
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.personal_adapters import PersonalAdapters
from pfltune.randomness import isolated

WIDTH, DEPTH, M = 16, 2, 6
TENSORS = ("0.weight", "0.bias", "2.weight", "2.bias")
ADAPTERS = {f"blocks.{block}.mlp.adapter.{name}" for block in range(DEPTH) for name in TENSORS}


@pytest.fixture
def bare(federation):
    """The backbone without adapters, as every trial with seed 0 begins."""
    return federation.build_backbone(seed=0).eval()


@pytest.fixture
def grafted(federation):
    """The same backbone with adapters."""
    model = federation.build_backbone(seed=0)
    with isolated(0, "graft"):
        PersonalAdapters(bottleneck=M).graft(model)
    return model.eval()


@pytest.fixture
def shaken(grafted):
    """With adapters off their initial values: W_up begins at zero and would hide the rest."""
    rng = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in grafted.named_parameters():
            if name in ADAPTERS:
                parameter += 0.3 * torch.randn(parameter.shape, generator=rng)
    return grafted


def images(count=4):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def adapted(y, w_down, b_down, w_up, b_up):
    """y + W_up·tanh(W_down·y + b_down) + b_up for each token."""
    inner = torch.tanh(torch.einsum("bni,oi->bno", y, w_down) + b_down)
    return y + torch.einsum("bni,oi->bno", inner, w_up) + b_up


class ByHand(nn.Module):
    """A bare timm model whose blocks are x ← x + Attn(LN(x)), x ← x + adapted(MLP(LN(x)))."""

    def __init__(self, bare):
        super().__init__()
        self.bare = bare

    def forward(self, images, adapters):
        bare = self.bare
        x = bare.patch_embed(images)
        x = torch.cat([bare.cls_token.expand(len(images), -1, -1), x], dim=1) + bare.pos_embed
        for number, block in enumerate(bare.blocks):
            mine = [adapters[f"blocks.{number}.mlp.adapter.{name}"] for name in TENSORS]
            x = x + block.attn(block.norm1(x))
            x = x + adapted(block.mlp(block.norm2(x)), *mine)
        return bare.head(bare.norm(x[:, 0]))


def by_hand(bare):
    """``answer(tensors, images)`` are the logits, adapters being tensors beside the model's."""
    model = ByHand(bare.eval())

    def answer(tensors, images):
        adapters = {n: t for n, t in tensors.items() if n in ADAPTERS}
        own = {f"bare.{n}": t for n, t in tensors.items() if n not in ADAPTERS}
        return functional_call(model, own, (images, adapters))

    return answer


def test_a_block_says_what_its_formula_says(bare, shaken):
    adapters = {n: t for n, t in shaken.state_dict().items() if n in ADAPTERS}
    expected = by_hand(bare)(adapters, images())
    torch.testing.assert_close(shaken(images()), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(bare(images()), expected, rtol=0, atol=1e-3)


def test_the_model_begins_as_it_was(bare, grafted):
    """W_up and its bias are zero, so that y + 0 is left."""
    assert torch.equal(grafted(images()), bare(images()))


def test_adapters_do_not_stay_where_they_begin(grafted):
    """W_up's gradient does not pass through W_up; W_down's does, and follows a step later."""
    grafted(images()).logsumexp(dim=1).sum().backward()
    for block in grafted.blocks:
        assert block.mlp.adapter[2].weight.grad.abs().max() > 0
        assert block.mlp.adapter[2].bias.grad.abs().max() > 0
        assert block.mlp.adapter[0].weight.grad.abs().max() == 0


def test_each_block_has_an_adapter_of_its_own(shaken):
    """Changing one block's adapter leaves what the block before says, and changes the answer."""
    first, second = (block.mlp.adapter for block in shaken.blocks)
    assert not torch.equal(first[0].weight, second[0].weight)
    seen = []
    shaken.blocks[0].register_forward_hook(lambda *args: seen.append(args[2]))
    before = shaken(images())
    with torch.no_grad():
        second[2].bias += torch.arange(WIDTH)
    after = shaken(images())
    assert torch.equal(*seen)
    assert not torch.allclose(before, after, rtol=0, atol=1e-3)


@pytest.mark.parametrize("m", [1, 6, 256])
def test_an_adapter_adds_its_two_layers_to_each_block(m, federation, bare):
    """W_down (m·d) and its bias (m), W_up (d·m) and its bias (d)."""
    model = federation.build_backbone(seed=0)
    PersonalAdapters(bottleneck=m).graft(model)
    added = sum(t.numel() for n, t in model.state_dict().items() if n not in bare.state_dict())
    assert added == DEPTH * (2 * WIDTH * m + m + WIDTH)


def test_the_graft_leaves_the_weights_of_the_backbone_alone(bare, grafted, differing):
    kept = {n: t for n, t in grafted.state_dict().items() if n not in ADAPTERS}
    assert not differing(kept, bare.state_dict())


def test_personal_are_exactly_the_adapters_and_the_head(bare, grafted):
    roles = roles_of(PersonalAdapters(), grafted)
    assert set(roles.personal) == ADAPTERS | set(HEAD)
    assert set(roles.shared) == bare.state_dict().keys() - set(HEAD)
    assert roles.frozen == ()


def test_two_rounds_by_hand(make_federation):
    """θ ← θ - lr·∂loss/∂θ for adapters, head and backbone alike, 2 epochs a round.

    Adapters and head of client c stay with it; the backbone is Σ_c n_c·u_c / Σ_c n_c over the 3
    clients of the round.
    """
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2)
    trial = FederatedTrial(PersonalAdapters(bottleneck=M, lr=0.1), ground, seed=0)
    answer = by_hand(ground.build_backbone(seed=0))
    found, expected = two_rounds(trial, ADAPTERS | set(HEAD), answer, lr=0.1)
    moved = [t.abs().max() for n, t in found.items() if n.endswith("adapter.2.weight")]
    assert len(moved) == 4 * DEPTH
    assert max(moved) > 0.001, "W_up hardly left zero"
    assert_same(found, expected, atol=1e-5)


def test_no_adapter_travels(run_trial):
    trial = run_trial(PersonalAdapters(bottleneck=M), rounds=1).trial
    assert not [name for name in trial.server if "adapter" in name or name in HEAD]


# Backbones without a place for adapters


def test_blocks_without_an_mlp_are_refused():
    """As in timm's vit_small_patch16_18x2_224, whose blocks hold two MLPs side by side."""
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=8,
        patch_size=4,
        embed_dim=WIDTH,
        depth=1,
        num_heads=2,
        block_fn=ParallelThingsBlock,
    )
    with pytest.raises(UserError, match=r"MLP with fc2 in every block; blocks\.0 has none"):
        PersonalAdapters().graft(model)


@pytest.mark.parametrize("strange", [nn.Identity(), nn.Sequential(nn.Linear(WIDTH, WIDTH))])
def test_an_mlp_of_another_kind_is_refused_by_the_name_of_its_block(strange, bare):
    bare.blocks[1].mlp = strange
    with pytest.raises(UserError, match=r"MLP with fc2 in every block; blocks\.1 has none"):
        PersonalAdapters().graft(bare)


def test_a_model_without_blocks_is_refused():
    with pytest.raises(UserError, match="Sequential has no plain list of blocks"):
        PersonalAdapters().graft(nn.Sequential(nn.Linear(4, 3)))
