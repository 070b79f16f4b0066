"""A coupling network for vectors."""

from collections.abc import Sequence

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.networks import layers


class DenseNetwork(layers.Conditioned):
    """Two hidden layers with ReLU, for couplings on vectors (`event_ndims=1`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        condition_channels: int = 0,
        seed: int | Sequence[int] = 0,
        dtype: tf.DType = tf.float32,
        name: str = "dense_network",
    ) -> None:
        """Creates the network's variables; arguments as in `ConvNetwork`."""
        super().__init__(condition_channels, name)
        seeds = layers.spawn(seed, 2)
        width = in_channels + condition_channels
        self._first = layers.Dense(width, hidden_channels, seeds[0], dtype, "first")
        self._second = layers.Dense(hidden_channels, hidden_channels, seeds[1], dtype, "second")
        self._last = layers.Dense(hidden_channels, out_channels, None, dtype, "last")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None = None) -> tf.Tensor:
        """`x`: `[N, in_channels]`; `condition`: None, `[K]` or `[N, K]`."""
        h = self._joined(x, condition)
        h = self._first(h, tf.nn.relu)
        h = self._second(h, tf.nn.relu)
        return self._last(h)
