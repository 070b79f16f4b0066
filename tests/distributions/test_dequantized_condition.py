"""Keyword arguments of a dequantised flow reach its bijector."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import testing
from tfp_flows.numerics import quantization

CONFIG = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4, dtype="float64")


@pytest.fixture(scope="module")
def model():
    flow = tfp_flows.glow(CONFIG, (4, 4, 1), condition_channels=3)
    testing.perturb(flow, scale=0.3)
    return tfp_flows.Dequantized(flow, num_samples=2)


def test_log_prob_is_the_flows_given_the_condition(model):
    images = np.random.default_rng(0).integers(0, 256, [3, 4, 4, 1], np.uint8)
    condition = np.eye(3)
    y = [quantization.dequantize(tf.cast(images, tf.float64), u) for u in model.evaluation_noise()]
    given = {"condition": condition}
    expected = sum(model.flow.log_prob(v, bijector_kwargs=given) for v in y) / 2 - 16 * np.log(256)
    np.testing.assert_allclose(model.log_prob(images, condition=condition), expected, rtol=1e-12)
    assert np.ptp(model.log_prob(images[:1].repeat(3, 0), condition=condition)) > 1e-3
    assert not np.array_equal(model.log_prob(images, condition=condition, seed=1), expected)


def test_terms_are_given_the_condition(model):
    images = np.random.default_rng(1).integers(0, 256, [3, 4, 4, 1], np.uint8)
    given = {"condition": np.eye(3)}
    expected = model.log_prob_of_draw(images, model.evaluation_noise()[0], **given)
    np.testing.assert_allclose(sum(model.terms(images, **given)), expected, rtol=1e-12)


def test_samples_for_each_condition(model):
    given = {"condition": np.eye(3)}
    images = model.sample([5, 3], seed=(0, 1), **given)
    expected = quantization.quantize(model.flow.sample([5, 3], seed=(0, 1), bijector_kwargs=given))
    np.testing.assert_array_equal(images, expected)
    assert images.shape == [5, 3, 4, 4, 1]
    with pytest.raises(ValueError, match=r"`condition` must have shape .*batch \(5, 2\).*got \(3, 3\)"):
        model.sample([5, 2], **given)
    with pytest.raises(ValueError, match=r"batch \(15,\) of images \(15, 4, 4, 1\), got \(3, 3\)"):
        model.log_prob(images, **given)  # the batch of a density model is one axis
