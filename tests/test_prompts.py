"""Visual prompts: FedVPT, FedVPT-D, Local-VPT and personal prompts."""

import math

import pytest
import timm
import torch
from byhand import HEAD, assert_same, prompted, two_rounds, with_a_head

from pfltune.errors import UserError
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedvpt import FedVPT
from pfltune.methods.fedvpt_deep import FedVPTDeep
from pfltune.methods.fedzo import FedZO
from pfltune.methods.local_vpt import LocalVPT
from pfltune.methods.personal_prompts import PersonalPrompts
from pfltune.methods.pfedpg import PFedPG
from pfltune.randomness import isolated

K, WIDTH = 3, 16
FIRST, SECOND = "blocks.0.prompts", "blocks.1.prompts"
SHALLOW, DEEP = (FedVPT, LocalVPT, PFedPG, FedZO), (FedVPTDeep, PersonalPrompts)

shallow_methods = pytest.mark.parametrize("method", SHALLOW, ids=lambda m: m.__name__)
deep_methods = pytest.mark.parametrize("method", DEEP, ids=lambda m: m.__name__)
every_method = pytest.mark.parametrize("method", SHALLOW + DEEP, ids=lambda m: m.__name__)


@pytest.fixture
def bare(federation):
    """The backbone without prompts, as every trial with seed 0 begins."""
    return federation.build_backbone(seed=0).eval()


@pytest.fixture
def grafted(federation):
    """``grafted(method)``: the same backbone with the method's prompts."""

    def build(method):
        model = federation.build_backbone(seed=0)
        with isolated(0, "graft"):
            method.graft(model)
        return model.eval()

    return build


def images(count=4):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def read_by_blocks(model):
    """What each block's attention and MLP work on, for some images."""
    seen = []
    hooks = [
        block.norm1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        for block in model.blocks
    ]
    model(images())
    for hook in hooks:
        hook.remove()
    return seen


# What the blocks read


@shallow_methods
def test_prompts_go_through_all_blocks_as_tokens_do(method, bare, grafted):
    """Shallow: [cls, P, patches] through all blocks, against tokens put together by hand."""
    options = {"precision": "float"} if method is FedZO else {}
    model = grafted(method(prompts=K, **options))
    expected = prompted(bare)({FIRST: model.blocks[0].prompts}, images())
    torch.testing.assert_close(model(images()), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(bare(images()), expected, rtol=0, atol=1e-4)


@deep_methods
def test_deep_prompts_of_a_block_replace_those_of_the_block_before(method, bare, grafted):
    """Deep: block i reads [cls, P_i, patches], the cls and patches being what block i-1 said."""
    model = grafted(method(prompts=K))
    deep = {FIRST: model.blocks[0].prompts, SECOND: model.blocks[1].prompts}
    expected = prompted(bare)(deep, images())
    torch.testing.assert_close(model(images()), expected, rtol=0, atol=1e-6)
    shallow = prompted(bare)({FIRST: model.blocks[0].prompts}, images())
    assert not torch.allclose(shallow, expected, rtol=0, atol=1e-4)


@every_method
def test_prompts_stand_between_class_token_and_patches(method, bare, grafted):
    """Blocks do not care for the order of tokens, but whoever reads cls by its place does."""
    without = read_by_blocks(bare)[0]
    model = grafted(method(prompts=K))
    prompts = model.blocks[0].prompts.expand(4, -1, -1)
    expected = torch.cat([without[:, :1], prompts, without[:, 1:]], dim=1)
    assert torch.equal(read_by_blocks(model)[0], expected)


@deep_methods
def test_each_block_reads_as_many_tokens_as_the_first(method, grafted):
    """1 class token, K prompts and 4 patches: replaced prompts do not pile up."""
    model = grafted(method(prompts=K))
    second = read_by_blocks(model)[1]
    assert second.shape == (4, 1 + K + 4, WIDTH)
    assert torch.equal(second[:, 1 : 1 + K], model.blocks[1].prompts.expand(4, -1, -1))


def test_registers_stay_behind_the_class_token():
    """timm's num_prefix_tokens counts class token and registers; prompts stand behind both."""
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=8,
        patch_size=4,
        in_chans=1,
        embed_dim=WIDTH,
        depth=2,
        num_heads=2,
        reg_tokens=2,
    ).eval()
    without = read_by_blocks(model)[0]
    FedVPTDeep(prompts=K).graft(model)
    first, second = read_by_blocks(model)
    prompts = model.blocks[0].prompts.expand(4, -1, -1)
    assert torch.equal(first, torch.cat([without[:, :3], prompts, without[:, 3:]], dim=1))
    assert second.shape == first.shape
    assert torch.equal(second[:, 3 : 3 + K], model.blocks[1].prompts.expand(4, -1, -1))


# How prompts begin


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", [FedVPT, FedVPTDeep], ids=["shallow", "deep"])
def test_prompts_begin_uniform_as_visual_prompt_tuning_has_them(method, channels, federation):
    """Uniform in ±√(6 / (numbers in a patch + l)), here ±√(6 / (4·4·channels + 16)).

    Of 400·16 numbers the largest is above 99 % of the bound but for a chance of .99^6400; their
    standard deviation is bound/√3.
    """
    model = federation.backbone.build(classes=3, channels=channels, seed=0)
    with isolated(0, "graft"):
        method(prompts=400).graft(model)
    bound = math.sqrt(6 / (16 * channels + WIDTH))
    prompts = [block.prompts.detach() for block in model.blocks if hasattr(block, "prompts")]
    assert len(prompts) == (2 if method.deep else 1)
    for values in prompts:
        assert values.shape == (400, WIDTH)
        assert 0.99 * bound < values.max() <= bound
        assert -bound <= values.min() < -0.99 * bound
        assert abs(values.mean()) < 0.02 * bound
        assert abs(values.std() / bound - 1 / math.sqrt(3)) < 0.02


