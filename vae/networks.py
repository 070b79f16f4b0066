"""Encoder and decoder of the VAE: convolutions after Rosca et al. 2018 (https://arxiv.org/abs/1802.06847)."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_flows.numerics import precision
from vae.config import ARCHITECTURES

KERNEL_SIZE = 5


class Encoder(tf.Module):
    """Images `[N, H, W, C]` -> `[N, num_outputs]`; a condition `[N, K]` moves the first convolution."""

    def __init__(
        self,
        image_shape: Sequence[int],
        num_outputs: int,
        architecture: str,
        seed: int,
        dtype: tf.DType,
        condition_size: int = 0,
        name: str = "encoder",
    ):
        """Creates the variables; `architecture` is a key of `ARCHITECTURES`, `condition_size` K."""
        super().__init__(name=name)
        layers = ARCHITECTURES[architecture]
        *seeds, given = np.random.SeedSequence([seed, 0]).spawn(len(layers) + 2)
        shapes = feature_shapes(image_shape, architecture)
        self._convolutions = [
            _Convolution(before[-1], channels, stride, own, dtype, f"conv{i}")
            for i, ((channels, stride), before, own) in enumerate(
                zip(layers, shapes[:-1], seeds[:-1], strict=True)
            )
        ]
        self._dense = _Dense(int(np.prod(shapes[-1])), num_outputs, seeds[-1], dtype, "dense")
        if condition_size:
            self._given = _Dense(condition_size, layers[0][0], given, dtype, "given")

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Applies the network."""
        for i, convolution in enumerate(self._convolutions):
            x = convolution(x)
            if i == 0 and condition is not None:
                x += self._given(condition)[:, tf.newaxis, tf.newaxis]
            x = tf.nn.relu(x)
        return self._dense(tf.reshape(x, [-1, int(np.prod(x.shape[1:]))]))


class Decoder(tf.Module):
    """Latents `[..., L]` -> `[..., H, W, num_outputs]`, with any leading dimensions.

    A condition `[..., K]` stands beside the latent; its leading dimensions are broadcast.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        num_outputs: int,
        architecture: str,
        seed: int,
        dtype: tf.DType,
        condition_size: int = 0,
        name: str = "decoder",
    ):
        """Creates the variables; `architecture` is a key of `ARCHITECTURES`, `condition_size` K."""
        super().__init__(name=name)
        layers = ARCHITECTURES[architecture]
        seeds = np.random.SeedSequence([seed, 1]).spawn(len(layers) + 1)
        shapes = [list(shape) for shape in reversed(feature_shapes(image_shape, architecture))]
        shapes[-1][-1] = num_outputs
        self._first_shape = shapes[0]
        self._dense = _Dense(latent_size + condition_size, int(np.prod(shapes[0])), seeds[0], dtype, "dense")
        self._convolutions = [
            _TransposedConvolution(before[-1], after, stride, own, dtype, f"conv{i}")
            for i, ((_, stride), before, after, own) in enumerate(
                zip(reversed(layers), shapes[:-1], shapes[1:], seeds[1:], strict=True)
            )
        ]

    def __call__(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Applies the network."""
        leading = tf.shape(z)[:-1]
        if condition is not None:
            shape = tf.concat([leading, tf.shape(condition)[-1:]], 0)
            z = tf.concat([z, tf.broadcast_to(condition, shape)], -1)
        x = tf.nn.relu(self._dense(tf.reshape(z, [-1, z.shape[-1]])))
        x = tf.reshape(x, [-1, *self._first_shape])
        for convolution in self._convolutions[:-1]:
            x = tf.nn.relu(convolution(x))
        x = self._convolutions[-1](x)
        return tf.reshape(x, tf.concat([leading, x.shape[1:]], 0))


def feature_shapes(image_shape: Sequence[int], architecture: str) -> list[tuple[int, ...]]:
    """[(H, W, C) of the image, and after each of the encoder's layers]."""
    shapes = [tuple(int(size) for size in image_shape)]
    for channels, stride in ARCHITECTURES[architecture]:
        height, width, _ = shapes[-1]
        shapes.append((-(-height // stride), -(-width // stride), channels))
    return shapes


class _Convolution(tf.Module):
    def __init__(self, in_channels, out_channels, stride, seed, dtype, name):
        super().__init__(name=name)
        shape = [KERNEL_SIZE, KERNEL_SIZE, in_channels, out_channels]
        self.kernel = _he_normal(shape, KERNEL_SIZE**2 * in_channels, seed, dtype)
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name="bias")
        self._stride = stride

    def __call__(self, x):
        return tf.nn.bias_add(precision.conv2d(x, self.kernel, self._stride, "SAME"), self.bias)


class _TransposedConvolution(tf.Module):
    """To an output of a given (H, W, C), whose sides need not be multiples of the stride."""

    def __init__(self, in_channels, out_shape, stride, seed, dtype, name):
        super().__init__(name=name)
        shape = [KERNEL_SIZE, KERNEL_SIZE, out_shape[-1], in_channels]
        self.kernel = _he_normal(shape, KERNEL_SIZE**2 * in_channels / stride**2, seed, dtype)
        self.bias = tf.Variable(tf.zeros([out_shape[-1]], dtype), name="bias")
        self._out_shape = out_shape
        self._stride = stride

    def __call__(self, x):
        shape = [tf.shape(x)[0], *self._out_shape]
        x = precision.conv2d_transpose(x, self.kernel, shape, self._stride, "SAME")
        return tf.nn.bias_add(x, self.bias)


class _Dense(tf.Module):
    def __init__(self, in_channels, out_channels, seed, dtype, name):
        super().__init__(name=name)
        self.kernel = _he_normal([in_channels, out_channels], in_channels, seed, dtype)
        self.bias = tf.Variable(tf.zeros([out_channels], dtype), name="bias")

    def __call__(self, x):
        return precision.matmul(x, self.kernel) + self.bias


def _he_normal(shape, fan_in, seed, dtype):
    """A variable of normal values of standard deviation sqrt(2 / fan_in) (He et al. 2015)."""
    values = np.random.default_rng(seed).standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return tf.Variable(values, dtype=dtype, name="kernel")
