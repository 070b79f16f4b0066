"""Outliers that training makes of its own images."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, runs, training
from tfp_flows.numerics import Seed
from tfp_flows.training import config, objective, outlier_kinds, outliers

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, [6, 8, 12, 3]).astype(np.uint8)
SQUARE = RNG.integers(0, 256, [40, 8, 8, 1]).astype(np.uint8)
SEED = Seed.of(3)


def _make(kind, images=IMAGES, seed=SEED):
    made = outlier_kinds.KINDS[kind](tf.constant(images), seed).numpy()
    assert made.dtype == np.uint8 and made.shape == images.shape
    return made


def _sorted_pixels(images):
    return np.sort(images.reshape(len(images), -1, images.shape[-1]).astype(int) @ [1, 256, 65536], axis=1)


def test_the_names_that_flags_know_are_those_that_are_made():
    assert tuple(outlier_kinds.KINDS) == config.OUTLIER_KINDS


@pytest.mark.parametrize("kind", outlier_kinds.KINDS)
def test_an_outlier_is_of_its_own_image_and_seed_alone(kind):
    """In any parts of a batch; so on any number of devices."""
    whole = _make(kind)
    assert (whole != IMAGES).any(axis=(1, 2, 3)).all()
    parts = [_make(kind, IMAGES[2 * i : 2 * i + 2], SEED.part(i, 3)) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    fixed = kind in ("inverted", "outlined", "blended") or kind == "turned"  # by 180 where not square
    assert (_make(kind, seed=Seed.of(4)) == whole).all() == fixed


@pytest.mark.parametrize("kind", ["shuffled", "permuted", "turned"])
def test_what_moves_pixels_keeps_all_of_them(kind):
    np.testing.assert_array_equal(_sorted_pixels(_make(kind)), _sorted_pixels(IMAGES))


def test_cells_are_shuffled_whole():
    """8 x 12 pixels are 4 x 4 cells of 2 x 3."""
    for before, after in zip(IMAGES, _make("shuffled"), strict=True):
        cells = [
            [image[2 * i : 2 * i + 2, 3 * j : 3 * j + 3].tobytes() for i in range(4) for j in range(4)]
            for image in (before, after)
        ]
        assert sorted(cells[0]) == sorted(cells[1]) and cells[0] != cells[1]
    assert [outlier_kinds._cells(side) for side in (28, 32, 7, 1, 9)] == [4, 4, 1, 1, 3]


def test_a_square_is_turned_by_each_angle():
    seen = set()
    for before, after in zip(SQUARE, _make("turned", SQUARE), strict=True):
        (angle,) = (k for k in range(4) if (np.rot90(before, k) == after).all())
        seen.add(angle)
    assert seen == {1, 2, 3}


def test_grey_levels_are_changed_as_said():
    np.testing.assert_array_equal(_make("inverted").astype(int), 255 - IMAGES.astype(int))
    blended = np.rint((IMAGES.astype(float) + IMAGES[:, ::-1, ::-1]) / 2)
    np.testing.assert_array_equal(_make("blended"), blended)
    for before, after in zip(IMAGES, _make("binarized"), strict=True):
        assert set(np.unique(after)) == {0, 255} and before[after == 255].min() > before[after == 0].max()
    for before, after in zip(IMAGES.astype(float), _make("faded"), strict=True):
        mean = before.mean(axis=(0, 1))
        factor = np.sum((after - mean) * (before - mean)) / np.sum((before - mean) ** 2)
        assert 0 <= factor < 0.76
        np.testing.assert_allclose(after, mean + factor * (before - mean), atol=0.6)


def test_outlines_are_the_range_of_the_neighbours():
    expected = np.empty_like(IMAGES)
    for n, i, j, c in np.ndindex(IMAGES.shape):
        near = IMAGES[n, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, c]
        expected[n, i, j, c] = near.max() - near.min()
    np.testing.assert_array_equal(_make("outlined"), expected)


def test_the_blur_is_a_normalised_gaussian():
    values, sigma = RNG.uniform(0, 255, [2, 5, 4, 2]).astype(np.float32), np.float32([0.7, 2.5])
    expected = np.zeros(values.shape)
    for n, i, j in np.ndindex(2, 5, 4):
        squares = (i - np.arange(5)[:, None]) ** 2 + (j - np.arange(4)) ** 2
        weights = np.exp(-squares / 2 / sigma[n] ** 2)
        expected[n, i, j] = np.einsum("kl,klc->c", weights, values[n]) / weights.sum()
    np.testing.assert_allclose(outlier_kinds.gaussian(values, sigma), expected, rtol=1e-4)
    flat = np.full([3, 8, 8, 1], 77, np.uint8)
    np.testing.assert_array_equal(_make("blurred", flat), flat)


def test_windows_are_bilinear_and_black_outside():
    ramp = np.broadcast_to(np.arange(0, 128, 16)[:, None, None], [8, 8, 1]).astype(np.uint8)
    ramps = np.stack([ramp] * 20)
    steps = np.diff(_make("enlarged", ramps).astype(float), axis=1)
    slopes = steps.mean(axis=(1, 2, 3), keepdims=True)
    assert 16 * 0.24 < slopes.min() and slopes.max() < 16 * 0.68 and np.abs(steps - slopes).max() <= 1
    white = _make("shrunk", np.full([20, 12, 12, 1], 255, np.uint8))[..., 0] > 0
    for rows, columns in zip(white.any(axis=2), white.any(axis=1), strict=True):
        assert 3 <= rows.sum() <= 8 and 3 <= columns.sum() <= 8  # of 12: a third to two thirds
    np.testing.assert_array_equal(white, white.any(axis=2)[:, :, None] & white.any(axis=1)[:, None])


def test_noise_has_the_size_that_is_said():
    grey = np.full([50, 16, 16, 1], 128, np.uint8)
    spread = (_make("grained", grey).astype(float) - 128).std(axis=(1, 2, 3))
    assert 7 < spread.min() < 20 and 45 < spread.max() < 70
    changed = (_make("mutated", grey) != 128).mean(axis=(1, 2, 3))
    assert changed.min() < 0.1 and 0.4 < changed.max() < 0.6
    assert all(np.unique(image.reshape(-1, 3), axis=0).shape == (1, 3) for image in _make("constant"))
    smooth = _make("smooth", grey).astype(int)
    assert (smooth.min(axis=(1, 2, 3)) == 0).all() and (smooth.max(axis=(1, 2, 3)) == 255).all()
    of_noise = _make("noise", grey).astype(int)
    changes = [np.abs(np.diff(made, axis=1)).mean() for made in (smooth, of_noise)]
    assert changes[0] < 0.4 * changes[1]


def test_each_image_has_each_kind_as_often_and_half_have_a_second_one():
    """Inverted or outlined, 10 becomes 245 or 0, or both in either order; given ones are 99."""
    images, given = np.full([9000, 2, 2, 1], 10, np.uint8), np.full([9000, 2, 2, 1], 99, np.uint8)
    kinds = ("inverted", "outlined")

    def check(given, expected):
        made = outliers.drawn(tf.constant(images), given, kinds, SEED).numpy()[:, 0, 0, 0]
        levels, counts = np.unique(made, return_counts=True)
        assert dict(zip(levels, counts / 9000, strict=True)) == pytest.approx(expected, abs=0.02)

    check(None, {245: 1 / 4, 0: 1 / 2, 255: 1 / 4})
    # 99 by either turn; 156 = 255 - 99; a second 0 of inverted or given ones
    check(
        tf.constant(given),
        {245: 1 / 6, 0: 1 / 6 + 1 / 6, 255: 1 / 12, 99: 1 / 6 + 1 / 6, 156: 1 / 12},
    )
    assert outliers.drawn(images, given, (), SEED) is given
    assert outliers.drawn(images, None, (), SEED) is None


def test_made_outliers_cost_what_the_margin_says():
    """log p(x) = -sum(x) ln 2: bits per dimension are the mean grey level."""

    def log_prob(images, seed):
        return -tf.reduce_sum(tf.cast(images, tf.float32), axis=[1, 2, 3]) * np.log(2.0)

    subject = training.Subject(
        None, (2, 2, 1), tf.float32, training.BITS_PER_DIM, log_prob, initialize=None, log_prob=None
    )
    levels = np.array([120, 127, 130])
    images = tf.constant(levels.reshape([3, 1, 1, 1]) * np.ones([3, 2, 2, 1]), tf.uint8)
    exposed = dict(outlier_kinds="inverted", outlier_margin=2.0, outlier_weight=0.5)
    loss = objective.make_loss(subject, training.TrainingConfig(steps=1, **exposed))
    violations, mean = np.maximum(0, 2 + levels - (255 - levels)), levels.mean()
    found = loss(images, None, tf.constant([0, 1]))
    np.testing.assert_allclose(found, [mean + 0.5 * violations.mean(), mean], rtol=1e-6)


def test_a_run_with_made_outliers_goes_on_to_the_bit(tmp_path):
    images = data.load("digits", "train").images
    glow = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)

    def train(name, *ends, **settings):
        for steps in ends:
            values = dict(steps=steps, batch_size=16, warmup=0.0, decay=0.0, validate_every=0, **settings)
            spec = runs.RunSpec("glow", glow, vars(training.TrainingConfig(**values)), "digits", (8, 8, 1))
            training.train(runs.Run(tmp_path / name), spec, "", images, images[:8], False)
        return [v.numpy() for v in runs.load_model(runs.Run(tmp_path / name))[0].variables]

    kinds = {"outlier_kinds": "+".join(outlier_kinds.KINDS)}
    whole, resumed = train("whole", 4, **kinds), train("resumed", 2, 4, **kinds)
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(whole, train("without", 4), strict=True))
    with pytest.raises(runs.RunError, match="training.outlier_kinds"):
        train("whole", 5, outlier_kinds="noise")


def test_kinds_that_cannot_be_made_are_named():
    with pytest.raises(ValueError, match="`outlier_kinds` are blurred, .*, got 'blured'"):
        training.TrainingConfig(steps=1, outlier_kinds="noise+blured")
    settings = dict(steps=1, outlier_kinds="noise", progress=False)
    with pytest.raises(ValueError, match="`outlier_kinds` is for uint8 images"):
        tfp_flows.fit(_Normal(), np.zeros([9, 4], np.float32), **settings)
    with pytest.raises(ValueError, match=r"`outlier_kinds` is for images \[N, H, W, C\], got \[9, 4\]"):
        tfp_flows.fit(_Normal(), np.zeros([9, 4], np.uint8), **settings)


class _Normal(tf.Module):
    def __init__(self):
        self.mean = tf.Variable(0.0)

    def log_prob(self, values):
        return -tf.reduce_sum((tf.cast(values, tf.float32) - self.mean) ** 2, axis=-1)
