"""A coupling network with attention: gated convolutions and self-attention, as in Flow++."""

from collections.abc import Sequence

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.networks import layers, self_attention


class AttentionNetwork(layers.Conditioned):
    """A 3x3 convolution, blocks of a gated convolution and self-attention, and a 3x3 convolution.

        h <- norm(h + a * sigmoid(b)),      [a, b] = 1x1 convolution(elu(3x3 convolution(elu(h))))
        h <- norm(h + attention(h + waves of the positions))

    `[N, H, W, in_channels] -> [N, H, W, out_channels]`, for images of any size; `norm` is that of a layer,
    over the channels of each position. As Flow++ has it [1], but with ELU in the place of the concatenated
    ELU, which would double the cost of a convolution, and with waves in the place of learned positions. Time
    and memory of the attention grow with the square of the number of positions.

    #### References

    [1]: Jonathan Ho et al. Flow++: Improving Flow-Based Generative Models with Variational Dequantization
         and Architecture Design. ICML 2019. https://arxiv.org/abs/1902.00275 (section 3.3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 128,
        num_blocks: int = 1,
        num_heads: int = 4,
        condition_channels: int = 0,
        seed: int | Sequence[int] = 0,
        dtype: tf.DType = tf.float32,
        name: str = "attention_network",
    ) -> None:
        """Creates the network's variables.

        Args:
          in_channels: Positive `int`.
          out_channels: Positive `int`.
          hidden_channels: Positive `int`, width of all hidden layers.
          num_blocks: Positive `int`.
          num_heads: Positive `int`, of the attention; see `SelfAttention`.
          condition_channels: Size of the `condition` that each call is given, 0 for none.
          seed: Python `int`, or a sequence of them, for the initial weights (He normal).
          dtype: Floating dtype.
          name: Python `str`.
        """
        super().__init__(condition_channels, name)
        seeds = layers.spawn(seed, num_blocks + 1)
        width = in_channels + condition_channels
        self._first = layers.Conv2D(width, hidden_channels, 3, seeds[0], dtype, "first")
        self._blocks = [
            _Block(hidden_channels, num_heads, own, dtype, f"block{i}") for i, own in enumerate(seeds[1:])
        ]
        self._last = layers.Conv2D(hidden_channels, out_channels, 3, None, dtype, "last")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None = None) -> tf.Tensor:
        """`x`: `[N, H, W, in_channels]`; `condition`: None, `[K]`, `[N, K]` or `[N, H, W, K]`."""
        h = self._first(self._joined(x, condition))
        for block in self._blocks:
            h = block(h)
        return self._last(tf.nn.elu(h))


class _Block(tf.Module):
    """A gated convolution and self-attention, each beside what it is added to."""

    def __init__(self, channels: int, num_heads: int, seed: layers.Seed, dtype: tf.DType, name: str) -> None:
        super().__init__(name=name)
        seeds = layers.spawn(seed, 3)
        self._conv = layers.Conv2D(channels, channels, 3, seeds[0], dtype, "conv")
        self._gated = layers.Dense(channels, 2 * channels, seeds[1], dtype, "gated")
        self._attention = self_attention.SelfAttention(channels, num_heads, seeds[2], dtype)
        self._norms = [layers.LayerNorm(channels, dtype, f"norm{i}") for i in range(2)]

    def __call__(self, h: tf.Tensor) -> tf.Tensor:
        value, gate = tf.split(self._gated(tf.nn.elu(self._conv(tf.nn.elu(h)))), 2, axis=-1)
        h = self._norms[0](h + value * tf.sigmoid(gate))
        return self._norms[1](h + self._attention(self_attention.with_positions(h)))
