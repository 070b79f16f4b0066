"""Glow's coupling network, and the single convolution of its splits."""

from collections.abc import Sequence

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.networks import layers


class ConvNetwork(layers.Conditioned):
    """Glow's coupling network: 3x3 convolution, ReLU, 1x1 convolution, ReLU, 3x3 convolution.

    `[N, H, W, in_channels] -> [N, H, W, out_channels]`, stride 1, zero padding. (Glow, section 3.3,
    as `tfb.GlowDefaultNetwork` has it.)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        kernel_size: int = 3,
        condition_channels: int = 0,
        seed: int | Sequence[int] = 0,
        dtype: tf.DType = tf.float32,
        name: str = "conv_network",
    ) -> None:
        """Creates the network's variables.

        Args:
          in_channels: Positive `int`.
          out_channels: Positive `int`.
          hidden_channels: Positive `int`, width of both hidden layers.
          kernel_size: Positive `int`, of the first and the last convolution.
          condition_channels: Size of the `condition` that each call is given, 0 for none.
          seed: Python `int`, or a sequence of them, for the initial weights (He normal).
          dtype: Floating dtype.
          name: Python `str`.
        """
        super().__init__(condition_channels, name)
        seeds = layers.spawn(seed, 2)
        width = in_channels + condition_channels
        self._first = layers.Conv2D(width, hidden_channels, kernel_size, seeds[0], dtype, "first")
        self._second = layers.Dense(hidden_channels, hidden_channels, seeds[1], dtype, "second")
        self._last = layers.Conv2D(hidden_channels, out_channels, kernel_size, None, dtype, "last")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None = None) -> tf.Tensor:
        """`x`: `[N, H, W, in_channels]`; `condition`: None, `[K]`, `[N, K]` or `[N, H, W, K]`."""
        h = self._joined(x, condition)
        h = tf.nn.relu(self._first(h))
        h = self._second(h, tf.nn.relu)
        return self._last(h)


class ConvLayer(layers.Conditioned):
    """One zero-initialised 3x3 convolution: the network of Glow's split."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        condition_channels: int = 0,
        dtype: tf.DType = tf.float32,
        name: str = "conv_layer",
    ) -> None:
        """Creates the layer's variables; arguments as in `ConvNetwork`."""
        super().__init__(condition_channels, name)
        width = in_channels + condition_channels
        self._conv = layers.Conv2D(width, out_channels, kernel_size, None, dtype, "conv")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None = None) -> tf.Tensor:
        """`x`: `[N, H, W, in_channels]`; `condition`: as in `ConvNetwork`."""
        return self._conv(self._joined(x, condition))
