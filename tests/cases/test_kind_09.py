"""Kind 9: the inverse is an inverse."""

import numpy as np
import tensorflow as tf

import tfp_flows
from tfp_flows import numerics, testing
from tfp_flows.bijectors import _conditioner
from tfp_flows.evaluation import inverse

SHAPE = (8, 8, 3)


def _trained_long(**settings):
    """A Glow whose networks say as much of extreme images as those of a long training do."""
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=4, hidden_channels=8, seed=1, **settings)
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow, scale=0.03)
    for variable in flow.trainable_variables:
        if "last_kernel" in variable.name:
            variable.assign(3 * variable)
    return tfp_flows.Dequantized(flow)


def test_case_52_extreme_images_come_back():
    extremes = np.stack(list(numerics.extreme_images(SHAPE, np.zeros(SHAPE, np.uint8)).values()))
    before = numerics.inverse_error(_trained_long(scale="exp", input_limit=0.0), extremes)
    assert before.not_finite
    now = numerics.inverse_error(_trained_long(), extremes)
    assert not now.not_finite
    assert now.worst < 0.05


def test_case_52_samples_are_finite_or_counted():
    before = _trained_long(scale="sigmoid", input_limit=0.0)
    draws = before.draws(64, seed=0)
    count = int((~np.isfinite(draws)).any(axis=(1, 2, 3)).sum())
    assert 0 < count < 64
    found = inverse.measured(before, np.zeros([40, *SHAPE], np.uint8), draws)
    assert found["samples"].not_finite >= count
    assert f"{found['samples'].not_finite} of 64 not finite" in inverse.line(found)
    assert np.isfinite(_trained_long().draws(64, seed=0)).all()


def test_case_53_the_logarithm_is_that_of_the_scale():
    raw = tf.constant([-1e4, -200.0, -102.0, -80.0, -2.0, 0.0, 50.0])
    for dtype in (tf.float32, tf.float64):
        with tf.GradientTape() as tape:
            values = tf.cast(raw, dtype)
            tape.watch(values)
            scale, log_scale, _ = _conditioner.scale_and_shift(
                tf.concat([values, values], 0), "sigmoid", True, "case"
            )
        assert np.isfinite(log_scale).all() and (scale.numpy() > 0).all()
        np.testing.assert_allclose(np.log(scale.numpy().astype(np.float64)), log_scale, rtol=1e-6, atol=1e-7)
        assert np.isfinite(tape.gradient(log_scale, values)).all()
    exact = tf.math.log_sigmoid(tf.cast(raw[3:], tf.float64) + 2)
    np.testing.assert_allclose(log_scale[3:], exact, rtol=1e-12, atol=1e-15)
