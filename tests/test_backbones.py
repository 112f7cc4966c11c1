"""Where start weights come from, and what is said when they cannot be had."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from pfltune.backbones import TimmBackbone
from pfltune.errors import UserError
from pfltune.federation.federation import Federation
from pfltune.settings import validated

SIZES = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}


def backbone(weights="random", **sizes):
    return TimmBackbone(model="vit_tiny_patch16_224", weights=str(weights), **{**SIZES, **sizes})


@pytest.fixture
def file(tmp_path):
    """Weights of the small ViT with 5 classes and 3 channels, as a .safetensors file."""
    path = tmp_path / "weights.safetensors"
    save_file(backbone().build(5, 3, seed=7).state_dict(), path)
    return path


def test_random_weights_depend_on_the_seed_alone():
    one, same, other = (backbone().build(5, 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert backbone().stored_weights(5, 3) is None


def test_a_file_for_the_same_classes_is_taken_whole(file):
    found = backbone(file).stored_weights(5, 3)
    stored = load_file(file)
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], stored[name]) for name in stored)


def test_a_head_for_other_classes_is_left_to_the_seed(file):
    found = backbone(file).stored_weights(9, 3)
    assert found.keys() == load_file(file).keys() - {"head.weight", "head.bias"}


def test_a_file_without_a_head_gives_the_body(tmp_path):
    body = {n: t for n, t in backbone().build(5, 3, 7).state_dict().items() if "head" not in n}
    save_file(body, tmp_path / "body.safetensors")
    found = backbone(tmp_path / "body.safetensors").stored_weights(5, 3)
    assert all(torch.equal(found[name], tensor) for name, tensor in body.items())
    assert found.keys() == body.keys()


def test_position_embeddings_are_resampled_for_another_image_size(file):
    found = backbone(file, image_size=24).stored_weights(5, 3)
    assert found["pos_embed"].shape == (1, 1 + 6 * 6, 16)
    stored = load_file(file)["pos_embed"]
    torch.testing.assert_close(found["pos_embed"][:, 0], stored[:, 0])
    grid = found["pos_embed"][:, 1:]
    assert (grid.mean(1) - stored[:, 1:].mean(1)).abs().max() < 0.01


def test_the_first_layer_adapts_to_gray_images(file):
    """timm adds the weights of the three colours: a gray image says the same in all."""
    found = backbone(file).stored_weights(5, 1)["patch_embed.proj.weight"]
    expected = load_file(file)["patch_embed.proj.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(found, expected)


def test_every_seed_starts_from_the_files_body_with_a_head_of_its_own(file, federation):
    small = backbone(file, image_size=8)
    weights = small.stored_weights(3, 1)
    ground = Federation(federation.dataset, federation.clients, small, weights, federation.protocol)
    one, other = (ground.build_backbone(seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(one[name], weights[name]) for name in weights)
    assert all(torch.equal(other[name], weights[name]) for name in weights)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def refusal(act):
    with pytest.raises(UserError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_depth_is_refused_by_name(file):
    message = refusal(lambda: backbone(file, depth=3).stored_weights(5, 3))
    assert str(file) in message
    assert "blocks.2" in message


def test_a_file_of_another_width_is_refused(file):
    message = refusal(lambda: backbone(file, width=32).stored_weights(5, 3))
    assert str(file) in message
    assert "size mismatch" in message


def test_a_missing_file_is_named(tmp_path):
    missing = tmp_path / "no.safetensors"
    assert str(missing) in refusal(lambda: backbone(missing).stored_weights(5, 3))


def test_a_file_that_is_none_is_refused(tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"PK\x03\x04 a pickle in a zip")
    assert str(broken) in refusal(lambda: backbone(broken).stored_weights(5, 3))


def test_weights_that_would_be_unpickled_are_not_possible():
    message = refusal(lambda: validated(TimmBackbone, {"weights": "model.pth"}, "backbone"))
    assert "model.pth" in message
    assert "FILE.safetensors" in message


def test_pretrained_weights_that_cannot_be_had_are_one_line(monkeypatch):
    create = timm.create_model

    def offline(*names, pretrained=False, **options):
        if pretrained:
            raise OSError("no network")
        return create(*names, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    message = refusal(lambda: backbone("pretrained").stored_weights(5, 3))
    assert "vit_tiny_patch16_224" in message
    assert "FILE.safetensors" in message


@pytest.mark.parametrize(
    "model",
    ["vit_small_patch16_224.dino", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224"],
)
def test_relatives_of_the_vit_are_known(model):
    bare = TimmBackbone(model=model, image_size=32, depth=1).build(4, 3, seed=0).eval()
    assert bare(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize(
    ("name", "near"), [("vit_smal_patch16_224", "vit_small_patch16_224"), ("resnet18", "vit_")]
)
def test_an_unknown_architecture_is_refused_with_the_nearest(name, near):
    message = refusal(lambda: TimmBackbone(model=name).build(4, 3, seed=0))
    assert name in message
    assert near in message


def test_an_unknown_tag_names_the_tags():
    message = refusal(lambda: TimmBackbone(model="vit_small_patch16_224.dinoo").build(4, 3, seed=0))
    assert "did you mean 'vit_small_patch16_224.dino'" in message


@pytest.mark.parametrize("form", ["hf-hub:timm/{}", "hf_hub:timm/{}", "timm/{}"])
def test_a_name_as_the_hubs_pages_print_it_is_timms(form):
    name = "vit_small_patch16_224.dino"
    assert TimmBackbone(model=form.format(name)) == TimmBackbone(model=name)


def test_of_hundreds_of_names_three_near_ones_are_told():
    message = refusal(lambda: TimmBackbone(model="vit_tiny_patch61_224").build(4, 3, seed=0))
    assert message.count("vit_") == 5, "the wrong one, the nearest, and three to choose from"
    assert len(message) < 250


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "cait_xxs24_224", "efficientvit_m0"])
def test_an_image_smaller_than_a_patch_is_one_line(model):
    message = refusal(lambda: TimmBackbone(model=model, image_size=8).build(4, 1, seed=0))
    assert model in message
    assert "size=8" in message
