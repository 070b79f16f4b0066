"""`MixtureLogisticCDF` against SciPy and TFP, and its inverse to the last bits."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors
from tfp_flows.bijectors import mixture_logistic

tfd = tfp.distributions
RNG = np.random.default_rng(0)
LOGITS, LOCATIONS, LOG_SCALES = RNG.normal(size=[3, 40, 4]) * [[[1.0]], [[2.0]], [[0.7]]]


def _bijector(dtype, logits=LOGITS, locations=LOCATIONS, log_scales=LOG_SCALES, **settings):
    values = (tf.constant(value, dtype) for value in (logits, locations, log_scales))
    return bijectors.MixtureLogisticCDF(*values, dtype=dtype, **settings)


@pytest.mark.parametrize("min_slope", [0.0, 0.1])
def test_it_is_the_logit_of_the_mixtures_distribution(min_slope):
    x = RNG.normal(size=[5, 40]) * 2
    weights = scipy.special.softmax(LOGITS, axis=-1)
    cdf = (weights * scipy.special.expit((x[..., None] - LOCATIONS) * np.exp(-LOG_SCALES))).sum(-1)
    bijector = _bijector(tf.float64, log_scale=0.3, shift=-0.7, min_slope=min_slope)
    expected = np.exp(0.3) * (scipy.special.logit(cdf) + min_slope * x) - 0.7
    np.testing.assert_allclose(bijector.inverse(x), expected, rtol=1e-10)
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(tf.constant(LOGITS)), tfd.Logistic(LOCATIONS, np.exp(LOG_SCALES))
    )
    np.testing.assert_allclose(mixture.cdf(x), cdf, rtol=1e-12)
    slope = np.exp(mixture.log_prob(x)) / (cdf * (1 - cdf)) + min_slope
    np.testing.assert_allclose(bijector.inverse_log_det_jacobian(x), 0.3 + np.log(slope), rtol=1e-9)


def test_its_inverse_is_a_root_that_brent_finds():
    bijector = _bijector(tf.float64)
    z = RNG.normal(size=[40]) * 3
    x = bijector.forward(z).numpy()
    for i in range(0, 40, 7):
        weights, scales = scipy.special.softmax(LOGITS[i]), np.exp(LOG_SCALES[i])

        def distance(x, weights=weights, scales=scales, i=i):
            cdf = (weights * scipy.special.expit((x - LOCATIONS[i]) / scales)).sum()
            above = (weights * scipy.special.expit((LOCATIONS[i] - x) / scales)).sum()
            return np.log(cdf) - np.log(above) - z[i]

        root = scipy.optimize.brentq(distance, -50, 50, xtol=1e-14, rtol=1e-14)
        assert x[i] == pytest.approx(root, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_float32_the_inverse_is_right_to_the_last_bits(jit_compile):
    """Far out, with weights that vanish and scales at both ends; x of float64 is the truth."""
    rng = np.random.default_rng(1)
    logits = np.array([[0.0, -1e4, 0.0], [0.0, 0.0, -np.inf], [50.0, 0.0, -50.0], [0.0, 0.0, 0.0]])
    log_scales = np.array([[-3.0, 3.0, 0.0], [0.0, 0.0, 3.0], [-3.0, -3.0, 3.0], [-1.0, -2.0, -3.0]])
    locations = rng.normal(size=[4, 3])
    z = np.array([-1e4, -500.0, -20.0, -3.0, -1e-6, 0.0, 0.1, 2.0, 30.0, 500.0, 1e4])[:, np.newaxis]
    z = np.broadcast_to(z, [11, 4]).astype(np.float32)
    settings = dict(logits=logits, locations=locations, log_scales=log_scales, min_slope=0.05)
    settings = {k: v if k == "min_slope" else v.astype(np.float32) for k, v in settings.items()}
    single, double = (_bijector(dtype, **settings) for dtype in (tf.float32, tf.float64))
    x = tf.function(single.forward, jit_compile=jit_compile)(z).numpy()
    truth = double.forward(z.astype(np.float64)).numpy()
    # By how much x moves when z, and what goes into it, are rounded once.
    slope = np.exp(double.inverse_log_det_jacobian(truth).numpy())
    spacing = np.finfo(np.float32).eps
    allowed = 4 * spacing * (np.abs(truth) + np.maximum(np.abs(z), 1) / slope)
    assert (np.abs(x - truth) <= allowed).all(), np.max(np.abs(x - truth) / allowed)
    again = single.inverse(tf.constant(x)).numpy()
    np.testing.assert_allclose(again, z, rtol=4e-6, atol=4e-6)


def test_gradients_of_the_inverse_are_those_of_the_implicit_function():
    values = [tf.constant(value[:6]) for value in (LOGITS, LOCATIONS, LOG_SCALES)]
    z = tf.constant(RNG.normal(size=[6]))

    def solve(z, *values):
        return bijectors.MixtureLogisticCDF(*values, dtype=tf.float64).forward(tf.identity(z))

    with tf.GradientTape(persistent=True) as outer:
        outer.watch([z, *values])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([z, *values])
            x = solve(z, *values)
        first = tape.gradient(x, z)
        of_values = tape.gradient(x, values)
    slope = np.exp(bijectors.MixtureLogisticCDF(*values, dtype=tf.float64).inverse_log_det_jacobian(x))
    np.testing.assert_allclose(first, 1 / slope, rtol=1e-10)
    step = 1e-5
    for place, found in enumerate(of_values):
        direction = RNG.normal(size=found.shape)
        moved = [
            solve(z, *(v + s * direction if i == place else v for i, v in enumerate(values)))
            for s in (step, -step)
        ]
        np.testing.assert_allclose(
            tf.reduce_sum(found * direction, axis=-1),
            (moved[0] - moved[1]) / (2 * step),
            rtol=1e-5,
            atol=1e-8,
        )
    second = (solve(z + 1e-3, *values) - 2 * solve(z, *values) + solve(z - 1e-3, *values)) / 1e-6
    np.testing.assert_allclose(outer.gradient(first, z), second, rtol=1e-3, atol=1e-4)


def test_parameters_with_their_components_first_are_of_the_same_batch():
    """As TFP counts it: of three components and ten numbers, [10] and not [3]."""
    first = [tf.constant(RNG.normal(size=[3, 4, 10])) for _ in range(3)]
    one = mixture_logistic.ComponentsFirst(*first, log_scale=tf.zeros([10], tf.float64), dtype=tf.float64)
    last = [tf.transpose(value, [1, 2, 0]) for value in first]
    other = bijectors.MixtureLogisticCDF(*last, log_scale=tf.zeros([10], tf.float64), dtype=tf.float64)
    for settings, expected in (({}, [4, 10]), ({"x_event_ndims": 1}, [4])):
        assert one.experimental_batch_shape(**settings) == expected
        assert other.experimental_batch_shape(**settings) == expected
        assert one.experimental_batch_shape_tensor(**settings).numpy().tolist() == expected
    x = RNG.normal(size=[4, 10])
    np.testing.assert_allclose(one.inverse(x), other.inverse(x), rtol=1e-12)


def test_by_itself_in_a_chain_of_images_its_volume_is_that_of_each_position():
    def network(in_channels, out_channels):
        return lambda x: tf.ones([*x.shape[:-1], out_channels], x.dtype)

    x = tf.constant(RNG.normal(size=[2, 3, 4, 2]))
    mixture = _bijector(np.float64, LOGITS[0], LOCATIONS[0], LOG_SCALES[0])
    chain = bijectors.FusedChain([mixture, bijectors.AdditiveCoupling(2, network, dtype=tf.float64)])
    _, log_det = bijectors.inverse_by_position(chain, x)
    expected = mixture.inverse_log_det_jacobian(tf.identity(x), event_ndims=1)
    np.testing.assert_allclose(log_det[..., 0], expected, rtol=1e-12)


def test_one_component_is_affine():
    bijector = _bijector(tf.float64, *(value[:, :1] for value in (LOGITS, LOCATIONS, LOG_SCALES)))
    x = RNG.normal(size=[40]) * 100
    expected = (x - LOCATIONS[:, 0]) * np.exp(-LOG_SCALES[:, 0])
    np.testing.assert_allclose(bijector.inverse(x), expected, rtol=1e-12)
    np.testing.assert_allclose(bijector.forward(expected), x, rtol=1e-12)


def test_what_is_not_finite_stays_so_and_ends():
    z = np.array([np.nan, np.inf, -np.inf, 0.0])
    settings = dict(logits=LOGITS[:4], locations=LOCATIONS[:4], log_scales=LOG_SCALES[:4])
    x = _bijector(tf.float64, **settings).forward(z).numpy()
    assert np.isnan(x[0]) and np.isfinite(x[3]) and not np.isfinite(x[1:3]).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bijectors.MixtureLogisticCDF([0.0], [0.0, 1.0], [0.0]), r"one number for each component"),
        (lambda: bijectors.MixtureLogisticCDF(0.0, 0.0, 0.0), r"logits \(\), locations \(\)"),
        (lambda: bijectors.MixtureLogisticCDF([0.0], [0.0], [0.0], min_slope=-1), "`min_slope` must be"),
        (lambda: bijectors.MixtureLogisticCDF([0.0], [0.0], [0.0], dtype=tf.int32), "`dtype` must be a fl"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
