"""Stateless random numbers: the same from the same seed, on any device, with and without XLA.

TensorFlow's default generator is Philox in graphs and another one under XLA on a CPU; here it is always
Philox. A seed is an integer, or a pair of them.
"""

import tensorflow as tf

ALGORITHM = "philox"


def uniform(shape, seed, dtype=tf.float32):
    """Uniform noise in [0, 1)."""
    return tf.random.stateless_uniform(shape, seed_pair(seed), dtype=dtype, alg=ALGORITHM)


def normal(shape, seed, dtype=tf.float32):
    """Standard normal noise."""
    return tf.random.stateless_normal(shape, seed_pair(seed), dtype=dtype, alg=ALGORITHM)


def split(seed, count):
    """`count` seeds, each a pair, that depend on `seed` and on nothing else: `[count, 2]`."""
    pairs = tf.random.stateless_uniform(
        [count, 2], seed_pair(seed), minval=None, maxval=None, dtype=tf.int32, alg=ALGORITHM
    )
    return pairs


def seed_pair(seed):
    """An integer seed as the pair (0, seed); a pair as it is."""
    seed = tf.convert_to_tensor(seed)
    return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed
