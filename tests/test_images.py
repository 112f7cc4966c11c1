"""From uint8 in memory to what the model reads, against figures worked out by hand."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from pfltune.data.images import Images, Preprocessing
from pfltune.randomness import isolated


def images(pixels, size=None, **settings):
    labels = torch.arange(len(pixels))
    return Images(pixels, labels, size or pixels.shape[-1], Preprocessing(**settings))


def gray(*values, side=2):
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, side, side)


def test_half_maps_bytes_onto_minus_one_to_one():
    x, y = images(gray(0, 51, 255)).batch(torch.tensor([2, 0, 1]))
    torch.testing.assert_close(x[:, 0, 0, 0], torch.tensor([1.0, -1.0, -0.6]))
    assert y.tolist() == [2, 0, 1]


def test_imagenet_subtracts_its_means_and_divides_by_its_deviations():
    """(1 - 0.485) / 0.229 = 2.2489, (1 - 0.456) / 0.224 = 2.4286, (1 - 0.406) / 0.225 = 2.64."""
    x, _ = images(gray(255), rgb=True, normalise="imagenet").batch(torch.tensor([0]))
    torch.testing.assert_close(
        x[0, :, 0, 0], torch.tensor([2.2489, 2.4286, 2.64]), rtol=0, atol=1e-4
    )


def test_gray_images_become_rgb_in_the_batch_not_in_memory():
    held = images(gray(7, 9), rgb=True)
    x, _ = held.batch(torch.tensor([0, 1]))
    assert x.shape == (2, 3, 2, 2)
    assert (x == x[:, :1]).all()
    assert held.pixels.shape == (2, 1, 2, 2)


def test_colour_images_stay_as_they_are_where_rgb_is_asked_for():
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    plain, rgb = (images(pixels, rgb=flag).batch(torch.tensor([0, 1]))[0] for flag in (False, True))
    assert torch.equal(plain, rgb)


@pytest.mark.parametrize("size", [3, 16])
def test_batches_are_resized_as_torchvision_does(size):
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    x, _ = images(pixels, size).batch(torch.tensor([0, 1]))
    expected = reference.resize(pixels.float() / 127.5 - 1, [size, size], antialias=True)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-5)


def training_batch(seed, pixels, **settings):
    with isolated(seed, "test"):
        return images(pixels, **settings).batch(torch.arange(len(pixels)), training=True)[0]


@pytest.mark.parametrize("kind", ["crop", "flip", "randaugment"])
def test_augmentation_changes_training_batches_only_and_by_the_seed(kind):
    pixels = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    still, _ = images(pixels, augment=(kind,)).batch(torch.arange(16))
    assert torch.equal(still, images(pixels).batch(torch.arange(16))[0])
    draws = [training_batch(seed, pixels, augment=(kind,)) for seed in range(6)]
    assert torch.equal(draws[0], training_batch(0, pixels, augment=(kind,)))
    assert any(not torch.equal(draw, still) for draw in draws)
    assert any(not torch.equal(draw, draws[0]) for draw in draws)


def test_every_flipped_image_is_its_own_mirror_or_itself():
    pixels = torch.randint(0, 256, (64, 1, 4, 4), dtype=torch.uint8)
    x = training_batch(0, pixels, augment=("flip",))
    plain = images(pixels).batch(torch.arange(64))[0]
    same = (x == plain).flatten(1).all(1)
    mirrored = (x == plain.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 20 < same.sum() < 44


def test_every_crop_is_a_window_of_the_padded_image():
    """Of an image with its own value at every place, the crop's inner pixel tells its offset."""
    pixels = torch.arange(1, 37, dtype=torch.uint8).view(1, 1, 6, 6).expand(50, 1, 6, 6)
    x = (training_batch(1, pixels, augment=("crop",), crop_padding=2) + 1) * 127.5
    padded = torch.nn.functional.pad(pixels[0, 0].float(), [2] * 4)
    windows = {
        (top, left): padded[top : top + 6, left : left + 6] for top in range(5) for left in range(5)
    }
    found = [
        place
        for crop in x[:, 0]
        for place, window in windows.items()
        if torch.allclose(crop, window, atol=1e-3)
    ]
    assert len(found) == 50
    assert len(set(found)) > 12, "the offsets hardly vary"
