"""Dequantisation: integer images, bounds, and units."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tfp_flows import testing
from tfp_flows.numerics import quantization

tfd = tfp.distributions
IMAGES = np.random.default_rng(0).integers(0, 256, [5, 4, 4, 1], dtype=np.uint8)


def _flow():
    flow = tfp_flows.glow(tfp_flows.GlowConfig(levels=1, steps_per_level=2, hidden_channels=4), (4, 4, 1))
    testing.perturb(flow)
    return flow


def _normal(loc=0.4, scale=0.3):
    """A density that is no flow: known in closed form."""
    return tfd.Sample(tfd.Normal(np.float64(loc), np.float64(scale)), [4, 4, 1])


@pytest.mark.parametrize("bound", ["mean", "importance"])
def test_contract(bound):
    testing.check_density_model(tfp_flows.Dequantized(_flow(), 2, bound=bound), IMAGES)


def test_uniform_density_has_eight_bits():
    uniform = tfd.Sample(tfd.Uniform(0.0, 1.0), [4, 4, 1])
    log_prob = tfp_flows.Dequantized(uniform).log_prob(IMAGES)
    np.testing.assert_allclose(log_prob, np.full(5, -16 * np.log(256)), rtol=1e-6)
    np.testing.assert_allclose(tfp_flows.bits_per_dim(log_prob, (4, 4, 1)), np.full(5, 8.0), rtol=1e-6)


def _compiled(model):
    return tf.function(model.log_prob, autograph=False)


def test_bounds_against_the_exact_discrete_probability():
    """P(x) = prod (F((x + 1) / 256) - F(x / 256)); the mean bound is below, importance converges."""
    model = _normal(scale=0.01)  # curved enough within one grey level to tell the bounds apart
    images = np.clip(0.4 * 256 + np.arange(80).reshape([5, 4, 4, 1]) % 7 - 3, 0, 255).astype(np.uint8)
    cdf = tfd.Normal(np.float64(0.4), np.float64(0.01)).cdf
    exact = np.log(cdf((images + 1) / 256) - cdf(images / 256)).sum(axis=(1, 2, 3))
    mean = _compiled(tfp_flows.Dequantized(model, 500, bound="mean"))(images).numpy()
    importance = _compiled(tfp_flows.Dequantized(model, 500, bound="importance"))(images).numpy()
    assert (mean < exact).all()
    np.testing.assert_allclose(importance, exact, atol=0.15)
    assert (abs(importance - exact) < abs(mean - exact)).all()


def test_log_prob_by_hand():
    model = tfp_flows.Dequantized(_normal(), num_samples=3, seed=5)
    noise = model.evaluation_noise().numpy()
    draws = [_normal().log_prob((IMAGES + noise[s]) / 256) for s in range(3)]
    expected = np.mean(draws, axis=0) - 16 * np.log(256)
    np.testing.assert_allclose(model.log_prob(IMAGES), expected, rtol=1e-12)


def test_seed_decides_the_noise():
    model = tfp_flows.Dequantized(_normal())
    assert (model.log_prob(IMAGES, seed=0) == model.log_prob(IMAGES)).numpy().all()
    assert (model.log_prob(IMAGES, seed=1) != model.log_prob(IMAGES)).numpy().any()
    other = tfp_flows.Dequantized(_normal(), seed=1)
    assert (other.log_prob(IMAGES) == model.log_prob(IMAGES, seed=1)).numpy().all()


def test_noise_is_the_same_under_xla():
    """TensorFlow's default generator is Philox without XLA and ThreeFry with it on a CPU."""
    model = tfp_flows.Dequantized(_normal(scale=0.01))
    compiled = tf.function(model.log_prob, jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(IMAGES)), model.log_prob(IMAGES), rtol=1e-10)


def test_a_sample_that_overflowed_is_an_image_still():
    values = quantization.quantize(tf.constant([np.nan, np.inf, -np.inf, 0.5]))
    np.testing.assert_array_equal(values, [0, 0, 0, 128])


def test_quantize_reverses_dequantize():
    grey = np.arange(256, dtype=np.uint8)
    for noise in (0.0, 0.5, 0.999):
        y = quantization.dequantize(grey, tf.fill([256], noise))
        np.testing.assert_array_equal(quantization.quantize(y), grey)
    np.testing.assert_array_equal(quantization.quantize(tf.constant([-0.5, 1.0, 7.0])), [0, 255, 255])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.log_prob(np.full([1, 4, 4, 1], 300)), "0..255, got 300 .and 15 more"),
        (lambda m: m.log_prob(IMAGES / 255), "integer grey levels 0..255"),
        (lambda m: m.log_prob(IMAGES[:, :3]), r"shape \[..., 4, 4, 1\], got \(5, 3, 4, 1\)"),
        (lambda m: m.log_prob(np.full([1, 4, 4, 1], "a")), "must be numbers 0..255"),
        (lambda m: tfp_flows.Dequantized(m.flow, 0), "`num_samples` must be a positive integer"),
        (lambda m: tfp_flows.Dequantized(m.flow, bound="elbo"), "`bound` must be one of.*'elbo'"),
        (lambda m: tfp_flows.Dequantized(tfd.Normal(0.0, 1.0)), "known shape"),
    ],
)
def test_bad_images_are_refused(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(tfp_flows.Dequantized(_normal()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float32, tf.float64])
def test_the_whitest_grey_level_stays_below_one(dtype):
    """A logit may stand in front of a flow, and at 1 it is infinite."""
    almost = quantization.largest_below_one(dtype)
    assert float(almost) < 1.0
    y = quantization.dequantize(tf.constant(255), tf.constant(almost, dtype))
    assert float(y) < 1.0
    assert float(quantization.quantize(y)) == 255.0


def test_a_reversible_flow_with_several_draws_has_gradients_in_a_graph():
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=2, hidden_channels=4, reversible=True)
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (4, 4, 1)), num_samples=2)

    def gradients(images):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model.log_prob(images))
        return tape.gradient(total, model.trainable_variables)

    for found, expected in zip(tf.function(gradients)(IMAGES), gradients(IMAGES), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
