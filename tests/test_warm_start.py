"""A warm start is trained once; what is kept is what training gives."""

import pytest
import torch

from pfltune import warm_start as module
from pfltune.data.home import data_root
from pfltune.data.images import Images
from pfltune.warm_start import WarmStart, train_warm_start, warm_start

RECIPE = WarmStart(share=0.2, epochs=2, lr=0.01, batch_size=8)


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path))


@pytest.fixture
def trained(monkeypatch):
    """How often a warm start was really trained."""
    calls = []

    def spy(*arguments):
        calls.append(arguments)
        return train_warm_start(*arguments)

    monkeypatch.setattr(module, "train_warm_start", spy)
    return calls


def given(federation, seed=0, recipe=RECIPE, brighter=0):
    data = federation.dataset
    images = Images(data.images + brighter, data.labels, federation.backbone.image_size)
    return federation.backbone, recipe, images, torch.arange(20), data.classes, seed


def test_the_second_time_the_same_weights_are_read(federation, trained, differing):
    first, second = warm_start(*given(federation)), warm_start(*given(federation))
    assert not differing(first, second)
    assert not differing(first, train_warm_start(*given(federation)))
    assert len(trained) == 1


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"recipe": RECIPE.model_copy(update={"lr": 0.02})}, {"brighter": 1}],
    ids=["seed", "recipe", "images"],
)
def test_whatever_moves_the_weights_is_part_of_the_key(change, federation, trained, differing):
    before = warm_start(*given(federation))
    after = warm_start(*given(federation, **change))
    assert len(trained) == 2
    assert differing(before, after)


def test_other_images_that_are_not_trained_on_do_not_matter(federation, trained):
    warm_start(*given(federation))
    backbone, recipe, images, indices, classes, seed = given(federation)
    pixels = images.pixels.clone()
    pixels[20:] = 0
    others = Images(pixels, images.labels, images.size)
    warm_start(backbone, recipe, others, indices, classes, seed)
    assert len(trained) == 1


def test_a_damaged_file_is_trained_anew(federation, trained, differing):
    first = warm_start(*given(federation))
    (file,) = (data_root() / "warm-starts").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert not differing(first, warm_start(*given(federation)))
    assert len(trained) == 2
