"""What the fast sampler carries from row to row."""

from typing import NamedTuple

import tensorflow as tf

from pixelcnn.sampling_weights import levels
from tfp_flows.distributions.image_distribution import ImageDistribution


class State(NamedTuple):
    """What is known of the rows above the current one.

    Attributes:
      pixels: The last two rows in [-1, 1], `[n, W, C]` each, the older first; zeros above the image.
      vertical: For each level, the last row that each convolution of the vertical stack saw.
      contracted: For each contraction, the last row that it saw.
      horizontal: For each level, what the convolutions of the horizontal stack saw in its last row, side by
        side: `[W, n, channels]`.
    """

    pixels: list[tf.Tensor]
    vertical: list[list[tf.Tensor]]
    contracted: list[tf.Tensor]
    horizontal: list[tf.Tensor]


def state_shapes(model: ImageDistribution) -> State:
    """Of a `PixelCNN`, the shapes of what passes between blocks of rows: `State`, None for the batch."""
    _, width, channels = model.event_shape
    network = model.network
    filters = network.filters
    vertical, horizontal = [], []
    for level, blocks in enumerate(levels(network)):
        size = width >> level
        vertical.append([tf.TensorShape([None, size, 2 * filters])] * (2 * len(blocks)))
        horizontal.append(tf.TensorShape([size, None, (4 * len(blocks) + 1) * filters]))
    contracted = [tf.TensorShape([None, width >> i, filters]) for i in range(len(network.contract))]
    pixels = [tf.TensorShape([None, width, channels])] * 2
    return State(pixels, vertical, contracted, horizontal)


def deepest_level(number: int, most: int) -> int:
    """How often `number` can be halved, at most `most`: the coarsest level at work at this row or column."""
    count = 0
    while count < most and number % 2 ** (count + 1) == 0:
        count += 1
    return count
