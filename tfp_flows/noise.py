"""Stateless random numbers: the same from the same seed, on any device, with and without XLA.

TensorFlow's default generator is Philox in graphs and another one under XLA on a CPU; here it is always
Philox. Its random integers are the same everywhere, but XLA makes floats of other bits of them than
TensorFlow's kernels do (TF 2.21): so floats are made of the integers here, as the kernels do it. A seed
is an integer, or a pair of them.
"""

import math

import tensorflow as tf

ALGORITHM = "philox"
SMALLEST_UNIFORM = 1e-7  # of the kernels' Box-Muller transform


def uniform(shape, seed, dtype=tf.float32):
    """Uniform noise in [0, 1), a multiple of 2^-23 (float64: 2^-52)."""
    dtype = tf.as_dtype(dtype)
    if dtype != tf.float64:
        mantissa = tf.bitwise.bitwise_and(_integers(shape, seed), 0x7FFFFF)
        return tf.cast(tf.cast(mantissa, tf.float32) * 2.0**-23, dtype)
    high, low = tf.unstack(_integers(tf.concat([shape, [2]], 0), seed), axis=-1)
    high = tf.cast(tf.bitwise.bitwise_and(high, 0xFFFFF), tf.float64)
    low = tf.cast(tf.bitcast(low, tf.uint32), tf.float64)
    return high * 2.0**-20 + low * 2.0**-52


def normal(shape, seed, dtype=tf.float32):
    """Standard normal noise, by the Box-Muller transform."""
    count = tf.reduce_prod(shape)
    first, second = tf.unstack(uniform(tf.stack([(count + 1) // 2, 2]), seed, dtype), axis=-1)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(first, tf.cast(SMALLEST_UNIFORM, first.dtype))))
    angle = 2.0 * math.pi * second
    pairs = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=-1)
    return tf.reshape(tf.reshape(pairs, [-1])[:count], shape)


def split(seed, count):
    """`count` seeds, each a pair, that depend on `seed` and on nothing else: `[count, 2]`."""
    return _integers([count, 2], seed)


def seed_pair(seed):
    """An integer seed as the pair (0, seed); a pair as it is."""
    seed = tf.convert_to_tensor(seed)
    return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed


def _integers(shape, seed):
    """Random int32, all 32 bits of them."""
    return tf.random.stateless_uniform(
        shape, seed_pair(seed), minval=None, maxval=None, dtype=tf.int32, alg=ALGORITHM
    )
