"""What coupling networks are made of: layers with seeded weights, and a condition beside the input."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import precision

Seed = int | Sequence[int] | np.random.SeedSequence


class Conditioned(tf.Module):
    """A network that is given a condition beside its input, or none."""

    def __init__(self, condition_channels: int, name: str) -> None:
        """Keeps the size of the condition, 0 for none."""
        super().__init__(name=name)
        self._condition_channels = condition_channels

    @property
    def condition_channels(self) -> int:
        """K, the size of the condition; 0 for none."""
        return self._condition_channels

    def _joined(self, x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None) -> tf.Tensor:
        """The input with its condition, as `with_condition`."""
        return with_condition(x, condition, self._condition_channels, self.name)


class Conv2D(tf.Module):
    """Convolution with stride 1 and zero padding, and a bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        seed: Seed | None,
        dtype: tf.DType,
        name: str,
    ) -> None:
        """Creates kernel and bias; without a seed both are zero."""
        super().__init__(name=name)
        shape = [kernel_size, kernel_size, in_channels, out_channels]
        fan_in = kernel_size * kernel_size * in_channels
        self.kernel = tf.Variable(_he_normal(shape, fan_in, seed, dtype), name=f"{name}_kernel")
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name=f"{name}_bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """`[N, H, W, in_channels] -> [N, H, W, out_channels]`."""
        if x.shape[0] == 0:  # TF 2.21's float32 convolution of no images has the input's channels
            return tf.zeros(x.shape[:-1].concatenate(self.bias.shape), x.dtype)
        return tf.nn.bias_add(precision.conv2d(x, self.kernel, 1, "SAME"), self.bias)


class Dense(tf.Module):
    """Matrix product and a bias along the last axis: on images, a 1x1 convolution.

    As one product over all positions it trains 5 to 7 % faster, in the whole step of a flow, than
    `tf.nn.conv2d` with a 1x1 kernel (TF 2.21, oneDNN).
    """

    def __init__(
        self, in_channels: int, out_channels: int, seed: Seed | None, dtype: tf.DType, name: str
    ) -> None:
        """Creates kernel and bias; without a seed both are zero."""
        super().__init__(name=name)
        kernel = _he_normal([in_channels, out_channels], in_channels, seed, dtype)
        self.kernel = tf.Variable(kernel, name=f"{name}_kernel")
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name=f"{name}_bias")

    def __call__(
        self, x: tf.Tensor, activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    ) -> tf.Tensor:
        """`[N, ..., in_channels] -> [N, ..., out_channels]`; `activation` is applied to the result."""
        flat = tf.reshape(x, [-1, x.shape[-1]])
        # Before the reshape, where TF fuses product, bias and ReLU.
        flat = activation(tf.nn.bias_add(precision.matmul(flat, self.kernel), self.bias))
        if x.shape.rank == 2:
            return flat
        shape = x.shape[:-1].concatenate(flat.shape[-1])
        if shape[1:].is_fully_defined():
            return tf.reshape(flat, [-1 if shape[0] is None else shape[0], *shape[1:]])
        sizes = tf.concat([tf.shape(x)[:-1], tf.shape(flat)[-1:]], 0)
        return tf.ensure_shape(tf.reshape(flat, sizes), shape)


class LayerNorm(tf.Module):
    """Normalises the channels of each position, then a scale and a shift (Ba et al. 2016).

    y = scale * (x - mean) / sqrt(variance + 1e-5) + offset
    """

    def __init__(self, channels: int, dtype: tf.DType, name: str) -> None:
        """Creates scale and offset: 1 and 0."""
        super().__init__(name=name)
        self.scale = tf.Variable(tf.ones([channels], dtype), name=f"{name}_scale")
        self.offset = tf.Variable(tf.zeros([channels], dtype), name=f"{name}_offset")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """`[..., channels] -> [..., channels]`."""
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        return centred * tf.math.rsqrt(variance + 1e-5) * self.scale + self.offset


def _he_normal(shape: Sequence[int], fan_in: int, seed: Seed | None, dtype: tf.DType) -> tf.Tensor:
    """Normal values of standard deviation sqrt(2 / fan_in) (He et al. 2015), zeros without a seed."""
    if seed is None:
        return tf.zeros(shape, dtype)
    values = np.random.default_rng(seed).standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return tf.constant(values, dtype)


def spawn(seed: Seed, count: int) -> list[np.random.SeedSequence]:
    """`count` independent seeds for NumPy's generators, which follow from `seed` alone."""
    return (seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)).spawn(count)


def with_condition(
    x: tf.Tensor, condition: tf.Tensor | npt.ArrayLike | None, condition_channels: int, owner: str
) -> tf.Tensor:
    """Appends `condition`, broadcast over the positions of `x`, to the channels of `x`.

    Args:
      x: Floating tensor `[N, ..., C]`.
      condition: Tensor, array or list: `[K]`, one for all; `[N, K]`, one for each; or one for each position,
        of the rank of `x`: `[N, ..., K]`. An axis of size 1 is repeated. None if K is 0.
      condition_channels: K.
      owner: Name of the network, for messages.

    Returns:
      Tensor `[N, ..., C + K]`.

    Raises:
      ValueError: If `condition` is missing, or has another shape or dtype.
    """
    if condition is None:
        if condition_channels:
            raise UserError(f"{owner}: `condition` must have {condition_channels} channels, got None.")
        return x
    given = _as_tensor(condition, x.dtype, owner)
    wide = given[tf.newaxis] if given.shape.rank == 1 else given
    if wide.shape.rank == 2:
        for _ in range(x.shape.rank - 2):
            wide = tf.expand_dims(wide, 1)
    positions = x.shape[:-1]
    if wide.shape[-1:] != [condition_channels] or not _broadcasts(wide.shape[:-1], positions):
        raise UserError(
            f"{owner}: `condition` must have shape [K], [N, K] or [N, ..., K] with K={condition_channels} "
            f"for an input of shape {tuple(x.shape)}, got {tuple(given.shape)}."
        )
    wide = tf.broadcast_to(wide, tf.concat([tf.shape(x)[:-1], [condition_channels]], 0))
    return tf.concat([x, tf.ensure_shape(wide, [*positions, condition_channels])], axis=-1)


def _as_tensor(condition: tf.Tensor | npt.ArrayLike, dtype: tf.DType, owner: str) -> tf.Tensor:
    """`condition` as a tensor; an array or list is converted, a tensor must have the dtype already."""
    if not tf.is_tensor(condition):
        return tf.convert_to_tensor(np.asarray(condition), dtype)
    tensor = tf.convert_to_tensor(condition)
    if tensor.dtype != dtype:
        raise UserError(
            f"{owner}: `condition` must have the input's dtype {dtype.name}, got a tensor of "
            f"{tensor.dtype.name}."
        )
    return tensor


def _broadcasts(shape: tf.TensorShape, target: tf.TensorShape) -> bool:
    """Whether `shape`, of the rank of `target`, can be broadcast to it as far as sizes are known."""
    return shape.rank == target.rank and all(
        size in (1, None) or other in (size, None) for size, other in zip(shape, target, strict=True)
    )
