"""Stateless random numbers: the same from the same seed, on any device, with and without XLA.

TensorFlow's default generator is Philox in graphs and another one under XLA on a CPU; here it is always
Philox. Its random integers are the same everywhere, but XLA makes floats of other bits of them than
TensorFlow's kernels do (TF 2.21): so floats are made of the integers here, as the kernels do it.

A seed is an integer; a pair of them; or a pair and a part (index, count), made by `part`: then a draw for
B images is that of images index * B, ..., (index + 1) * B - 1 of a batch of count * B. So a batch that
several devices share gets the noise that one device would have given it, at the price that each of them
draws it all.
"""

import math

import tensorflow as tf

ALGORITHM = "philox"
SMALLEST_UNIFORM = 1e-7  # of the kernels' Box-Muller transform


def uniform(shape, seed, dtype=tf.float32, axis=0):
    """Uniform noise in [0, 1), a multiple of 2^-23 (float64: 2^-52); `axis` is that of the images."""
    return _draw(_uniform, shape, seed, tf.as_dtype(dtype), axis)


def normal(shape, seed, dtype=tf.float32, axis=0):
    """Standard normal noise, by the Box-Muller transform; `axis` is that of the images."""
    return _draw(_normal, shape, seed, tf.as_dtype(dtype), axis)


def dropout(x, rate, seed):
    """`x` with each entry, with probability `rate`, set to 0 and the others divided by 1 - rate."""
    kept = uniform(tf.shape(x), seed, x.dtype) >= rate
    return tf.where(kept, x / (1.0 - rate), tf.zeros([], x.dtype))


def part(seed, index, count):
    """The seed of part `index` of a batch in `count` equal parts; `[4]`, or the pair itself for one part."""
    pair = seed_pair(seed)
    if count == 1:
        return pair
    return tf.concat([pair, tf.cast(tf.stack([index, count]), pair.dtype)], 0)


def split(seed, count):
    """`count` seeds that depend on `seed` alone: pairs `[count, 2]`, or of the same part `[count, 4]`."""
    pair, own_part = _parted(seed)
    seeds = _integers([count, 2], pair)
    if own_part is None:
        return seeds
    return tf.concat([seeds, tf.tile(tf.cast(own_part, seeds.dtype)[tf.newaxis], [count, 1])], 1)


def seed_pair(seed):
    """An integer seed as the pair (0, seed); a pair as it is."""
    seed = tf.convert_to_tensor(seed)
    return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed


def _parted(seed):
    """(pair, part or None)."""
    seed = seed_pair(seed)
    return (seed, None) if seed.shape[0] == 2 else (seed[:2], seed[2:])


def _draw(draw, shape, seed, dtype, axis):
    """What `draw` gives for the whole batch, and of that the seed's part."""
    pair, own_part = _parted(seed)
    if own_part is None:
        return draw(shape, pair, dtype)
    index, count = tf.unstack(tf.cast(own_part, tf.int32))
    sizes = tf.unstack(tf.convert_to_tensor(shape, tf.int32))
    own = sizes[axis]
    whole = draw(tf.stack([*sizes[:axis], own * count, *sizes[axis + 1 :]]), pair, dtype)
    return tf.gather(whole, index * own + tf.range(own), axis=axis)


def _uniform(shape, seed, dtype):
    if dtype != tf.float64:
        mantissa = tf.bitwise.bitwise_and(_integers(shape, seed), 0x7FFFFF)
        return tf.cast(tf.cast(mantissa, tf.float32) * 2.0**-23, dtype)
    high, low = tf.unstack(_integers(tf.concat([shape, [2]], 0), seed), axis=-1)
    high = tf.cast(tf.bitwise.bitwise_and(high, 0xFFFFF), tf.float64)
    low = tf.cast(tf.bitcast(low, tf.uint32), tf.float64)
    return high * 2.0**-20 + low * 2.0**-52


def _normal(shape, seed, dtype):
    count = tf.reduce_prod(shape)
    first, second = tf.unstack(_uniform(tf.stack([(count + 1) // 2, 2]), seed, dtype), axis=-1)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(first, tf.cast(SMALLEST_UNIFORM, first.dtype))))
    angle = 2.0 * math.pi * second
    pairs = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=-1)
    return tf.reshape(tf.reshape(pairs, [-1])[:count], shape)


def _integers(shape, pair):
    """Random int32, all 32 bits of them."""
    return tf.random.stateless_uniform(shape, pair, minval=None, maxval=None, dtype=tf.int32, alg=ALGORITHM)
