"""Self-attention over the positions of an image, and what tells the positions apart."""

import math

import tensorflow as tf

from tfp_flows.networks import layers
from tfp_flows.numerics import precision

LONGEST_WAVE = 1000.0  # positions: longer than any image here is wide


class SelfAttention(tf.Module):
    """Multi-head attention of each position of an image to all of them (Vaswani et al. 2017).

        y = W_o concat_heads(softmax(q k^T / sqrt(d)) v),      [q, k, v] = W x

    Its cost grows with the square of the number of positions.

    #### References

    [1]: Ashish Vaswani et al. Attention is all you need. NeurIPS 2017. https://arxiv.org/abs/1706.03762
         (section 3.2)
    """

    def __init__(
        self, channels: int, num_heads: int, seed: layers.Seed, dtype: tf.DType, name: str = "attention"
    ) -> None:
        """Creates the weights.

        Args:
          channels: Positive `int`, C.
          num_heads: Positive `int`; as many heads as the largest number that divides both.
          seed: Of the initial weights.
          dtype: Floating dtype.
          name: Python `str`.
        """
        super().__init__(name=name)
        self._channels = channels
        self._num_heads = math.gcd(channels, num_heads)
        seeds = layers.spawn(seed, 2)
        self._into = layers.Dense(channels, 3 * channels, seeds[0], dtype, "query_key_value")
        self._out = layers.Dense(channels, channels, seeds[1], dtype, "joined")

    @property
    def num_heads(self) -> int:
        """How many heads share the channels."""
        return self._num_heads

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """`[N, H, W, C] -> [N, H, W, C]`."""
        size = self._channels // self._num_heads
        found = tf.reshape(self._into(x), [-1, num_positions(x), 3 * self._num_heads, size])
        query, key, value = tf.split(tf.transpose(found, [0, 2, 1, 3]), 3, axis=1)
        scores = precision.matmul(query / math.sqrt(size), tf.linalg.matrix_transpose(key))
        joined = precision.matmul(tf.nn.softmax(scores), value)  # [N, heads, positions, size]
        joined = tf.reshape(tf.transpose(joined, [0, 2, 1, 3]), tf.shape(x))
        return self._out(tf.ensure_shape(joined, x.shape))


def num_positions(x: tf.Tensor) -> int | tf.Tensor:
    """H W of `[N, H, W, C]`."""
    height, width = x.shape[1:3]
    if height is None or width is None:
        return tf.reduce_prod(tf.shape(x)[1:3])
    return height * width


def with_positions(x: tf.Tensor) -> tf.Tensor:
    """`x` `[N, H, W, C]` plus waves by which a network can tell its positions apart.

    Half of the channels hold sines and cosines of the row, the others those of the column, of wave lengths
    from 2 pi to `LONGEST_WAVE` positions (Vaswani et al. 2017, section 3.5): for an image of any size, and
    with no weights.
    """
    height, width = tf.shape(x)[1], tf.shape(x)[2]
    channels = x.shape[-1]
    rows = _waves(height, channels // 2, x.dtype)[:, tf.newaxis]
    columns = _waves(width, channels - channels // 2, x.dtype)[tf.newaxis]
    shape = [height, width]
    waves = tf.concat(
        [tf.broadcast_to(some, [*shape, some.shape[-1]]) for some in (rows, columns)],
        axis=-1,
    )
    return x + waves


def _waves(size: tf.Tensor, count: int, dtype: tf.DType) -> tf.Tensor:
    """`[size, count]`: sines and cosines of 0, ..., size - 1."""
    num_pairs = -(-count // 2)
    powers = [i / max(num_pairs - 1, 1) for i in range(num_pairs)]
    rates = tf.constant([(2 * math.pi / LONGEST_WAVE) ** power for power in powers], dtype)
    angles = tf.cast(tf.range(size), dtype)[:, tf.newaxis] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)[:, :count]
