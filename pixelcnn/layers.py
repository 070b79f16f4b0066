"""Weight-normalised layers that see no pixel after the one they compute.

Each convolution holds only the kernel entries that a mask would leave: a pixel that comes later in raster
order is not masked away, there is no weight for it. TFP multiplies full kernels by masks when an optimizer
steps, so that a fresh `tfd.PixelCNN` sees the future; and the entries that stay zero cost time.

Offsets are those of TFP's layers for `receptive_field_dims=(3, 3)` (Salimans et al. 2017): the vertical
stack sees rows r - 1 and r of its input, columns c - 1 to c + 1; the horizontal stack rows r - 1 and r,
columns c - 1 and c.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_flows.numerics import precision

# The standard deviation of a constant pre-activation is 0: its scale is bounded.
SMALLEST_DEVIATION = 1e-3


class WeightNormed(tf.Module):
    """An affine layer with kernel = g v / ||v||, one norm for each output (Salimans & Kingma 2016).

    A subclass implements `linear(x, kernel)`, the layer without its bias.
    """

    def __init__(
        self,
        kernel_shape: Sequence[int],
        out_channels: int,
        seed: np.random.SeedSequence,
        dtype: tf.DType,
        name: str,
        out_axis: int = -1,
    ):
        """Creates the variables; `v` is normal with deviation 0.05 as in the paper's code."""
        super().__init__(name=name)
        self.norm_axes = [axis for axis in range(len(kernel_shape)) if axis != out_axis % len(kernel_shape)]
        values = 0.05 * np.random.default_rng(seed).standard_normal(kernel_shape)
        self.v = tf.Variable(values, dtype=dtype, name=f"{name}_v")
        self.g = tf.Variable(tf.ones([out_channels], dtype), name=f"{name}_g")
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name=f"{name}_bias")

    def kernel(self) -> tf.Tensor:
        """g v / ||v||, of the shape of v."""
        direction = tf.math.l2_normalize(self.v, axis=self.norm_axes)
        missing = self.v.shape.rank - 1 - max(set(range(self.v.shape.rank)) - set(self.norm_axes))
        return direction * tf.reshape(self.g, [-1] + [1] * missing)

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The layer without its bias."""
        raise NotImplementedError

    def __call__(self, x: tf.Tensor, initialize: bool = False) -> tf.Tensor:
        """Applies the layer; with `initialize`, first sets g and bias from the data x.

        Data-dependent initialisation: the outputs have mean 0 and variance 1 over batch and positions.
        """
        if initialize:
            self._initialize(x)
        return tf.nn.bias_add(self.linear(x, self.kernel()), self.bias)

    def _initialize(self, x):
        outputs = self.linear(x, self.kernel())
        mean, variance = tf.nn.moments(outputs, axes=list(range(outputs.shape.rank - 1)))
        scale = 1.0 / tf.maximum(tf.sqrt(variance), SMALLEST_DEVIATION)
        self.g.assign(self.g * scale)
        self.bias.assign(-mean * scale)


class CausalConv(WeightNormed):
    """A convolution whose kernel ends at the current row: `[N, H, W, I] -> [N, H / stride, W / stride, O]`.

    Tap (i, j) of the kernel is at row `stride * r + i - pad_top` and column `stride * c + j - pad_left`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int],
        pad_left: int,
        seed: np.random.SeedSequence,
        dtype: tf.DType,
        name: str,
        stride: int = 1,
    ):
        """Takes the kernel's `size` (height, width) and the number of columns on its left."""
        super().__init__([*size, in_channels, out_channels], out_channels, seed, dtype, name)
        self.stride = stride
        pad_right = max(size[1] - 1 - pad_left, 0) if stride == 1 else 0
        self.paddings = [[0, 0], [size[0] - 1, 0], [pad_left, pad_right], [0, 0]]

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution."""
        return precision.conv2d(tf.pad(x, self.paddings), kernel, self.stride, "VALID")


class CausalUpsample(WeightNormed):
    """A transposed convolution of stride 2: `[N, H, W, I] -> [N, 2 H, 2 W, O]`.

    Input (r, c) reaches outputs (2 r + i, 2 c + j - pad_left) through tap (i, j).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int],
        pad_left: int,
        seed: np.random.SeedSequence,
        dtype: tf.DType,
        name: str,
    ):
        """Takes the kernel's `size` (height, width) and how many columns it reaches to the left."""
        super().__init__([*size, out_channels, in_channels], out_channels, seed, dtype, name, out_axis=-2)
        self._width = size[1]
        self._pad_left = pad_left

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The transposed convolution."""
        height, width = 2 * x.shape[1], 2 * x.shape[2]
        full = width + self._width - 2
        shape = [tf.shape(x)[0], height, full, self.bias.shape[0]]
        y = precision.conv2d_transpose(x, kernel, shape, 2, "VALID")
        return y[:, :, self._pad_left : self._pad_left + width]


class Pointwise(WeightNormed):
    """A matrix product along the channels, at every position."""

    def __init__(
        self, in_channels: int, out_channels: int, seed: np.random.SeedSequence, dtype: tf.DType, name: str
    ):
        """Creates the layer's variables."""
        super().__init__([in_channels, out_channels], out_channels, seed, dtype, name)

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The product."""
        product = precision.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel)
        return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [self.bias.shape[0]]], 0))


class Projection(tf.Module):
    """The condition's part of a block, without bias: `[N, K] -> [N, O]`."""

    def __init__(
        self,
        condition_size: int,
        out_channels: int,
        seed: np.random.SeedSequence,
        dtype: tf.DType,
        name: str,
    ):
        """Creates the variables, normal with deviation 0.05."""
        super().__init__(name=name)
        values = 0.05 * np.random.default_rng(seed).standard_normal([condition_size, out_channels])
        self.kernel = tf.Variable(values, dtype=dtype, name=f"{name}_kernel")

    def __call__(self, condition: tf.Tensor) -> tf.Tensor:
        """The product."""
        return precision.matmul(condition, self.kernel)


def concat_elu(x: tf.Tensor) -> tf.Tensor:
    """elu([x, -x]) along the channels (Shang et al. 2016)."""
    return tf.nn.elu(tf.concat([x, -x], axis=-1))
