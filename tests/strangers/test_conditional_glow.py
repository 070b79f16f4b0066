"""A conditional Glow of one's own: a Keras 2 network, a prior with variables, trained, sampled, exported."""

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flows

tfb, tfd = tfp.bijectors, tfp.distributions
layers = tf_keras.layers


class Network(tf_keras.Model):
    """A convolution, to which a label adds its own bias, and another one."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.first = layers.Conv2D(32, 3, padding="same")
        self.of_label = layers.Dense(32, use_bias=False)
        self.last = layers.Conv2D(out_channels, 3, padding="same", kernel_initializer="zeros")
        self(tf.zeros([1, 2, 2, in_channels]), condition=tf.zeros([1, 10]))  # makes the variables

    def call(self, x, condition):
        return self.last(tf.nn.relu(self.first(x) + self.of_label(condition)[:, tf.newaxis, tf.newaxis]))


class Served(tf.Module):
    """What is exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function(
        input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.uint8), tf.TensorSpec([None, 10], tf.float32)]
    )
    def log_prob(self, images, condition):
        return self.model.log_prob(images, condition=condition)

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([None, 10], tf.float32),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def sample(self, count, condition, seed):
        """`count` images for each row of `condition`."""
        shape = [count, tf.shape(condition)[0]]
        return tf.cast(self.model.sample(shape, seed=seed, condition=condition), tf.uint8)


@pytest.fixture(scope="module")
def digits():
    """(images uint8 [N, 8, 8, 1], labels one-hot [N, 10]) to train on, and others."""
    found = sklearn.datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = (15 * found.images[..., np.newaxis]).astype(np.uint8)[order]
    conditions = np.eye(10, dtype=np.float32)[found.target][order]
    return (images[:-300], conditions[:-300]), (images[-300:], conditions[-300:])


@pytest.fixture(scope="module")
def model(digits):
    tf_keras.utils.set_random_seed(0)
    scale = tfp.util.TransformedVariable(tf.ones([8, 8, 1]), tfb.Softplus())
    prior = tfd.Normal(tf.Variable(tf.zeros([8, 8, 1])), scale)
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=3)
    flow = tfp_flows.glow(config, (8, 8, 1), network=Network, prior=prior, condition_channels=10)
    model = tfp_flows.Dequantized(flow)
    images, conditions = digits[0]
    history = tfp_flows.fit(
        model, images, conditions=conditions, steps=300, batch_size=64, learning_rate=4e-3, ema_decay=0.99
    )
    assert history.unit == "bits/dim" and history.step == 300
    return model


def test_the_density_knows_what_the_label_says(model, digits):
    images, conditions = digits[1]
    labels = conditions.argmax(1)
    given = [model.log_prob(images, condition=np.eye(10, dtype=np.float32)[label]) for label in range(10)]
    by_label = np.stack(given, axis=1)
    np.testing.assert_allclose(
        model.log_prob(images, condition=conditions), by_label[np.arange(300), labels], rtol=1e-4
    )
    # Bayes' rule makes a classifier of it; chance is 0.1.
    assert (by_label.argmax(1) == labels).mean() > 0.8
    bits = tfp_flows.bits_per_dim(model.log_prob(images, condition=conditions), (8, 8, 1))
    assert np.mean(bits) < 7.0  # 8 without a model
    location, scale = model.flow.distribution.trainable_variables
    assert np.ptp(location) > 0.01 and np.ptp(scale) > 0.01


def test_images_for_each_label(model, digits):
    images = model.sample([20, 10], seed=(0, 1), condition=np.eye(10, dtype=np.float32)).numpy()
    assert images.shape == (20, 10, 8, 8, 1)
    known, conditions = digits[0]
    means = np.stack([known[conditions[:, label] == 1].mean(0) for label in range(10)])
    distance = ((images[:, :, np.newaxis] - means) ** 2).sum((-3, -2, -1))  # [20, 10, 10]
    assert (distance.argmin(-1) == np.arange(10)).mean() > 0.5


def test_the_export_gives_the_same_numbers(model, digits, tmp_path):
    tf.saved_model.save(Served(model), str(tmp_path / "export"))
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    images, conditions = digits[1]
    np.testing.assert_allclose(
        loaded.log_prob(images, conditions), model.log_prob(images, condition=conditions), rtol=1e-5
    )
    each = np.eye(10, dtype=np.float32)
    found = loaded.sample(3, each, [0, 5]).numpy().astype(int)
    expected = model.sample([3, 10], seed=(0, 5), condition=each).numpy()
    assert found.shape == (3, 10, 8, 8, 1) and abs(found - expected).max() <= 1
