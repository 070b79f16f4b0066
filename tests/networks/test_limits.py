"""A network that sees no further than its limit."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import bijectors, networks, testing


class Says(tf.Module):
    """The input itself, and the condition."""

    condition_channels = 7

    def __call__(self, x, condition=0.0):
        return x + condition


def test_the_input_is_clipped_and_nothing_else():
    network = networks.limited(lambda i, o: Says(), 2.0)(1, 1)
    np.testing.assert_array_equal(network(tf.constant([-9.0, -2.0, 0.5, 3.0])), [-2, -2, 0.5, 2])
    np.testing.assert_array_equal(network(tf.constant([9.0]), condition=10.0), [12])
    assert network.condition_channels == 7 and network.limit == 2


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none(limit):
    with pytest.raises(ValueError, match="`limit` must be positive and finite"):
        networks.Limited(Says(), limit)


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
