"""The network's kernels, normalised and cut for sampling."""

from typing import NamedTuple

import tensorflow as tf

from pixelcnn.layers import CausalConv
from pixelcnn.network import Pair, PixelCNNNetwork


class HorizontalBlock(NamedTuple):
    """A block's kernels, cut into the part of the row above and the part of the current row."""

    in_above: tf.Tensor  # [4 F, F]
    in_now: tf.Tensor  # [4 F (+ 2 F for the skip), F]
    skip_vertical: tf.Tensor  # [2 F, F]
    in_bias: tf.Tensor
    out_above: tf.Tensor  # [4 F, 2 F]
    out_now: tf.Tensor
    out_bias: tf.Tensor  # [2 F], or [n, 2 F] with a condition


class SamplingWeights:
    """All kernels, normalised once for a few rows."""

    def __init__(self, network: PixelCNNNetwork, condition: tf.Tensor | None):
        self.network = network
        self.condition = condition
        self.filters = network.filters
        self.levels = levels(network)
        self.num_down = len(network.down[0])
        self.blocks = [[self._split(pair.horizontal) for pair in level] for level in self.levels]
        self.vertical_biases = [
            [
                None if condition is None else pair.vertical.projection(condition)[:, tf.newaxis]
                for pair in level
            ]
            for level in self.levels
        ]
        self.contract = [above_and_now(pair.horizontal) for pair in network.contract]
        left = network.horizontal_left
        self.left_kernel = left.kernel()[:, 0]
        self.output_kernel = network.output.kernel()

    def _split(self, block):
        in_above, in_now = above_and_now(block.conv_in)
        out_above, out_now = above_and_now(block.conv_out)
        skip = block.skip.kernel()
        if skip.shape[0] > 2 * self.filters:  # on the way up: of the vertical stack, and of the way down
            in_now = tf.concat([in_now, skip[2 * self.filters :]], axis=0)
        out_bias = block.conv_out.bias
        if self.condition is not None:
            out_bias = out_bias + block.projection(self.condition)
        return HorizontalBlock(
            in_above,
            in_now,
            skip[: 2 * self.filters],
            block.conv_in.bias + block.skip.bias,
            out_above,
            out_now,
            out_bias,
        )


def above_and_now(conv: CausalConv) -> tuple[tf.Tensor, tf.Tensor]:
    """A kernel [2, 2, I, O] as two matrices [2 I, O]: of the row above and of the current one."""
    kernel = conv.kernel()
    return tuple(tf.reshape(kernel[row], [-1, kernel.shape[-1]]) for row in (0, 1))


def levels(network: PixelCNNNetwork) -> list[list[Pair]]:
    """For each resolution, finest first, the pairs of blocks on its way down and then on its way up."""
    return [[*down, *up] for down, up in zip(network.down, reversed(network.up), strict=True)]
