"""The coupling network of Nalisnick et al.: highway layers."""

from collections.abc import Sequence

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.networks import layers


class HighwayNetwork(layers.Conditioned):
    """A 3x3 convolution, `num_layers` highway layers and a 3x3 convolution (Nalisnick et al.).

        h <- T(h) * relu(H(h)) + (1 - T(h)) * h,      T = sigmoid(3x3 convolution, bias -1)

    The paper's couplings use three highway layers (Srivastava et al. 2015,
    https://arxiv.org/abs/1505.00387, equation 3); kernel size and gate bias are not stated there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        kernel_size: int = 3,
        num_layers: int = 3,
        condition_channels: int = 0,
        seed: int | Sequence[int] = 0,
        dtype: tf.DType = tf.float32,
        name: str = "highway_network",
    ) -> None:
        """Creates the network's variables; arguments as in `ConvNetwork`."""
        super().__init__(condition_channels, name)
        seeds = layers.spawn(seed, num_layers + 1)
        width = in_channels + condition_channels
        self._first = layers.Conv2D(width, hidden_channels, kernel_size, seeds[0], dtype, "first")
        # One convolution computes both H and T.
        self._layers = [
            layers.Conv2D(hidden_channels, 2 * hidden_channels, kernel_size, s, dtype, f"highway{i}")
            for i, s in enumerate(seeds[1:])
        ]
        self._last = layers.Conv2D(hidden_channels, out_channels, kernel_size, None, dtype, "last")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None = None) -> tf.Tensor:
        """`x`: `[N, H, W, in_channels]`; `condition`: None, `[K]`, `[N, K]` or `[N, H, W, K]`."""
        h = self._joined(x, condition)
        h = tf.nn.relu(self._first(h))
        for layer in self._layers:
            candidate, gate = tf.split(layer(h), 2, axis=-1)
            gate = tf.sigmoid(gate - 1.0)
            h = h + gate * (tf.nn.relu(candidate) - h)
        return self._last(h)
