"""LPath: its statistics against NumPy, COPOD against pyod's numbers."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import vae
from tests.detectors.models import DIGITS, HELD_OUT, gaussian, random_images, small_glow, small_vae
from tfp_flows import detectors, testing
from tfp_flows.detectors import copula

tfd = tfp.distributions

# pyod 3.6.7, COPOD().fit(FIT).decision_function of each row alone. (With a row that turns the sign of a
# column's skewness pyod, where the row has a part in it, gives something else; none of these does.)
FIT = [
    [1.4, -2.3, 7.3],
    [1.4, -2.3, 7.3],
    [0.0, -1.1, 5.0],
    [0.0, -0.8, 7.6],
    [1.1, -3.1, 1.9],
    [3.3, -0.4, 0.4],
    [1.3, -0.3, 9.2],
    [1.5, -1.5, 0.4],
    [5.6, -0.0, 0.2],
    [12.1, -0.1, 2.6],
    [6.6, -1.0, 0.4],
    [0.0, -0.8, 1.1],
]
OF_PYOD = [
    ([1.4, -2.3, 7.3], 2.619674),
    ([0.0, 0.0, 0.0], 2.807703),
    ([9.5, -0.5, 1.0], 3.195038),
    ([1.0, -7.0, -1.0], 4.567934),
    ([-1.0, 0.5, 40.0], 5.129899),
    ([30.0, -9.0, 50.0], 7.694848),
    ([1.4, -1.0, 6.0], 2.060058),
]


class _GaussianVAE(tf.Module):
    """Encoder and decoder in closed form: mu_z = mean of each row, which mu_x repeats, of known scales."""

    event_shape = tf.TensorShape([2, 2, 1])
    dtype = tf.float64
    prior = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [2])

    def encode(self, images):
        loc = tf.reduce_mean(images, axis=[2, 3])
        return tfd.Independent(tfd.Normal(loc, 1.0 + loc / 10.0), 1)

    def decode(self, z):
        mean = tf.repeat(z[..., tf.newaxis, tf.newaxis], 2, axis=-2)
        return tfd.Independent(tfd.Normal(mean, 0.5 + mean), 3)

    def log_prob(self, images):
        return tf.zeros(tf.shape(images)[:1], tf.float64)


def test_copod_against_pyod():
    rows, expected = (np.array(values) for values in zip(*OF_PYOD, strict=True))
    arrays = copula.fitted(np.array(FIT))
    np.testing.assert_array_equal(arrays["skewness"], np.sign(scipy.stats.skew(FIT)))
    np.testing.assert_allclose(copula.score(tf.constant(rows), arrays), expected, atol=1e-6)


def test_copod_against_a_plain_count():
    """With ties, and columns that are skewed to the left, to the right and not at all."""
    rng = np.random.default_rng(0)
    fit = np.stack([rng.integers(0, 5, 40) ** 2, -(rng.integers(0, 5, 40) ** 2), np.arange(40) % 2], 1) * 1.0
    rows = np.concatenate([fit[:5], rng.normal(0, 9, [5, 3])])
    signs = np.sign([scipy.stats.skew(column) for column in fit.T])
    assert signs.tolist() == [1, -1, 0]
    expected = []
    for row in rows:
        left, right = (-np.log((1 + count) / 41) for count in ((fit <= row).sum(0), (fit >= row).sum(0)))
        skewed = [right[0], left[1], left[2] + right[2]]
        expected.append(np.maximum(skewed, (left + right) / 2).sum())
    np.testing.assert_allclose(copula.score(tf.constant(rows), copula.fitted(fit)), expected, rtol=1e-12)


def test_statistics_are_the_norms_along_the_path():
    images = random_images(6, (2, 2, 1))
    x = images.astype(np.float64)
    loc = x.mean(axis=(2, 3))
    mean = np.repeat(loc[:, :, None, None], 2, axis=2)
    expected = [
        np.sqrt(((x - mean) ** 2).sum(axis=(1, 2, 3))),
        np.linalg.norm(loc, axis=1),
        np.linalg.norm(1 + loc / 10, axis=1),
        np.sqrt(((0.5 + mean) ** 2).sum(axis=(1, 2, 3))),
    ]
    detector = detectors.LikelihoodPath(_GaussianVAE()).fit(random_images(30, (2, 2, 1), seed=1))
    np.testing.assert_allclose(detector.statistics(images), np.stack(expected, axis=-1), rtol=1e-12)
    maps = detector.score_map(images)
    np.testing.assert_allclose(maps, ((x - mean) ** 2).sum(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), detector.statistics(images)[:, 0] ** 2, rtol=1e-5)


def test_statistics_of_ours_by_the_distribution_of_every_pixel():
    """Mean and variance of p(x | z = mu_z) by summing over all 256 levels."""
    model, images = small_vae(), HELD_OUT[:4]
    posterior = model.encode(images).distribution
    every = np.arange(256.0, dtype=np.float32)[:, None, None, None, None] * np.ones(
        [1, *images.shape], np.float32
    )
    pixels = np.exp(model.decode(posterior.loc).distribution.log_prob(every))  # [256, N, H, W]
    mean = (every[..., 0] * pixels).sum(axis=0)
    variance = (every[..., 0] ** 2 * pixels).sum(axis=0) - mean**2
    found = detectors.LikelihoodPath(model).statistics(images)
    np.testing.assert_allclose(found[:, 0] ** 2, ((images[..., 0] - mean) ** 2).sum((1, 2)), rtol=1e-3)
    np.testing.assert_allclose(found[:, 1], np.linalg.norm(posterior.loc, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], np.linalg.norm(posterior.scale, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found[:, 3] ** 2, variance.sum((1, 2)), rtol=1e-3)


def test_mahalanobis_against_numpy():
    detector = detectors.LikelihoodPath(small_vae(), "mahalanobis").fit(DIGITS[:60])
    fit, found = detector.statistics(DIGITS[:60]), detector.statistics(HELD_OUT[:9])
    centred = found - fit.mean(axis=0)
    expected = np.einsum("bi,ij,bj->b", centred, np.linalg.inv(np.cov(fit.T)), centred)
    np.testing.assert_allclose(detector.score(HELD_OUT[:9]), expected, rtol=1e-4)
    assert (expected > 0).all()


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli"])
def test_contract_with_other_decoders(likelihood):
    images = np.where(DIGITS > 127, 255, 0).astype(np.uint8)
    model = vae.VAE((8, 8, 1), 3, "small", likelihood, num_importance_samples=2)
    testing.perturb(model, scale=0.05)
    testing.check_detector(
        lambda: detectors.LikelihoodPath(model), images[:24], images[30:60], images[60:66]
    )


def test_what_an_autoencoder_cannot_reproduce_is_found():
    """Images that the VAE's mean reconstructs differ from noise in u alone; the score says so."""
    model = _GaussianVAE()
    rng = np.random.default_rng(0)
    own = np.repeat(rng.integers(40, 80, [200, 2, 1, 1]), 2, axis=2)
    own = (own + rng.integers(-3, 4, own.shape)).astype(np.uint8)
    detector = detectors.LikelihoodPath(model).fit(own[:100]).calibrate(own[100:])
    foreign = np.concatenate([own[:50, :, :1] - 19, own[:50, :, 1:] + 19], axis=2)  # the same latents
    np.testing.assert_allclose(detector.statistics(foreign)[:, 1], detector.statistics(own[:50])[:, 1])
    wins = detector.score(foreign)[:, np.newaxis] > detector.score(own[100:])
    assert wins.mean() > 0.8


