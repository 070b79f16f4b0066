"""Flips, weight decay and the forms of the learning rate's fall: drawn by seed, resumed to the bit."""

import math

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, training
from tfp_flows.numerics import Seed
from tfp_flows.training import flips, objective, weight_decay

IMAGES = data.load("digits", "train").images[:64]
CONFIG = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)


def test_half_of_the_images_are_flipped_each_as_a_whole():
    images = np.random.default_rng(0).integers(0, 256, [2000, 2, 3, 1]).astype(np.uint8)
    found = flips.flipped(tf.constant(images), 0).numpy()
    turned = (found == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (found == images).all(axis=(1, 2, 3))
    assert found.dtype == np.uint8 and (turned | kept).all()
    assert abs(turned.mean() - 0.5) < 4 * math.sqrt(0.25 / 2000)
    np.testing.assert_array_equal(flips.flipped(tf.constant(images), 0), found)
    assert (flips.flipped(tf.constant(images), 1).numpy() != found).any()
    parts = [
        flips.flipped(tf.constant(part), Seed.of(0).part(i, 4)) for i, part in enumerate(np.split(images, 4))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), found)


def test_flips_are_those_of_training_images_alone_and_new_at_every_step():
    calls = []

    def log_prob(images, seed):
        calls.append(images.numpy())
        return -tf.reduce_sum(tf.cast(images, tf.float32), axis=[1, 2, 3])

    def of(**settings):
        subject = training.Subject(
            None, (8, 8, 1), tf.float32, training.BITS_PER_DIM, log_prob, initialize=None, log_prob=None
        )
        return objective.make_loss(subject, training.TrainingConfig(steps=1, **settings))

    images, outliers = tf.constant(IMAGES), tf.constant(IMAGES[::-1].copy())
    for step in (1, 2, 1):
        of(flip=True)(images, outliers, tf.constant([0, step], tf.int64))
    first, given, second, _, again, _ = calls
    np.testing.assert_array_equal(first, again)
    assert (first != second).any() and (first != IMAGES).any()
    np.testing.assert_array_equal(given, outliers)
    calls.clear()
    for flip in (False, True):  # the seeds of what was random before are what they were
        of(flip=flip, mutation_rate=1.0)(images, None, tf.constant([0, 1], tf.int64))
    np.testing.assert_array_equal(*calls)


class _Weights(tf.Module):
    """One matrix that no loss depends on, one bias that the loss does."""

    dtype = tf.float32

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.ones([2, 2]))
        self.bias = tf.Variable(tf.ones([2]))

    def log_prob(self, x):
        return -tf.reduce_sum((x - self.bias) ** 2, axis=-1) + 0.0 * tf.reduce_sum(self.kernel)


def test_weight_decay_follows_the_learning_rate_and_spares_biases():
    found = []
    for decay in (0.0, 0.1):
        model = _Weights()
        tfp_flows.fit(
            model,
            np.zeros([8, 2], np.float32),
            steps=20,
            learning_rate=0.5,
            weight_decay=decay,
            ema_decay=0.0,
            progress=False,
        )
        found.append((model.kernel.numpy(), model.bias.numpy()))
    schedule = training.Schedule(training.TrainingConfig(steps=20, learning_rate=0.5))
    expected = math.prod(1 - 0.1 * float(schedule(step)) for step in range(20))
    np.testing.assert_allclose(found[0][0], np.ones([2, 2]), rtol=1e-6)
    np.testing.assert_allclose(found[1][0], np.full([2, 2], expected), rtol=1e-5)
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_shrinking_by_hand():
    model = tf.Module()
    model.weights = [tf.Variable(tf.ones(shape, tf.float64)) for shape in ([2, 3], [1, 1, 2, 3], [3])]
    matrix, kernel, scale = model.weights
    weight_decay.shrink(weight_decay.decaying(model), tf.constant(0.25))
    assert (matrix.numpy() == 0.75).all() and (kernel.numpy() == 0.75).all() and (scale.numpy() == 1).all()


def test_of_a_flow_the_kernels_of_networks_decay_and_nothing_else():
    for model in (
        tfp_flows.Dequantized(tfp_flows.glow(CONFIG, (8, 8, 1))),
        tfp_flows.ClassMixture(
            tfp_flows.Dequantized(tfp_flows.glow(CONFIG, (8, 8, 1), condition_channels=2)), [1, 1]
        ),
    ):
        found = weight_decay.decaying(model)
        names = {variable.name.partition(":")[0] for variable in found}
        assert found and all(name.endswith("kernel") for name in names), names
        kernels = [v for v in model.trainable_variables if "kernel" in v.name]
        assert {id(v) for v in found} == {id(v) for v in kernels}
    flow = tfp_flows.vector_flow(3, num_steps=2)
    assert {v.name.partition(":")[0].rpartition("_")[2] for v in weight_decay.decaying(flow)} == {"kernel"}


@pytest.mark.parametrize(
    ("form", "halfway"), [("cosine", 0.5), ("linear", 0.5), ("sqrt", 1 - math.sqrt(0.5))]
)
def test_the_learning_rate_falls_in_its_form(form, halfway):
    config = training.TrainingConfig(steps=100, learning_rate=2.0, warmup=0.1, decay=0.4, decay_form=form)
    rates = [float(training.Schedule(config)(step)) for step in range(101)]
    assert rates[9] == rates[60] == 2.0 and rates[0] == pytest.approx(0.2)
    assert rates[80] == pytest.approx(2 * halfway, rel=1e-5) and rates[100] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rates[60:]) < 0).all()


def test_an_interrupted_run_with_all_of_them_goes_on_to_the_bit(tmp_path):
    def train(name, stop_at=None):
        def stopping(step, values, model):
            if step == stop_at:
                raise KeyboardInterrupt

        model = tfp_flows.Dequantized(tfp_flows.glow(CONFIG, (8, 8, 1)))
        return tfp_flows.fit(
            model,
            IMAGES,
            steps=6,
            batch_size=16,
            flip=True,
            weight_decay=0.01,
            decay_form="sqrt",
            log_every=1,
            checkpoint_every=1,
            run=tmp_path / name,
            callbacks=[stopping],
            progress=False,
        )

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("cut", stop_at=3)
    assert [row.loss for row in train("cut").rows] == [row.loss for row in whole.rows]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(decay_form="step"), "`decay_form` must be one of cosine, linear, sqrt"),
        (dict(weight_decay=-0.1), "`weight_decay` must be finite and not negative"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        training.TrainingConfig(**settings)


def test_only_images_can_be_flipped():
    with pytest.raises(ValueError, match="`flip` is for uint8 images"):
        tfp_flows.fit(_Weights(), np.zeros([8, 2], np.float32), steps=1, flip=True, progress=False)
