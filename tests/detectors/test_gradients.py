"""Gradient norms and the score test of a normal density, in closed form."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tests.detectors.models import random_images
from tfp_flows import detectors
from tfp_flows.detectors import gradients

tfd = tfp.distributions


class _Mean(tf.Module):
    """N(x; theta, I): its gradient is x - theta, its Fisher information the identity."""

    event_shape = tf.TensorShape([2, 2, 1])
    dtype = tf.float64

    def __init__(self):
        super().__init__()
        self.theta = tf.Variable(np.full([2, 2, 1], 100.0))

    def log_prob(self, images):
        return tfd.Independent(tfd.Normal(self.theta, tf.constant(1.0, tf.float64)), 3).log_prob(images)


def test_gradients_of_a_gaussian():
    model, images = _Mean(), random_images(40, (2, 2, 1))
    squares = ((images - 100.0) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(gradients.squared_norms(model, tf.constant(images))[:, 0], squares)
    detector = detectors.GradientNorms(model).fit(images)
    features = np.log(squares)
    expected = -scipy.stats.norm.logpdf(features, features.mean(), features.std(ddof=1))
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-5)
    test = detectors.ScoreTest(model, num_fisher_images=40).fit(images)
    fisher = ((images - 100.0) ** 2).mean(axis=0)
    fisher += 1e-3 * fisher.mean()
    score = ((images - 100.0) ** 2 / fisher).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(test.statistics(images)[:, 1], score, rtol=1e-5)
    log_prob = test.statistics(images)[:, 0]
    distance = np.abs(log_prob - log_prob.mean())
    tails = [[(1 + (t >= v).sum()) / 41 for v in t] for t in (score, distance)]
    np.testing.assert_allclose(test.score(images), -2 * np.log(tails).sum(axis=0), rtol=1e-4)
    with pytest.raises(detectors.DetectorError, match="trainable_variables"):
        detectors.ScoreTest(_NoVariables())


class _NoVariables:
    trainable_variables = ()

    def log_prob(self, images):
        return tf.zeros(tf.shape(images)[:1])
