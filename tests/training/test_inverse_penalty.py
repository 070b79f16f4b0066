"""The penalty on inverses that stretch: its patterns, its number, its gradient, what it does to a flow."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import tfp_flows
from tests import forked
from tfp_flows import data, testing, training
from tfp_flows.models import registry
from tfp_flows.numerics import Seed, noise
from tfp_flows.training import inverse_penalty

IMAGES = data.load("digits", "train").images[:64]
CONFIG = tfp_flows.GlowConfig(levels=1, steps_per_level=2, hidden_channels=8)
SHAPE = (8, 8, 1)


def _periods(image):
    """The shortest (rows, columns) by which an image repeats; None where it does not within 4."""
    found = []
    for axis in (0, 1):
        size = image.shape[axis]
        fits = [
            p
            for p in range(1, 5)
            if (np.take(image, range(p, size), axis) == np.take(image, range(size - p), axis)).all()
        ]
        found.append(fits[0] if fits else None)
    return tuple(found)


def test_patterns_are_tiles_and_dots_and_come_in_parts():
    found = inverse_penalty.patterns((300, 13, 10, 3), 0).numpy()
    assert found.dtype == np.uint8 and found.shape == (300, 13, 10, 3)
    black_and_white = np.isin(found, (0, 255)).all(axis=(1, 2, 3))
    repeats = np.array([None not in _periods(image) for image in found])
    for share in (black_and_white & repeats, ~black_and_white & repeats, black_and_white & ~repeats):
        assert 0.2 < share.mean() < 0.45
    assert (black_and_white | repeats).all()
    assert {_periods(image) for image in found[repeats]} >= {(i, j) for i in range(1, 5) for j in (1, 2, 4)}
    parts = [inverse_penalty.patterns((100, 13, 10, 3), Seed.of(0).part(i, 3)) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), found)


def test_a_scale_stretches_by_what_it_is():
    y = tf.constant(np.random.default_rng(0).uniform(size=(5, *SHAPE)), tf.float64)
    found = inverse_penalty.stretching(tfb.Scale(tf.constant(3.0, tf.float64)), y, 7)
    v = noise.normal(y.shape, 7, tf.float64)
    np.testing.assert_allclose(found, 3.0 * np.sqrt(np.mean(v**2, axis=(1, 2, 3))), rtol=1e-9)


def test_the_penalty_is_that_of_the_patterns_by_hand():
    model = tfp_flows.Dequantized(tfp_flows.glow(CONFIG, SHAPE))
    testing.perturb(model.flow.bijector, 0, 0.3)
    found = inverse_penalty.make_penalty(model)(tf.constant(IMAGES[:10]), 5)
    of_patterns, of_levels, of_latents = Seed.of(5).split(3)
    u = noise.uniform([3, *SHAPE], of_levels)  # three for ten images
    y = (tf.cast(inverse_penalty.patterns((3, *SHAPE), of_patterns), tf.float32) + u) / 256.0
    z = model.flow.bijector.inverse(tf.identity(y)).numpy()
    size = 1e-4 * np.sqrt(np.mean(z**2, axis=(1, 2, 3)))
    v = noise.normal(z.shape, of_latents).numpy()
    back = model.flow.bijector.forward(tf.constant(z + size[:, None, None, None] * v)).numpy()
    stretch = np.sqrt(np.mean((back - y) ** 2, axis=(1, 2, 3))) / size
    np.testing.assert_allclose(found, np.mean(np.log(1 + (stretch / 0.1) ** 2) / 2), rtol=1e-2)


def test_its_gradient_counts_so_many_times_as_much_as_that_of_the_loss():
    gradients, penalties = [tf.constant([3.0, 4.0])], [tf.constant([0.0, 100.0])]
    np.testing.assert_allclose(inverse_penalty.combined(gradients, penalties, 0.5)[0], [3.0, 6.5], rtol=1e-6)
    small = [tf.constant([0.0, 1.0])]
    np.testing.assert_allclose(inverse_penalty.combined(gradients, small, 0.5)[0], [3.0, 4.5], rtol=1e-6)
    for nothing in ([0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1e30, 1e30]):  # whose squares are too large
        found = inverse_penalty.combined(gradients, [tf.constant(nothing)], 0.5)
        np.testing.assert_array_equal(found[0], gradients[0])


def _trained(weight, **settings):
    model = tfp_flows.Dequantized(tfp_flows.glow(CONFIG, SHAPE))
    testing.perturb(model.flow.bijector, 0, 0.2)
    settings = dict(steps=30, learning_rate=0.01, batch_size=16, ema_decay=0.0, from_data=False) | settings
    history = tfp_flows.fit(model, IMAGES, inverse_penalty=weight, progress=False, **settings)
    return model, history


def test_a_flow_that_is_trained_with_it_stretches_less():
    stretched = []
    for weight in (0.0, 1.0):
        model, _ = _trained(weight)
        y = (tf.cast(inverse_penalty.patterns((64, *SHAPE), 1), tf.float32) + 0.5) / 256.0
        stretched.append(np.log(inverse_penalty.stretching(model.flow.bijector, y, 2)).mean())
    assert stretched[1] < stretched[0] - 0.3, stretched


def test_a_step_in_parts_is_that_of_the_whole_batch():
    found = []
    for parts in (1, 2):
        model = tfp_flows.Dequantized(tfp_flows.glow(CONFIG, SHAPE))
        testing.perturb(model.flow.bijector, 0, 0.3)
        config = training.TrainingConfig(steps=1, learning_rate=1.0, batch_size=16, inverse_penalty=0.5)
        subject = training.subject_of_family(registry.family("glow"), model)
        state = training.TrainingState(model, config)
        training.make_train_step(subject, state, config, parts_per_replica=parts)(tf.constant(IMAGES[:16]))
        found.append([variable.numpy() for variable in model.trainable_variables])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


def test_an_interrupted_run_goes_on_to_the_bit(tmp_path):
    def stopping(step, values, model):
        if step == 2:
            raise KeyboardInterrupt

    settings = dict(steps=4, log_every=1, checkpoint_every=1)
    _, whole = _trained(0.5, run=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        _trained(0.5, run=tmp_path / "cut", callbacks=[stopping], **settings)
    _, cut = _trained(0.5, run=tmp_path / "cut", **settings)
    assert [row.loss for row in cut.rows] == [row.loss for row in whole.rows]


def test_what_has_no_inverse_or_needs_a_condition_is_refused():
    with pytest.raises(ValueError, match="`inverse_penalty` must be finite and not negative"):
        training.TrainingConfig(inverse_penalty=-1.0)
    with pytest.raises(ValueError, match="`inverse_penalty` is for flows over images; Normal is none"):
        inverse_penalty.make_penalty(tfd.Normal(0.0, 1.0))
    reversible = tfp_flows.glow(dataclasses.replace(CONFIG, reversible=True), SHAPE)
    with pytest.raises(ValueError, match="does not keep"):
        inverse_penalty.make_penalty(tfp_flows.Dequantized(reversible))
    inverse_penalty.check_batch(16, 4)
    with pytest.raises(ValueError, match="`batch_size=20` must be a multiple of 8"):
        inverse_penalty.check_batch(20, 2)
    for flag in ("--family=vae", "--condition=label"):
        found = forked.command(
            "tfp_flows.train", "--run=none", "--dataset=digits", "--inverse_penalty=1", flag
        )
        assert found.returncode == 1
        assert found.stderr.strip().endswith("--inverse_penalty is for --family=glow without a condition.")
