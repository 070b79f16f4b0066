"""A network that learns from own images finds what was pasted into others of them."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.detectors.models import DIGITS, HELD_OUT, SHAPE
from tfp_flows import data, detectors
from tfp_flows.detectors import foreign_patches, pasting, patch_network, patch_sources

TINY = dict(num_steps=300, width=8, batch_images=16)


def waves(count, seed):
    """Images uint8 `[N, 16, 16, 1]` of slow plane waves, each of one direction: a texture to belong to."""
    rng = np.random.default_rng(seed)
    angle, phase = rng.uniform(0, np.pi, [count, 1, 1]), rng.uniform(0, 2 * np.pi, [count, 1, 1])
    row, column = np.mgrid[:16, :16]
    values = np.sin(0.9 * (row * np.cos(angle) + column * np.sin(angle)) + phase)
    return np.rint(127.5 + 100 * values)[..., np.newaxis].astype(np.uint8)


def planted(images, seed):
    """(images with a piece of 6 x 7 pixels of the next one, masks)."""
    rng = np.random.default_rng(seed)
    found, masks = images.copy(), np.zeros(images.shape[:3], bool)
    for i, (row, column) in enumerate(rng.integers(0, [11, 10], [len(images), 2])):
        place = np.s_[i, row : row + 6, column : column + 7]
        found[place] = images[(i + 1) % len(images), 5:11, 4:11]
        masks[place] = True
    return found, masks


def auroc(values, positive):
    ranks, count = scipy.stats.rankdata(values), positive.sum()
    return (ranks[positive.ravel()].sum() - count * (count + 1) / 2) / (count * (positive.size - count))


@pytest.fixture(scope="module")
def fitted():
    return detectors.ForeignPatches((16, 16, 1), **TINY).fit(waves(200, 0))


def test_the_map_finds_a_piece_of_another_image(fitted):
    images = waves(60, 1)
    found, masks = planted(images, 2)
    maps = fitted.score_map(found)
    assert auroc(maps, masks) > 0.9
    scores = np.concatenate([fitted.score(images), fitted.score(found)])
    assert auroc(scores, np.arange(120) >= 60) > 0.7
    untrained = detectors.ForeignPatches((16, 16, 1), **(TINY | {"num_steps": 1})).fit(waves(200, 0))
    assert auroc(untrained.score_map(found), masks) < 0.8


def test_the_score_is_the_mean_of_the_map_where_it_is_highest(fitted):
    images = planted(waves(20, 3), 4)[0]
    by_pixel = fitted.score_map(images).reshape(20, -1).astype(np.float64)
    weights = np.exp(by_pixel) / np.exp(by_pixel).sum(1, keepdims=True)
    expected = (weights * by_pixel).sum(1)
    score = fitted.score(images)
    np.testing.assert_allclose(score - score[0], expected - expected[0], atol=1e-4)
    assert np.median(fitted.score(waves(200, 0))) == pytest.approx(0, abs=1e-5)


def test_it_repeats_itself_and_goes_to_disk_and_back(tmp_path):
    settings = dict(num_steps=3, width=4, batch_images=8)
    one = detectors.ForeignPatches(SHAPE, **settings).fit(DIGITS[:50])
    again = detectors.ForeignPatches(SHAPE, **settings).fit(DIGITS[:50])
    np.testing.assert_array_equal(one.score_map(HELD_OUT[:9]), again.score_map(HELD_OUT[:9]))
    other = detectors.ForeignPatches(SHAPE, **settings, seed=1).fit(DIGITS[:50])
    assert (one.score_map(HELD_OUT[:9]) != other.score_map(HELD_OUT[:9])).any()
    assert one.maps.scale is not None
    one.save(tmp_path / "d")
    loaded = detectors.load(tmp_path / "d")
    np.testing.assert_allclose(loaded.score_map(HELD_OUT[:9]), one.score_map(HELD_OUT[:9]), atol=1e-5)
    assert loaded.maps.scale == one.maps.scale
    loaded.fitted[foreign_patches.WEIGHTS] = np.zeros(7, np.float32)
    broken = detectors.ForeignPatches(SHAPE, **settings)
    broken.fitted = loaded.fitted
    with pytest.raises(detectors.DetectorError, match=r"the network has [\d,]+ weights, not \[7\]"):
        broken.score(HELD_OUT[:1])
    with pytest.raises(detectors.DetectorError, match="`num_steps` must be a positive integer, got 0"):
        detectors.ForeignPatches(SHAPE, num_steps=0)


def test_a_large_image_is_learnt_from_windows():
    """Sides above 64 pixels: the network that was trained on windows reads the whole image."""
    images = np.random.default_rng(0).integers(0, 256, [4, 67, 90, 1]).astype(np.uint8)
    detector = detectors.ForeignPatches((67, 90, 1), num_steps=1, width=2, batch_images=2).fit(images)
    assert detector.score_map(images[:1]).shape == (1, 67, 90)
    network = patch_network.make_network((67, 90, 1), 2, seed=0)
    assert network.count_params() == patch_network.make_network((64, 64, 1), 2, seed=0).count_params()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (7, 28, 3)])
def test_every_shape_has_a_network_and_patches(shape):
    images = np.random.default_rng(0).integers(0, 256, [12, *shape]).astype(np.uint8)
    network = patch_network.make_network(shape, 2, seed=0)
    assert network(tf.zeros([2, *shape])).shape == (2, *shape[:2])
    found, labels = pasting.pasted(images, images[::-1], np.random.default_rng(0))
    assert found.shape == images.shape and found.dtype == np.uint8
    assert labels.shape == images.shape[:3] and labels.dtype == np.float32


def test_what_is_pasted_is_where_the_labels_say():
    images = data.load("photos", "validation", max_images=200).images
    found, labels = pasting.pasted(images, images[::-1], np.random.default_rng(0))
    changed = (found != images).any(-1)
    with_patch = labels.max((1, 2)) > 0
    assert not (changed & (labels == 0))[with_patch].any(), "changed outside its patch"
    assert 0.7 < with_patch.mean() < 0.97  # a tenth is untouched; dark patches in dark places do not count
    assert changed[labels > 0.5].mean() > 0.85
    shift = abs(found.astype(int) - images)[~with_patch].mean((1, 2, 3))
    assert (shift < pasting.VISIBLE).all(), "an untouched image has changed"
    whole = (labels > 0).all((1, 2))
    assert 0.01 < whole.mean() < 0.1


def test_a_patch_comes_from_one_place_of_its_source():
    """Of other images, unaltered: what is in a box is a box of the other image, whichever way round."""
    height = width = 8
    ramp = np.arange(64, dtype=np.float32).reshape(1, height, width, 1)
    boxes = np.tile([[2, 1, 6, 4]], [200, 1])
    moved = patch_sources._moved(np.tile(ramp, [200, 1, 1, 1]), boxes, np.random.default_rng(0))
    steps = moved[:, 2:6, 1:4, 0]
    down, along = np.diff(steps, axis=1), np.diff(steps, axis=2)
    straight = (abs(down) == 8).all((1, 2)) & (abs(along) == 1).all((1, 2))
    turned = (abs(down) == 1).all((1, 2)) & (abs(along) == 8).all((1, 2))
    assert 0.4 < straight.mean() < 0.75 and 0.1 < turned.mean() < 0.3
    assert len({tuple(x.ravel()) for x in steps}) > 60


def test_a_membrane_goes_over_into_what_is_around():
    """Of a constant it is that constant; of a plane nearly that plane, as Laplace's equation has it."""
    masks = np.zeros([1, 24, 24], np.float32)
    masks[:, 7:16, 6:18] = 1.0
    row, column = np.mgrid[:24, :24].astype(np.float32)
    plane = (3.0 * row - 2.0 * column)[None, ..., None]
    found = pasting.membrane(np.concatenate([plane, 0 * plane + 5], axis=-1), masks)
    inside = masks[0] > 0
    np.testing.assert_allclose(found[0, inside, 1], 5.0, atol=1e-3)
    assert abs(found[0, inside, 0] - plane[0, inside, 0]).max() < 0.15 * np.ptp(plane[0, inside, 0])
