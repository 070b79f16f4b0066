"""What coupling networks are made of: layers with seeded weights, and a condition beside the input."""

import numpy as np
import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import precision


class Conv2D(tf.Module):
    """Convolution with stride 1 and zero padding, and a bias."""

    def __init__(self, in_channels, out_channels, kernel_size, seed, dtype, name):
        super().__init__(name=name)
        shape = [kernel_size, kernel_size, in_channels, out_channels]
        fan_in = kernel_size * kernel_size * in_channels
        self.kernel = tf.Variable(_he_normal(shape, fan_in, seed, dtype), name=f"{name}_kernel")
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name=f"{name}_bias")

    def __call__(self, x):
        """`[N, H, W, in_channels] -> [N, H, W, out_channels]`."""
        if x.shape[0] == 0:  # TF 2.21's float32 convolution of no images has the input's channels
            return tf.zeros(x.shape[:-1].concatenate(self.bias.shape), x.dtype)
        return tf.nn.bias_add(precision.conv2d(x, self.kernel, 1, "SAME"), self.bias)


class Dense(tf.Module):
    """Matrix product and a bias along the last axis: on images, a 1x1 convolution.

    As one product over all positions it trains 5 to 7 % faster, in the whole step of a flow, than
    `tf.nn.conv2d` with a 1x1 kernel (TF 2.21, oneDNN).
    """

    def __init__(self, in_channels, out_channels, seed, dtype, name):
        super().__init__(name=name)
        kernel = _he_normal([in_channels, out_channels], in_channels, seed, dtype)
        self.kernel = tf.Variable(kernel, name=f"{name}_kernel")
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name=f"{name}_bias")

    def __call__(self, x, activation=tf.identity):
        """`[N, ..., in_channels] -> [N, ..., out_channels]`; `activation` is applied to the result."""
        flat = tf.reshape(x, [-1, x.shape[-1]])
        # Before the reshape, where TF fuses product, bias and ReLU.
        flat = activation(tf.nn.bias_add(precision.matmul(flat, self.kernel), self.bias))
        if x.shape.rank == 2:
            return flat
        shape = x.shape[:-1].concatenate(flat.shape[-1])
        if shape[1:].is_fully_defined():
            return tf.reshape(flat, [-1 if shape[0] is None else shape[0], *shape[1:]])
        sizes = tf.concat([tf.shape(x)[:-1], tf.shape(flat)[-1:]], 0)
        return tf.ensure_shape(tf.reshape(flat, sizes), shape)


def _he_normal(shape, fan_in, seed, dtype):
    """Normal values of standard deviation sqrt(2 / fan_in) (He et al. 2015), zeros without a seed."""
    if seed is None:
        return tf.zeros(shape, dtype)
    values = np.random.default_rng(seed).standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return tf.constant(values, dtype)


def spawn(seed, count):
    """`count` independent seeds for NumPy's generators, which follow from `seed` alone."""
    return np.random.SeedSequence(seed).spawn(count)


def with_condition(x, condition, condition_channels, owner):
    """Appends `condition`, broadcast over the positions of `x`, to the channels of `x`."""
    given = 0 if condition is None else condition.shape[-1]
    if given != condition_channels:
        raise UserError(
            f"{owner}: `condition` must have condition_channels={condition_channels} channels, got {given}."
        )
    if condition is None:
        return x
    while condition.shape.rank < x.shape.rank:
        condition = tf.expand_dims(condition, 1)
    shape = tf.concat([tf.shape(x)[:-1], [condition_channels]], 0)
    return tf.concat([x, tf.broadcast_to(condition, shape)], axis=-1)
