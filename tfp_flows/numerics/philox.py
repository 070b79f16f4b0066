"""Random integers of the Philox generator: the same on any device, with and without XLA.

TensorFlow's default generator is Philox in graphs and another one under XLA on a CPU; here it is Philox
by name. It numbers blocks of four integers, and any of them can be had without those before.
"""

import tensorflow as tf

ALGORITHM = 1  # Philox, in TensorFlow's raw operations
SCRAMBLING_KEY = 0x02461E293EC8F720  # with which TensorFlow makes a key and a counter of a seed
BLOCK = 4  # integers that Philox makes at once


def integers(start: int | tf.Tensor, size: int | tf.Tensor, pair: tf.Tensor) -> tf.Tensor:
    """Integers `start`, ..., `start + size - 1` of a seed's sequence.

    Args:
      start: Scalar, not negative.
      size: Scalar, not negative.
      pair: The seed, two integers `[2]`.

    Returns:
      int32 `[size]`, all 32 bits random.
    """
    mixed = _philox(4, tf.constant([SCRAMBLING_KEY], tf.uint64), tf.cast(pair, tf.uint64), tf.uint32)
    key, upper = tf.bitcast(mixed[:2], tf.uint64), tf.bitcast(mixed[2:], tf.uint64)
    skipped = start % BLOCK
    counter = tf.stack([tf.cast(start // BLOCK, tf.uint64), upper])
    return _philox(skipped + size, key[tf.newaxis], counter, tf.int32)[skipped:]


def _philox(size: int | tf.Tensor, key: tf.Tensor, counter: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.reshape(size, [1]), key=key, counter=counter, alg=ALGORITHM, dtype=dtype
    )
