"""The PixelCNN++ network (Salimans et al. 2017, figure 2): a U-net of two causal stacks.

The vertical stack computes, at row r, from the pixels of rows < r; the horizontal stack, at (r, c), from
those and the pixels of row r left of c. It is the network of `tfd.PixelCNN`; `tfp_weights` carries weights
from one to the other.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn.layers import CausalConv, CausalUpsample, Pointwise, Projection, concat_elu
from tfp_flows.numerics import Seed, SeedLike, noise

# Kernel (height, width) and columns to the left of the current one, for each stack.
VERTICAL = ((2, 3), 1)
HORIZONTAL = ((2, 2), 1)
UPSAMPLE_VERTICAL = ((2, 3), 1)
UPSAMPLE_HORIZONTAL = ((2, 2), 0)


class Features(NamedTuple):
    """A layer's output and what the next layers see of it: concat_elu(value)."""

    value: tf.Tensor
    activated: tf.Tensor


class Block(tf.Module):
    """A gated residual block of one stack (van den Oord et al. 2016, figure 2).

    y = conv_in(a(x)) + skip(a(s)),   [u, w] = conv_out(dropout(a(y))) + projection(h)
    block(x) = x + u sigmoid(w),      a = concat_elu
    """

    def __init__(
        self,
        filters: int,
        kernel: tuple[tuple[int, int], int],
        skip_channels: int,
        condition_size: int,
        seed: np.random.SeedSequence,
        dtype: tf.DType,
        name: str,
    ):
        """Creates the layers; `skip_channels` of activated input, 0 for none; `seed`: a `SeedSequence`."""
        super().__init__(name=name)
        seeds = seed.spawn(4)
        self.conv_in = CausalConv(2 * filters, filters, *kernel, seeds[0], dtype, "conv_in")
        self.conv_out = CausalConv(2 * filters, 2 * filters, *kernel, seeds[1], dtype, "conv_out")
        self.skip: Pointwise | None = None
        if skip_channels:
            self.skip = Pointwise(skip_channels, filters, seeds[2], dtype, "skip")
        self.projection: Projection | None = None
        if condition_size:
            self.projection = Projection(condition_size, 2 * filters, seeds[3], dtype, "projection")

    def __call__(
        self,
        x: Features,
        skip: tf.Tensor | None,
        condition: tf.Tensor | None,
        dropout: Callable[[tf.Tensor], tf.Tensor],
        initialize: bool,
    ) -> Features:
        """`x`: `Features`; `skip`: None or activated `[N, H, W, S]`; `dropout`: a function."""
        y = self.conv_in(x.activated, initialize)
        if self.skip is not None:
            y += self.skip(skip, initialize)
        y = self.conv_out(dropout(concat_elu(y)), initialize)
        if self.projection is not None:
            y += self.projection(condition)[:, tf.newaxis, tf.newaxis]
        return features(x.value + gate(y))


class Pair(tf.Module):
    """The same layer of both stacks."""

    def __init__(self, vertical: tf.Module, horizontal: tf.Module, name: str):
        """Holds a layer of each stack."""
        super().__init__(name=name)
        self.vertical = vertical
        self.horizontal = horizontal


