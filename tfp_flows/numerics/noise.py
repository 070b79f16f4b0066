"""Stateless random numbers: the same from the same seed, on any device, with and without XLA.

Philox's integers (`philox`) are the same everywhere, but XLA makes floats of other bits of them than
TensorFlow's kernels do (TF 2.21): so floats are made of the integers here, as the kernels do it. A seed is
whatever `Seed.of` takes.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from tfp_flows.numerics import philox
from tfp_flows.numerics.seed import Seed, SeedLike

SMALLEST_UNIFORM = 1e-7  # of the kernels' Box-Muller transform
HALF_BITS = {tf.bfloat16: 8, tf.float16: 11}  # of their significands: more would round up to 1

Shape: TypeAlias = tf.Tensor | tf.TensorShape | Sequence[int | tf.Tensor]


def uniform(shape: Shape, seed: SeedLike, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Uniform noise in [0, 1); images are along the first axis.

    A multiple of 2^-23; float64: 2^-52, float16: 2^-11, bfloat16: 2^-8.
    """
    return _draw(_uniform, shape, seed, tf.as_dtype(dtype))


def normal(shape: Shape, seed: SeedLike, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Standard normal noise, by the Box-Muller transform; images are along the first axis."""
    return _draw(_normal, shape, seed, tf.as_dtype(dtype))


def signs(shape: Shape, seed: SeedLike, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """-1 or 1, each with probability 1/2; images are along the first axis."""
    return _draw(_signs, shape, seed, tf.as_dtype(dtype))


def dropout(x: tf.Tensor, rate: float, seed: SeedLike) -> tf.Tensor:
    """`x` with each entry, with probability `rate`, set to 0 and the others divided by 1 - rate."""
    kept = uniform(tf.shape(x), seed, x.dtype) >= rate
    return tf.where(kept, x / (1.0 - rate), tf.zeros([], x.dtype))


def _draw(draw: Callable, shape: Shape, seed: SeedLike, dtype: tf.DType) -> tf.Tensor:
    """What `draw(start, size, pair, dtype)`, numbers of one long sequence, gives for the seed's part."""
    pair, index = Seed.of(seed)
    shape = tf.convert_to_tensor(shape, tf.int32)
    known = tf.get_static_value(shape)  # then the size is Python's, and the graph has half the operations
    size = tf.reduce_prod(tf.cast(shape, tf.int64)) if known is None else int(np.prod(known))
    start = tf.cast(index, tf.int64) * size if tf.is_tensor(index) or index else 0
    return tf.reshape(draw(start, size, pair, dtype), shape)


def _signs(start, size, pair, dtype):
    return tf.cast(2 * tf.bitwise.bitwise_and(philox.integers(start, size, pair), 1) - 1, dtype)


def _uniform(start, size, pair, dtype):
    if dtype != tf.float64:
        mantissa = tf.bitwise.bitwise_and(
            philox.integers(start, size, pair), _mask(HALF_BITS.get(dtype, 23))
        )
        return tf.cast(tf.cast(mantissa, tf.float32) * 2.0**-23, dtype)
    high, low = tf.unstack(tf.reshape(philox.integers(2 * start, 2 * size, pair), [-1, 2]), axis=-1)
    high = tf.cast(tf.bitwise.bitwise_and(high, 0xFFFFF), tf.float64)
    low = tf.cast(tf.bitcast(low, tf.uint32), tf.float64)
    return high * 2.0**-20 + low * 2.0**-52


def _mask(bits: int) -> int:
    """The first of a mantissa's 23 bits."""
    return 0x7FFFFF & ~((1 << (23 - bits)) - 1)


def _normal(start, size, pair, dtype):
    """Each two of them come from two uniform numbers; in half precision from those of float32."""
    if dtype in HALF_BITS:
        return tf.cast(_normal(start, size, pair, tf.float32), dtype)
    skipped = start % 2
    num_pairs = (skipped + size + 1) // 2
    uniforms = tf.reshape(_uniform(start - skipped, 2 * num_pairs, pair, dtype), [-1, 2])
    first, second = tf.unstack(uniforms, axis=-1)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(first, tf.cast(SMALLEST_UNIFORM, first.dtype))))
    angle = 2.0 * math.pi * second
    pairs = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=-1)
    return tf.reshape(pairs, [-1])[skipped : skipped + size]