@deep_methods
def test_prompts_of_two_blocks_begin_differently(method, grafted):
    first, second = (block.prompts for block in grafted(method()).blocks)
    assert not torch.equal(first, second)


# Roles, and what travels


ROLES = {
    FedVPT: ({FIRST}, set(HEAD)),
    FedVPTDeep: ({FIRST, SECOND}, set(HEAD)),
    LocalVPT: (set(), {FIRST, *HEAD}),
}
frozen_backbones = pytest.mark.parametrize("method", ROLES, ids=lambda m: m.__name__)


@frozen_backbones
def test_all_but_prompts_and_head_is_frozen(method, federation, bare):
    shared, personal = ROLES[method]
    roles = FederatedTrial(method(), federation, seed=0).roles
    assert set(roles.shared) == shared
    assert set(roles.personal) == personal
    assert set(roles.frozen) == bare.state_dict().keys() - set(HEAD)


def test_personal_prompts_share_the_whole_backbone(federation, bare):
    roles = FederatedTrial(PersonalPrompts(), federation, seed=0).roles
    assert set(roles.personal) == {FIRST, SECOND, *HEAD}
    assert set(roles.shared) == bare.state_dict().keys() - set(HEAD)
    assert roles.frozen == ()


FLOATS = [(FedVPT, K * WIDTH), (FedVPTDeep, 2 * K * WIDTH), (LocalVPT, 0)]


@pytest.mark.parametrize(("method", "floats"), FLOATS, ids=lambda x: getattr(x, "__name__", x))
def test_what_travels_are_the_prompts_alone(method, floats, federation):
    """Each way and client K·l floats; one such for each of the 2 blocks; none at all.

    safetensors writes 4 bytes a float behind a header, of less than 100 bytes for each name.
    """
    uploads = []

    class Noting(method):
        def aggregate(self, server, updates, work):
            uploads.extend(list(updates))
            return super().aggregate(server, iter(uploads), work)

    trial = FederatedTrial(Noting(prompts=K), federation, seed=0)
    metrics = trial.step().metrics
    assert [sum(t.numel() for t in u.upload.values()) for u in uploads] == [floats, floats]
    assert trial.footprint()["params/shared"] == floats
    names = 2 if method.deep else 1
    for way in ("up", "down"):
        sent = metrics[f"comm/{way}_mb_per_round"] * 1e6 / 2
        assert 4 * floats <= sent <= (4 * floats + 100 * names if floats else 0)


# Two rounds


@frozen_backbones
def test_two_rounds_on_a_frozen_backbone(method, make_federation):
    """Prompts P and head h of client c, for each batch of each of its 2 epochs in both rounds:

    P ← P - lr·(∂loss/∂P + decay·P), h ← h - lr·(∂loss/∂h + decay·h), the backbone staying as it is.
    FedVPT: then P ← Σ_c n_c·P_c / Σ_c n_c on the server, over the 3 clients of the round, and the
    next round begins from there; h_c stays. Local-VPT: P_c stays, too.
    """
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2)
    trial = FederatedTrial(method(prompts=K, lr=0.25, weight_decay=0.05), ground, seed=0)
    answer = prompted(ground.build_backbone(seed=0))
    assert_same(*two_rounds(trial, ROLES[method][1], answer, lr=0.25, decay=0.05), atol=1e-5)


def test_two_rounds_of_personal_prompts(make_federation):
    """θ ← θ - lr·∂loss/∂θ for prompts, head and backbone alike; only the backbone is averaged."""
    ground = with_a_head(make_federation, sampled_clients=3, local_epochs=2)
    trial = FederatedTrial(PersonalPrompts(prompts=K, lr=0.1), ground, seed=0)
    bare, personal = ground.build_backbone(seed=0), {FIRST, SECOND, *HEAD}
    found, expected = two_rounds(trial, personal, prompted(bare), lr=0.1)
    assert len([name for name in found if name.startswith("server/")]) == len(bare.state_dict()) - 2
    assert_same(found, expected, atol=1e-5)


@pytest.mark.parametrize("method", [LocalVPT, PersonalPrompts], ids=lambda m: m.__name__)
def test_personal_prompts_of_the_clients_grow_apart(method, run_trial, make_federation):
    everybody = make_federation(sampled_clients=4)
    trial = run_trial(method(lr=0.1), everybody, rounds=2).trial
    prompts = [personal[FIRST] for personal in trial.personal]
    gaps = [(a - b).abs().max() for i, a in enumerate(prompts) for b in prompts[:i]]
    assert min(gaps) > 1e-4


# Backbones without a place for prompts


@every_method
@pytest.mark.parametrize("options", [{}, {"class_token": False}], ids=["with-cls", "without-cls"])
def test_prompts_are_refused_where_patches_are_averaged(options, method):
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=8,
        patch_size=4,
        embed_dim=16,
        depth=1,
        num_heads=2,
        global_pool="avg",
        **options,
    )
    with pytest.raises(UserError, match=r"class token.*avg"):
        method().graft(model)


@every_method
def test_prompts_are_refused_where_there_is_no_place_for_them(method):
    """timm's convit_tiny pools a class token, but has no place behind its position embedding."""
    model = timm.create_model("convit_tiny", img_size=32, depth=1)
    with pytest.raises(UserError, match=r"prompts need.*class token"):
        method().graft(model)


@every_method
def test_prompts_are_refused_where_there_are_no_tokens_at_all(method):
    with pytest.raises(UserError, match=r"prompts need.*Sequential"):
        method().graft(torch.nn.Sequential(torch.nn.Linear(4, 3)))