class PixelCNNNetwork(tf.Module):
    """Images in [-1, 1] `[N, H, W, C]` -> parameters `[N, H, W, out_channels]` of each pixel's distribution.

    H and W must halve evenly `num_hierarchies - 1` times.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_resnet: int,
        num_hierarchies: int,
        num_filters: int,
        condition_size: int = 0,
        dropout_p: float = 0.0,
        seed: int = 0,
        dtype: tf.DType = tf.float32,
        name: str = "pixelcnn_network",
    ):
        """Creates all layers, in the order in which they are applied.

        Args:
          in_channels: C.
          out_channels: Parameters of a pixel.
          num_resnet: Blocks of each hierarchy and stack on the way down.
          num_hierarchies: Resolutions, each half the one before.
          num_filters: Channels.
          condition_size: K of the condition `[N, K]`; 0 for none.
          dropout_p: Probability of dropout, in training.
          seed: Python `int` of the initial weights.
          dtype: Floating `tf.DType`.
          name: Python `str`.
        """
        super().__init__(name=name)
        self._dropout_p = dropout_p
        self._seeds = iter(np.random.SeedSequence(seed).spawn(8 + 8 * num_hierarchies * (num_resnet + 2)))
        self._dtype = tf.as_dtype(dtype)
        self.filters = num_filters
        self._condition_size = condition_size
        self.vertical_init = self._conv(CausalConv, in_channels, VERTICAL, "vertical_init")
        self.horizontal_up = self._conv(CausalConv, in_channels, ((1, 3), 1), "horizontal_up")
        self.horizontal_left = self._conv(CausalConv, in_channels, ((2, 1), 0), "horizontal_left")
        self.down = [
            [self._block_pair(f"down{i}_{j}", 0, 2) for j in range(num_resnet)]
            for i in range(num_hierarchies)
        ]
        self.contract = [self._contraction(f"contract{i}") for i in range(num_hierarchies - 1)]
        self.up = [
            [self._block_pair(f"up{i}_{j}", 2, 4) for j in range(num_resnet + (i > 0))]
            for i in range(num_hierarchies)
        ]
        self.expand = [self._expansion(f"expand{i}") for i in range(num_hierarchies - 1)]
        self.output = Pointwise(num_filters, out_channels, next(self._seeds), self._dtype, "output")
        del self._seeds

    def __call__(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        dropout_seed: SeedLike = None,
        initialize: bool = False,
    ) -> tf.Tensor:
        """The parameters of every pixel's distribution, given the pixels before it.

        Args:
          x: `[N, H, W, C]` in [-1, 1].
          condition: None or `[N, condition_size]`.
          dropout_seed: None for no dropout, or a seed.
          initialize: Whether every layer first sets its scale and bias from its own input.

        Returns:
          `[N, H, W, out_channels]`.
        """
        run = _Pass(condition, self._dropouts(dropout_seed), initialize)
        vertical = features(self.vertical_init(shift_down(x), initialize))
        horizontal = self.horizontal_up(shift_down(x), initialize)
        horizontal += self.horizontal_left(shift_right(x), initialize)
        stacks = [(vertical, features(horizontal))]
        for i, blocks in enumerate(self.down):
            for pair in blocks:
                stacks.append(run.down(pair, *stacks[-1]))
            if i < len(self.contract):
                stacks.append(run.resample(self.contract[i], *stacks[-1]))
        vertical, horizontal = stacks.pop()
        for i, blocks in enumerate(self.up):
            for pair in blocks:
                vertical, horizontal = run.up(pair, vertical, horizontal, *stacks.pop())
            if i < len(self.expand):
                vertical, horizontal = run.resample(self.expand[i], vertical, horizontal)
        return self.output(tf.nn.elu(horizontal.value), initialize)

    def _conv(self, layer, in_channels, kernel, name, **kwargs):
        return layer(in_channels, self.filters, *kernel, next(self._seeds), self._dtype, name, **kwargs)

    def _block_pair(self, name, vertical_skip, horizontal_skip):
        def block(kernel, skip, stack):
            return Block(
                self.filters,
                kernel,
                skip * self.filters,
                self._condition_size,
                next(self._seeds),
                self._dtype,
                f"{name}_{stack}",
            )

        return Pair(
            block(VERTICAL, vertical_skip, "vertical"),
            block(HORIZONTAL, horizontal_skip, "horizontal"),
            name,
        )

    def _contraction(self, name):
        return Pair(
            self._conv(CausalConv, self.filters, VERTICAL, f"{name}_vertical", stride=2),
            self._conv(CausalConv, self.filters, HORIZONTAL, f"{name}_horizontal", stride=2),
            name,
        )

    def _expansion(self, name):
        return Pair(
            self._conv(CausalUpsample, self.filters, UPSAMPLE_VERTICAL, f"{name}_vertical"),
            self._conv(CausalUpsample, self.filters, UPSAMPLE_HORIZONTAL, f"{name}_horizontal"),
            name,
        )

    def _dropouts(self, seed):
        """One function after the other, each with a seed of its own."""
        count = 2 * sum(len(blocks) for blocks in (*self.down, *self.up))
        if seed is None or self._dropout_p == 0:
            return iter([tf.identity] * count)
        seeds = Seed.of(seed).split(count)
        return (functools.partial(noise.dropout, rate=self._dropout_p, seed=own) for own in seeds)


class _Pass:
    """One walk through the network: what all its layers share."""

    def __init__(self, condition, dropouts, initialize):
        self._condition = condition
        self._dropouts = dropouts
        self._initialize = initialize

    def down(self, pair, vertical, horizontal):
        vertical = self._block(pair.vertical, vertical, None)
        return vertical, self._block(pair.horizontal, horizontal, vertical.activated)

    def up(self, pair, vertical, horizontal, symmetric_vertical, symmetric_horizontal):
        vertical = self._block(pair.vertical, vertical, symmetric_vertical.activated)
        skip = tf.concat([vertical.activated, symmetric_horizontal.activated], axis=-1)
        return vertical, self._block(pair.horizontal, horizontal, skip)

    def resample(self, pair, vertical, horizontal):
        return (
            features(pair.vertical(vertical.value, self._initialize)),
            features(pair.horizontal(horizontal.value, self._initialize)),
        )

    def _block(self, block, x, skip):
        return block(x, skip, self._condition, next(self._dropouts), self._initialize)


def features(value: tf.Tensor) -> Features:
    """A value with its activation."""
    return Features(value, concat_elu(value))


def gate(y: tf.Tensor) -> tf.Tensor:
    """[u, w] -> u sigmoid(w)."""
    u, w = tf.split(y, 2, axis=-1)
    return u * tf.sigmoid(w)


def shift_down(x: tf.Tensor) -> tf.Tensor:
    """Row r of the result is row r - 1 of `[N, H, W, C]`, the first is 0."""
    return tf.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])


def shift_right(x: tf.Tensor) -> tf.Tensor:
    """Column c of the result is column c - 1 of `[N, H, W, C]`, the first is 0."""
    return tf.pad(x[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0]])
