"""A stranger's flow over vectors: plain TFP, trained by tfp_flows.fit, saved, and loaded."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.datasets import make_moons
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import tfp_flows


def _moons(seed):
    points, _ = make_moons(2_000, noise=0.1, random_state=seed)
    return points.astype(np.float32)


def _flow():
    """Two masked autoregressive flows (Papamakarios et al. 2017), the coordinates swapped between them."""

    def layer(seed):
        network = tfb.AutoregressiveNetwork(
            params=2,
            event_shape=[2],
            hidden_units=[16, 16],
            activation="tanh",
            kernel_initializer=tf_keras.initializers.GlorotUniform(seed=seed),
        )
        return tfb.MaskedAutoregressiveFlow(network)

    bijector = tfb.Chain([layer(0), tfb.Permute([1, 0]), layer(1)])
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 2), bijector)


@pytest.fixture(scope="module")
def fitted():
    model = _flow()
    history = tfp_flows.fit(
        model, _moons(0), _moons(1), steps=1_500, learning_rate=0.01, batch_size=128, progress=False
    )
    return model, history


def _gaussians_loss(points, others):
    """Nats per dimension of points under the Gaussian with the mean and covariance of others."""
    factor = np.linalg.cholesky(np.cov(others.T)).astype(np.float32)
    gaussian = tfd.MultivariateNormalTriL(others.mean(0), factor)
    return -float(tf.reduce_mean(gaussian.log_prob(points))) / 2


def test_it_fits_two_moons_better_than_a_gaussian(fitted):
    model, history = fitted
    held_out = _moons(1)
    assert history.unit == "nats/dim"
    assert history.validation[-1].loss < _gaussians_loss(held_out, _moons(0)) - 0.2
    own = -float(tf.reduce_mean(model.log_prob(held_out))) / 2
    assert own == pytest.approx(history.validation[-1].loss, rel=1e-4)


def test_its_samples_lie_on_the_moons(fitted):
    """The density between the moons and beyond them is low: few samples are far from every point."""
    samples, points = fitted[0].sample(500, seed=1).numpy(), _moons(2)
    nearest = np.linalg.norm(samples[:, None] - points[None], axis=-1).min(1)
    assert np.mean(nearest < 0.15) > 0.8


class Exported(tf.Module):
    def __init__(self, model):
        self.variables_of_model = list(model.variables)
        self._model = model

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def log_prob(self, x):
        return self._model.log_prob(x)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)])
    def sample(self, n, seed):
        return self._model.sample(n, seed=seed)


def test_saved_and_loaded_it_gives_the_same_numbers(fitted, tmp_path):
    model, _ = fitted
    exported = Exported(model)
    tf.saved_model.save(exported, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    points = tf.constant(_moons(3)[:50])
    np.testing.assert_array_equal(loaded.log_prob(points), exported.log_prob(points))
    np.testing.assert_allclose(loaded.log_prob(points), model.log_prob(points), rtol=1e-4, atol=1e-4)
    seed = tf.constant([1, 2])
    np.testing.assert_array_equal(loaded.sample(7, seed), exported.sample(7, seed))
