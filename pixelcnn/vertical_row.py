"""The vertical stack of the fast sampler, one row at a time."""

from typing import NamedTuple

import tensorflow as tf

from pixelcnn.layers import concat_elu
from pixelcnn.network import gate
from pixelcnn.sampling_state import State
from pixelcnn.sampling_weights import SamplingWeights


class Context(NamedTuple):
    """What the vertical stack gives to the horizontal one, for one row.

    Attributes:
      first: What the first horizontal layer takes from the rows above, `[n, W, F]`.
      skips: For each level at work, the activated output of each vertical block, `[n, W, 2 F]`.
    """

    first: tf.Tensor
    skips: list[list[tf.Tensor]]


def vertical_row(
    weights: SamplingWeights, state: State, deepest: int, below: dict[int, tf.Tensor]
) -> tuple[Context, State]:
    """The vertical stack at one row.

    An expansion makes two rows of one: the first is used at once, the second waits in `below` until the next
    row of its level is drawn, whose way up starts from it (see `horizontal_row`).

    Args:
      weights: `SamplingWeights`.
      state: What is known of the rows above.
      deepest: The coarsest level at work in this row.
      below: For a level, the row `[n, W, F]` that waits; those of the levels that expand are replaced.

    Returns:
      (`Context`, the state with its rows replaced).
    """
    network = weights.network
    seen = [list(level) for level in state.vertical]
    contracted = list(state.contracted)
    skips: list[list[tf.Tensor]] = [[] for _ in range(deepest + 1)]
    stacks = []
    value = _row_conv(network.vertical_init, *state.pixels)
    for level in range(deepest + 1):
        stacks.append([concat_elu(value)])
        for index in range(weights.num_down):
            value = _vertical_block(weights, level, index, value, None, seen)
            stacks[-1].append(concat_elu(value))
            skips[level].append(stacks[-1][-1])
        if level < deepest:
            above, contracted[level] = contracted[level], value
            value = _row_conv(network.contract[level].vertical, above, value)
        elif level < len(contracted):
            contracted[level] = value
    if deepest < len(weights.levels) - 1:
        value = below[deepest]
    else:
        stacks[-1].pop()
    for level in reversed(range(deepest + 1)):
        for index in range(weights.num_down, len(weights.levels[level])):
            value = _vertical_block(weights, level, index, value, stacks[level].pop(), seen)
            skips[level].append(concat_elu(value))
        if level:
            expand = network.expand[len(network.expand) - level].vertical
            both = expand(value[:, tf.newaxis])
            value, below[level - 1] = both[:, 0], both[:, 1]
    above = state.pixels[1]
    first = _row_conv(network.horizontal_up, above) + network.horizontal_left.bias
    first += tf.matmul(_to_the_right(above), weights.left_kernel[0])
    return Context(first, skips), state._replace(vertical=seen, contracted=contracted)


def _vertical_block(weights, level, index, value, skip, seen):
    """A block of the vertical stack at one row; what its convolutions saw replaces what they saw above."""
    block = weights.levels[level][index].vertical
    activated = concat_elu(value)
    y = _row_conv(block.conv_in, seen[level][2 * index], activated)
    if skip is not None:
        y += block.skip(skip)
    inner = concat_elu(y)
    y = _row_conv(block.conv_out, seen[level][2 * index + 1], inner)
    bias = weights.vertical_biases[level][index]
    seen[level][2 * index], seen[level][2 * index + 1] = activated, inner
    return value + gate(y if bias is None else y + bias)


def _row_conv(conv, *rows):
    """A convolution at one row, from as many rows `[n, W, I]` as its kernel is high."""
    y = tf.nn.conv2d(
        tf.pad(tf.stack(rows, axis=1), [[0, 0], [0, 0], *conv.paddings[2:]]),
        conv.kernel(),
        conv.stride,
        "VALID",
    )
    return tf.nn.bias_add(y[:, 0], conv.bias)


def _to_the_right(row):
    """Column c of the result is column c - 1 of `[n, W, C]`."""
    return tf.pad(row[:, :-1], [[0, 0], [1, 0], [0, 0]])
