"""A small chain of this package's bijectors, and its couplings' network."""

import functools

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors, networks

tfb = tfp.bijectors

CONV = functools.partial(networks.ConvNetwork, hidden_channels=5)


def chain(dtype):
    """For events `[4, 4, 2]`."""
    conv = functools.partial(CONV, dtype=dtype)
    inner = bijectors.FusedChain(
        [
            bijectors.InvertibleConv1x1(4, seed=3, dtype=dtype, name="conv_b"),
            bijectors.AdditiveCoupling(4, conv, dtype=dtype, name="coupling_b"),
        ]
    )
    return bijectors.FusedChain(
        [
            bijectors.Squeeze(),
            bijectors.ActNorm(8, dtype=dtype),
            bijectors.InvertibleConv1x1(8, dtype=dtype),
            bijectors.AffineCoupling(8, conv, dtype=dtype),
            tfb.Scale(tf.constant(1.5, dtype)),  # not ours
            bijectors.FactorOut(8, conv, rest=inner, dtype=dtype),
            tfb.Invert(bijectors.Squeeze()),
        ]
    )
