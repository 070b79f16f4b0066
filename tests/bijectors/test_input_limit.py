"""Networks that see no further than a limit."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import bijectors, testing


class Says(tf.Module):
    """The first half as it is given, for scale and shift; and what it was last given."""

    def __call__(self, x):
        self.given = x
        return tf.concat([tf.zeros_like(x), x], axis=-1)


@pytest.mark.parametrize("kind", [bijectors.AffineCoupling, bijectors.FactorOut])
def test_the_network_sees_its_input_clipped_and_nothing_else_is(kind):
    bijector = kind(2, lambda i, o: Says(), event_ndims=1, input_limit=2.0)
    x = tf.constant([[0.25, -9.0], [9.0, 0.5], [-3.0, 1.0]])
    seen = x[:, :1] if kind is bijectors.FactorOut else x[:, 1:]
    z = bijector.inverse(x)
    np.testing.assert_array_equal(bijector.network.given, np.clip(seen, -2, 2))
    moved = tf.reduce_sum(x, axis=-1) + tf.clip_by_value(seen, -2.0, 2.0)[:, 0]
    np.testing.assert_allclose(tf.reduce_sum(z, axis=-1), moved)
    np.testing.assert_allclose(bijector.forward(tf.identity(z)), x, rtol=1e-6)
    assert bijector.input_limit == 2


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf"), "2"])
def test_a_limit_that_is_none(limit):
    with pytest.raises(ValueError, match="`input_limit` must be positive, or 0 for none"):
        bijectors.AffineCoupling(2, lambda i, o: Says(), event_ndims=1, input_limit=limit)


@pytest.mark.parametrize("extra", [{}, {"shift_first": True}, {"condition_channels": 2}])
def test_within_the_limit_a_glow_is_the_same(extra):
    """And its variables are in the same order: a limit can be set on weights that were trained without."""
    plain, limited = (
        bijectors.Glow((4, 4, 3), 2, 2, hidden_channels=4, input_limit=limit, dtype=tf.float64, **extra)
        for limit in (0.0, 50.0)
    )
    testing.perturb(plain, scale=0.1)
    assert [v.name for v in plain.variables] == [v.name for v in limited.variables]
    for old, new in zip(plain.variables, limited.variables, strict=True):
        new.assign(old)
    given = {"condition": tf.ones([2], tf.float64)} if "condition_channels" in extra else {}
    x = np.random.default_rng(0).uniform(size=[3, 4, 4, 3])
    np.testing.assert_array_equal(plain.inverse(x, **given), limited.inverse(x, **given))
    far = plain.inverse(1e3 * x, **given) - limited.inverse(1e3 * x, **given)
    assert abs(far.numpy()).max() > 1


def test_what_is_no_limit_of_a_glow():
    for make in (functools.partial(bijectors.Glow, (4, 4, 1), 1), tfp_flows.GlowConfig):
        with pytest.raises(ValueError, match="`input_limit` must be positive, or 0 for none, got -1.0"):
            make(input_limit=-1.0)
