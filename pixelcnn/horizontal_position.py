"""The horizontal stack of the fast sampler at one position of one level.

A convolution of the horizontal stack is 2 x 2: it sees, of its input, columns c - 1 and c of the row above
and of the current row. So what a block computes at a position is a sum of

    what comes from the row above, and from the vertical stack    `known_of_level`, a row at a time
    what the convolutions saw at the position on the left         `Position`, its argument `left`
    what they see at the position itself                          `Position`

What the convolutions of a level see at a position is kept side by side in one tensor `[n, channels]`: for
each block the activated inputs of its two convolutions, 2 F channels each; and last the value that is
contracted, F channels.
"""

import tensorflow as tf

from pixelcnn.layers import concat_elu
from pixelcnn.network import gate
from pixelcnn.sampling_weights import SamplingWeights


def known_of_level(
    weights: SamplingWeights, level: int, above: tf.Tensor, skips: list[tf.Tensor], contracts: bool
) -> tf.Tensor:
    """What does not depend on the current row, for every position of a level.

    Args:
      weights: `SamplingWeights`.
      level: Of the row.
      above: What the convolutions saw in the row above, `[W, n, channels]`.
      skips: For each block, what it takes from the vertical stack, `[n, W, 2 F]`.
      contracts: Whether the next coarser level is at work in this row.

    Returns:
      `[W, n, channels]`: for each block what is added to the outputs of its two convolutions, F and 2 F
      channels, and last what is added to the contracted value, F channels, if there is one.
    """
    inputs = tf.split(above, _sizes_seen(weights, level), axis=-1)
    added = []
    for index, block in enumerate(weights.blocks[level]):
        skip = tf.transpose(skips[index], [1, 0, 2])
        added += [
            tf.matmul(_pairs(inputs[2 * index]), block.in_above)
            + tf.matmul(skip, block.skip_vertical)
            + block.in_bias,
            tf.matmul(_pairs(inputs[2 * index + 1]), block.out_above) + block.out_bias,
        ]
    if contracts:
        kernel_above, _ = weights.contract[level]
        coarse = tf.matmul(_pairs(inputs[-1])[::2], kernel_above)
        bias = weights.network.contract[level].horizontal.bias
        added.append(tf.repeat(coarse + bias, 2, axis=0))  # of two columns the first alone reads it
    return tf.concat(added, axis=-1)


class Position:
    """The blocks of one level at one position: first the way down, then the way up."""

    def __init__(self, weights: SamplingWeights, level: int, known: tf.Tensor, left: tf.Tensor):
        """Takes `known_of_level` at this column, and what the convolutions saw at the column before."""
        filters = weights.filters
        self._weights = weights
        self._level = level
        self._blocks = weights.blocks[level]
        sizes = [filters, 2 * filters] * len(self._blocks)
        contracts = known.shape[-1] > sum(sizes)
        self._known = tf.split(known, [*sizes, filters] if contracts else sizes, axis=-1)
        self._left = tf.split(left, _sizes_seen(weights, level), axis=-1)
        self._seen: list[tf.Tensor] = []
        self._activations: list[tf.Tensor] = []  # of the way down, for the way up
        self._contracted: tf.Tensor = None

    def down(self, value: tf.Tensor) -> tf.Tensor:
        """The blocks on the way down: `[n, F]` to `[n, F]`."""
        self._activations.append(concat_elu(value))
        for index in range(self._weights.num_down):
            value = self._block(index, value, self._activations[-1], [])
            self._activations.append(concat_elu(value))
        self._contracted = value
        return value

    def contract(self) -> tf.Tensor:
        """The value of the next coarser level, from those of the way down here and on the left."""
        _, kernel_now = self._weights.contract[self._level]
        both = tf.concat([self._left[-1], self._contracted], axis=-1)
        return tf.matmul(both, kernel_now) + self._known[-1]

    def turn(self) -> None:
        """Says that the way up starts here, with the value in which the way down has ended."""
        self._activations.pop()

    def up(self, value: tf.Tensor) -> tf.Tensor:
        """The blocks on the way up, each with an activation of the way down, the last one first."""
        for index in range(self._weights.num_down, len(self._blocks)):
            value = self._block(index, value, concat_elu(value), [self._activations.pop()])
        return value

    def seen(self) -> tf.Tensor:
        """What the convolutions saw here, side by side."""
        return tf.concat([*self._seen, self._contracted], axis=-1)

    def _block(self, index: int, value: tf.Tensor, activated: tf.Tensor, skip: list[tf.Tensor]) -> tf.Tensor:
        """A gated residual block; see `network.Block`."""
        block = self._blocks[index]
        y = tf.matmul(tf.concat([self._left[2 * index], activated, *skip], axis=-1), block.in_now)
        inner = concat_elu(y + self._known[2 * index])
        y = tf.matmul(tf.concat([self._left[2 * index + 1], inner], axis=-1), block.out_now)
        self._seen += [activated, inner]
        return value + gate(y + self._known[2 * index + 1])


def _sizes_seen(weights: SamplingWeights, level: int) -> list[int]:
    """Channels of what the convolutions of a level see."""
    return [2 * weights.filters] * (2 * len(weights.blocks[level])) + [weights.filters]


def _pairs(row: tf.Tensor) -> tf.Tensor:
    """[column c - 1, column c] side by side, of `[W, n, I]`."""
    return tf.concat([tf.pad(row[:-1], [[1, 0], [0, 0], [0, 0]]), row], axis=-1)
