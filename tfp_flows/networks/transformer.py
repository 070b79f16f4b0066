"""A small vision transformer as a coupling network, as in Jet."""

from collections.abc import Sequence

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.networks import layers, self_attention


class TransformerNetwork(layers.Conditioned):
    """A vision transformer whose tokens are the positions of the image it is given.

        h = W x + waves of the positions
        h <- h + attention(norm(h)),      h <- h + W_2 gelu(W_1 norm(h))         `num_layers` times
        y = W_0 norm(h)

    `[N, H, W, in_channels] -> [N, H, W, out_channels]`, for images of any size. After a Glow's squeeze a
    position is a block of 2 x 2 pixels, or more at deeper levels. Jet [1] puts such networks, of patches and
    much larger, in the couplings of a flow that has nothing else. Time and memory of the attention grow with
    the square of the number of positions.

    #### References

    [1]: Alexander Kolesnikov, André Susano Pinto and Michael Tschannen. Jet: A Modern Transformer-Based
         Normalizing Flow. 2024. https://arxiv.org/abs/2412.15129
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        condition_channels: int = 0,
        seed: int | Sequence[int] = 0,
        dtype: tf.DType = tf.float32,
        name: str = "transformer_network",
    ) -> None:
        """Creates the network's variables.

        Args:
          in_channels: Positive `int`.
          out_channels: Positive `int`.
          hidden_channels: Positive `int`, width of the tokens; that of the layers between is twice as large.
          num_layers: Positive `int`.
          num_heads: Positive `int`, of the attention; see `SelfAttention`.
          condition_channels: Size of the `condition` that each call is given, 0 for none.
          seed: Python `int`, or a sequence of them, for the initial weights (He normal).
          dtype: Floating dtype.
          name: Python `str`.
        """
        super().__init__(condition_channels, name)
        seeds = layers.spawn(seed, num_layers + 1)
        width = in_channels + condition_channels
        self._first = layers.Dense(width, hidden_channels, seeds[0], dtype, "first")
        self._layers = [
            _Layer(hidden_channels, num_heads, own, dtype, f"layer{i}") for i, own in enumerate(seeds[1:])
        ]
        self._norm = layers.LayerNorm(hidden_channels, dtype, "norm")
        self._last = layers.Dense(hidden_channels, out_channels, None, dtype, "last")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None = None) -> tf.Tensor:
        """`x`: `[N, H, W, in_channels]`; `condition`: None, `[K]`, `[N, K]` or `[N, H, W, K]`."""
        tokens = self._first(self._joined(x, condition))
        h = self_attention.with_positions(tokens)
        for layer in self._layers:
            h = layer(h)
        return self._last(self._norm(h))


class _Layer(tf.Module):
    """Self-attention, then a network of each token alone."""

    def __init__(self, channels: int, num_heads: int, seed: layers.Seed, dtype: tf.DType, name: str) -> None:
        super().__init__(name=name)
        seeds = layers.spawn(seed, 3)
        self._attention = self_attention.SelfAttention(channels, num_heads, seeds[0], dtype)
        self._wide = layers.Dense(channels, 2 * channels, seeds[1], dtype, "wide")
        self._narrow = layers.Dense(2 * channels, channels, seeds[2], dtype, "narrow")
        self._norms = [layers.LayerNorm(channels, dtype, f"norm{i}") for i in range(2)]

    def __call__(self, h: tf.Tensor) -> tf.Tensor:
        h += self._attention(self._norms[0](h))
        return h + self._narrow(self._wide(self._norms[1](h), _gelu))


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(x, approximate=True)
