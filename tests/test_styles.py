"""Colours that readers tell apart: in print, in gray, and without red, green or blue cones."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pfltune.report.styles import HUES, SLOTS, _built_in, styles_of

# Machado, Oliveira and Fernandes (2009), severity 1, of linear RGB.
BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip
# sRGB with its white of D65 (IEC 61966-2-1).
TO_XYZ = np.array([
    [0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip


def linear(colour):
    """Linear RGB of #rrggbb."""
    share = np.array(to_rgb(colour))
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB."""
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_conversion_is_the_standards():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.01)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


def test_hues_differ_in_gray_and_are_dark_enough_for_lines_on_white():
    lightness = sorted(lab(linear(hue))[0] for hue in HUES)
    assert np.diff(lightness).min() > 6.5
    assert lightness[-1] < 73


@pytest.mark.parametrize("blind", ["nobody", *BLIND])
def test_hues_differ_for_every_reader(blind):
    seen = np.array(BLIND[blind]) if blind in BLIND else np.eye(3)
    colours = [lab(seen @ linear(hue)) for hue in HUES]
    apart = min(np.linalg.norm(one - other) for one, other in combinations(colours, 2))
    assert apart > 19  # a difference of 2.3 is just noticeable


def test_up_to_nine_methods_have_nine_hues_markers_and_several_lines():
    names = [
        "fedavg",
        "fedavg_ft",
        "fedper",
        "fedrep",
        "fedperfix",
        "local",
        "pfedpg",
        "fedsa_lora",
    ]
    styles = styles_of([*names, "a stranger's"])
    assert {style.colour for style in styles.values()} == set(HUES)
    assert len({style.marker for style in styles.values()}) == 9
    assert len({style.line for style in styles.values()}) == 3


def test_no_two_are_alike_up_to_all_slots_and_more_are_styled_all_the_same():
    names = sorted(_built_in())
    styles = styles_of(names[:SLOTS])
    assert len(set(styles.values())) == SLOTS
    assert len({(style.marker, style.line) for style in styles.values()}) == SLOTS
    assert len({style.colour for style in styles.values()}) == SLOTS
    assert set(styles_of([*names, *map(str, range(40))])) == {*names, *map(str, range(40))}


def test_a_method_has_the_same_style_whatever_the_order_and_alone_its_own_hue():
    one = styles_of(["fedavg", "local", "mine"])
    assert styles_of(["mine", "local", "fedavg"]) == one
    assert styles_of(["fedavg"])["fedavg"] == one["fedavg"]
