"""Colours: seen on both grounds, and told apart with any colour vision."""

import itertools

import numpy as np
import pytest

from tfp_flows.pages import palette

# Machado, Oliveira and Fernandes 2009: linear RGB as it is seen without one kind of cone.
SEEN = {
    "all": np.eye(3),
    "without green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "without red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def _lab(colour, vision):
    """CIE L*a*b* of a colour as it is seen."""
    parts = np.array(palette.parse(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(SEEN[vision]) @ linear, 0, 1)
    f = np.array(XYZ) @ linear / [0.9505, 1, 1.089]
    f = np.where(f > 0.008856, np.cbrt(f), 7.787 * f + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_contrast_is_that_of_wcag():
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)
    assert palette.contrast("#ff0000", "#ffffff") == pytest.approx(3.998, abs=1e-3)


@pytest.mark.parametrize("theme", [palette.LIGHT, palette.DARK])
def test_words_can_be_read_on_the_page_and_in_boxes(theme):
    for ground in (theme.ground, theme.panel):
        for words in (theme.ink, theme.soft, theme.own, theme.right, theme.wrong):
            assert palette.contrast(words, ground) >= 4.5


@pytest.mark.parametrize("vision", SEEN)
@pytest.mark.parametrize("colours", [palette.ON_LIGHT, palette.ON_DARK])
def test_sets_are_told_apart_with_any_colour_vision(colours, vision):
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(_lab(one, vision) - _lab(other, vision)) > 11, (one, other)


def test_sets_are_seen_on_their_ground():
    for light, dark in zip(palette.ON_LIGHT, palette.ON_DARK, strict=True):
        assert palette.contrast(light, palette.LIGHT.ground) >= 3
        assert palette.contrast(dark, palette.DARK.ground) >= 4.5
        assert palette.on_dark(light) == dark.lower()
        tone = palette.tone(light)
        assert palette.contrast(palette.on_dark(tone), palette.DARK.ground) >= 3
        for words in (palette.words(light), palette.words(tone)):
            assert palette.contrast(words, palette.LIGHT.ground) >= 4.5
            assert palette.contrast(palette.on_dark(words), palette.DARK.ground) >= 4.5


def test_own_data_have_one_colour_on_the_page_and_in_pictures():
    assert palette.ON_LIGHT[0].lower() == palette.LIGHT.own
    assert palette.ON_DARK[0].lower() == palette.DARK.own == palette.on_dark(palette.LIGHT.own)


def test_any_other_colour_is_seen_on_dark_ground():
    for parts in itertools.product((0, 0.2, 0.5, 0.8), repeat=3):
        found = palette.on_dark(palette.text(parts))
        if max(parts) - min(parts) > 0.02:
            assert palette.contrast(found, palette.DARK.ground) >= 3
    assert palette.on_dark("#000000") == palette.DARK.ink, "greys are mirrored"
