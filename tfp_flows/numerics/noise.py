"""Stateless random numbers: the same from the same seed, on any device, with and without XLA.

TensorFlow's default generator is Philox in graphs and another one under XLA on a CPU; here it is always
Philox. Its random integers are the same everywhere, but XLA makes floats of other bits of them than
TensorFlow's kernels do (TF 2.21): so floats are made of the integers here, as the kernels do it.

A seed is an integer; a pair of them; None, for another one at each call, in a graph too; or a pair and a
part (index, count), made by `part`: then a draw for B images is that of images index * B, ...,
(index + 1) * B - 1 of a batch of count * B. So a batch that several devices share gets the noise that one
device would have given it. Philox numbers blocks of four integers, and any of them can be had without those
before: each part draws its own alone.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

ALGORITHM = 1  # Philox, in TensorFlow's raw operations
SCRAMBLING_KEY = 0x02461E293EC8F720  # with which TensorFlow makes a key and a counter of a seed
BLOCK = 4  # integers that Philox makes at once
SMALLEST_UNIFORM = 1e-7  # of the kernels' Box-Muller transform


def uniform(shape, seed, dtype=tf.float32):
    """Uniform noise in [0, 1), a multiple of 2^-23 (float64: 2^-52); images are along the first axis."""
    return _draw(_uniform, shape, seed, tf.as_dtype(dtype))


def normal(shape, seed, dtype=tf.float32):
    """Standard normal noise, by the Box-Muller transform; images are along the first axis."""
    return _draw(_normal, shape, seed, tf.as_dtype(dtype))


def dropout(x, rate, seed):
    """`x` with each entry, with probability `rate`, set to 0 and the others divided by 1 - rate."""
    kept = uniform(tf.shape(x), seed, x.dtype) >= rate
    return tf.where(kept, x / (1.0 - rate), tf.zeros([], x.dtype))


def part(seed, index, count):
    """The seed of part `index` of a batch in `count` equal parts; `[4]`, or the pair itself for one part."""
    pair = seed_pair(seed)
    if not tf.is_tensor(count) and count == 1:
        return pair
    return tf.concat([pair, tf.cast(tf.stack([index, count]), pair.dtype)], 0)


def split(seed, count):
    """`count` seeds that depend on `seed` alone: pairs `[count, 2]`, or of the same part `[count, 4]`."""
    pair, own_part = _parted(seed)
    seeds = tf.reshape(_integers(0, 2 * count, pair), [count, 2])
    if own_part is None:
        return seeds
    return tf.concat([seeds, tf.tile(tf.cast(own_part, seeds.dtype)[tf.newaxis], [count, 1])], 1)


def seed_pair(seed):
    """An integer seed as the pair (0, seed); a pair as it is; None as a new pair at each call."""
    if seed is None:
        return _new_pair()
    seed = tf.convert_to_tensor(seed)
    return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed


def _new_pair():
    """A pair from TensorFlow's global generator (`tf.random.set_seed`), or else from the system."""
    try:
        return tfp.random.sanitize_seed(None)
    except RuntimeError:  # it is deterministic, as training makes it, and was given no seed
        if not tf.executing_eagerly():  # here the pair would be a constant of the graph
            raise
        return tf.constant(np.random.SeedSequence().generate_state(2).astype(np.int32))


def _parted(seed):
    """(pair, part or None)."""
    seed = seed_pair(seed)
    return (seed, None) if seed.shape[0] == 2 else (seed[:2], seed[2:])


def _draw(draw, shape, seed, dtype):
    """What `draw(start, size, pair, dtype)`, numbers of one long sequence, gives for the seed's part."""
    pair, own_part = _parted(seed)
    shape = tf.convert_to_tensor(shape, tf.int32)
    size = tf.reduce_prod(tf.cast(shape, tf.int64))
    start = 0 if own_part is None else tf.cast(own_part[0], tf.int64) * size
    return tf.reshape(draw(start, size, pair, dtype), shape)


def _uniform(start, size, pair, dtype):
    if dtype != tf.float64:
        mantissa = tf.bitwise.bitwise_and(_integers(start, size, pair), 0x7FFFFF)
        return tf.cast(tf.cast(mantissa, tf.float32) * 2.0**-23, dtype)
    high, low = tf.unstack(tf.reshape(_integers(2 * start, 2 * size, pair), [-1, 2]), axis=-1)
    high = tf.cast(tf.bitwise.bitwise_and(high, 0xFFFFF), tf.float64)
    low = tf.cast(tf.bitcast(low, tf.uint32), tf.float64)
    return high * 2.0**-20 + low * 2.0**-52


def _normal(start, size, pair, dtype):
    """Each two of them come from two uniform numbers."""
    skipped = start % 2
    num_pairs = (skipped + size + 1) // 2
    uniforms = tf.reshape(_uniform(start - skipped, 2 * num_pairs, pair, dtype), [-1, 2])
    first, second = tf.unstack(uniforms, axis=-1)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(first, tf.cast(SMALLEST_UNIFORM, first.dtype))))
    angle = 2.0 * math.pi * second
    pairs = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=-1)
    return tf.reshape(pairs, [-1])[skipped : skipped + size]


def _integers(start, size, pair):
    """Integers `start`, ..., `start + size - 1` of a seed's sequence: int32, all 32 bits random."""
    mixed = _philox(4, tf.constant([SCRAMBLING_KEY], tf.uint64), tf.cast(pair, tf.uint64), tf.uint32)
    key, upper = tf.bitcast(mixed[:2], tf.uint64), tf.bitcast(mixed[2:], tf.uint64)
    skipped = start % BLOCK
    counter = tf.stack([tf.cast(start // BLOCK, tf.uint64), upper])
    return _philox(skipped + size, key[tf.newaxis], counter, tf.int32)[skipped:]


def _philox(size, key, counter, dtype):
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.reshape(size, [1]), key=key, counter=counter, alg=ALGORITHM, dtype=dtype
    )
