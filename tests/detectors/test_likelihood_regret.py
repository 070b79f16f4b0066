"""The likelihood regret of a linear VAE is a Kullback-Leibler divergence."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.detectors.models import gaussian, random_images
from tfp_flows import detectors

tfd = tfp.distributions


class _LinearVAE(tf.Module):
    """x = W z + noise of scale s, W with orthogonal columns: the posterior is a diagonal normal."""

    event_shape = tf.TensorShape([2, 2, 1])
    dtype = tf.float64

    def __init__(self, shift):
        super().__init__()
        self.columns = np.array([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]).T  # [4, 2]
        self.noise, self.shift = 3.0, shift
        self.precision = 1.0 + (self.columns**2).sum(axis=0) / self.noise**2

    prior = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [2])

    def posterior(self, images):
        flat = tf.reshape(images, [-1, 4])
        return flat @ self.columns / self.noise**2 / self.precision, self.precision**-0.5

    def encode(self, images):
        loc, scale = self.posterior(images)
        return tfd.Independent(tfd.Normal(loc + self.shift, 1.5 * scale + tf.zeros_like(loc)), 1)

    def decode(self, z):
        mean = tf.reshape(tf.linalg.matvec(self.columns, z), [*z.shape[:1], -1, 2, 2, 1])
        return tfd.Independent(tfd.Normal(mean, tf.constant(self.noise, tf.float64)), 3)

    def log_prob(self, images):
        return tf.zeros(tf.shape(images)[:1], tf.float64)


def test_likelihood_regret_of_a_linear_model():
    """The regret is KL(q_encoder || posterior), whatever the image."""
    model = _LinearVAE(shift=0.7)
    detector = detectors.LikelihoodRegret(model, num_steps=300, learning_rate=0.05, num_samples=2000)
    images = random_images(3, (2, 2, 1)) // 32
    scale = model.precision**-0.5
    kl = (np.log(1 / 1.5) + (1.5**2 + (0.7 / scale) ** 2) / 2 - 0.5).sum()
    np.testing.assert_allclose(detector.score(images), np.full(3, kl), rtol=0.05)
    with pytest.raises(detectors.DetectorError, match="needs a VAE"):
        detectors.LikelihoodRegret(gaussian())
