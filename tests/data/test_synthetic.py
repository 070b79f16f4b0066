"""Constant images and noise."""

import numpy as np
import pytest

from tests.data.images import error_of
from tfp_flows import data


def test_constant_images():
    images = data.load("constant", image_shape=(3, 4, 3))
    assert len(images) == 256 and images.image_shape == (3, 4, 3)
    for level, (key, image) in enumerate(zip(images.keys, images.images, strict=True)):
        assert key == str(level) and (image == level).all()
    single = data.load("constant=128", image_shape=(3, 4, 1))
    assert len(single) == 1 and (single.images == 128).all()


def test_noise_is_uniform_and_the_same_every_time():
    noise = data.load("noise", image_shape=(8, 8, 3)).images
    assert noise.shape == (1000, 8, 8, 3)
    counts = np.bincount(noise.ravel(), minlength=256)
    chi_squared = ((counts - 750) ** 2 / 750).sum()  # 255 degrees of freedom
    assert 170 < chi_squared < 350
    np.testing.assert_array_equal(noise, data.load("noise", image_shape=(8, 8, 3)).images)


@pytest.mark.parametrize("name", ["constant", "constant=7", "noise"])
def test_synthetic_sets_need_a_shape_and_have_only_a_test_split(name):
    assert f"{name}: takes the model's image shape: give `image_shape`" in error_of(name)
    message = error_of(name, "train", image_shape=(8, 8, 1))
    assert f"{name}: has only a test split, no train split" in message


@pytest.mark.parametrize("level", ["256", "-1", "", "1.5", "x", "٣"])
def test_constant_level_must_be_a_grey_level(level):
    message = error_of(f"constant={level}", image_shape=(8, 8, 1))
    assert "the grey level must be an integer 0..255" in message