def test_mistakes_get_one_line():
    for model in (gaussian(), small_glow()):
        with pytest.raises(detectors.DetectorError, match=r"likelihood_path: needs a VAE \(encode, decode"):
            detectors.LikelihoodPath(model)
    with pytest.raises(detectors.DetectorError, match="`density` must be one of copod, mahalanobis"):
        detectors.LikelihoodPath(small_vae(), "kde")
    with pytest.raises(detectors.DetectorError, match="fit needs more than 4 images, got 3"):
        detectors.LikelihoodPath(small_vae(), "mahalanobis").fit(DIGITS[:3])
    same = np.repeat(DIGITS[:1], 8, axis=0)
    with pytest.raises(detectors.DetectorError, match="is constant, or follows from others"):
        detectors.LikelihoodPath(small_vae(), "mahalanobis").fit(same)


def test_a_decoder_without_a_mean_is_refused_in_one_line():
    class Squashed(_GaussianVAE):
        def decode(self, z):
            return tfd.Independent(tfd.LogitNormal(super().decode(z).mean(), 1.0), 3)

    with pytest.raises(
        detectors.DetectorError, match="mean and the standard deviation of what `decode` gives"
    ):
        detectors.LikelihoodPath(Squashed()).fit(random_images(8, (2, 2, 1)))
