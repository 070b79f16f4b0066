"""The Glow of y0ast's Glow-PyTorch, which follows the paper's own code, is one of ours.

It is no package, so its equations stand here once more, over random weights in float64; images are
`[N, H, W, C]`, channels in its own order.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from benchmarks import port_weights, ports

SIZE = ports.Size(image_shape=(8, 8, 2), levels=2, steps_per_level=2, hidden_channels=5)


@dataclasses.dataclass
class Convolution:
    """y = exp(factor * logs) * (kernel * x + bias); factor is 1 inside a network, 3 in its last layer."""

    kernel: np.ndarray
    bias: np.ndarray
    logs: np.ndarray
    factor: float = 1.0

    def __call__(self, x):
        return (tf.nn.conv2d(x, self.kernel, 1, "SAME").numpy() + self.bias) * np.exp(
            self.factor * self.logs
        )

    def folded(self):
        scale = np.exp(self.factor * self.logs)
        return self.kernel * scale, self.bias * scale


def _convolution(rng, kernel_size, inputs, outputs, factor=1.0):
    kernel = 0.2 * rng.standard_normal([kernel_size, kernel_size, inputs, outputs])
    return Convolution(kernel, *(0.1 * rng.standard_normal([2, outputs])), factor)


class Step:
    def __init__(self, rng, channels, hidden):
        self.bias, self.logs = 0.1 * rng.standard_normal([2, channels])
        self.weight = np.linalg.qr(rng.standard_normal([channels] * 2))[0] * 1.1
        self.block = [
            _convolution(rng, 3, channels // 2, hidden),
            _convolution(rng, 1, hidden, hidden),
            _convolution(rng, 3, hidden, channels, factor=3.0),
        ]

    def __call__(self, x):
        pixels = x.shape[1] * x.shape[2]
        z = (x + self.bias) * np.exp(self.logs) @ self.weight.T
        log_det = pixels * (self.logs.sum() + np.linalg.slogdet(self.weight)[1])
        first, second = np.split(z, 2, axis=-1)
        h = self.block[2](np.maximum(self.block[1](np.maximum(self.block[0](first), 0)), 0))
        shift, scale = h[..., 0::2], 1 / (1 + np.exp(-h[..., 1::2] - 2))
        log_det = log_det + np.log(scale).sum(axis=(1, 2, 3))
        return np.concatenate([first, (second + shift) * scale], axis=-1), log_det

    def read(self):
        *inner, (kernel, bias) = [layer.folded() for layer in self.block]
        last = [np.concatenate([values[..., 1::2], values[..., 0::2]], -1) for values in (kernel, bias)]
        return port_weights.Step(self.bias, self.logs, self.weight, [*inner, tuple(last)])


def _squeezed(x):
    n, height, width, channels = x.shape
    blocks = x.reshape([n, height // 2, 2, width // 2, 2, channels]).transpose(0, 1, 3, 5, 2, 4)
    return blocks.reshape([n, height // 2, width // 2, 4 * channels])


def _gaussian(mean, logs, z):
    value = -0.5 * (2 * logs + (z - mean) ** 2 / np.exp(2 * logs) + np.log(2 * np.pi))
    return value.sum(axis=(1, 2, 3))


def _log_prob_and_levels(size, images):
    rng = np.random.default_rng(1)
    z, log_prob, levels, channels = images, 0.0, [], size.image_shape[2]
    for level in range(size.levels):
        z, channels = _squeezed(z), 4 * channels
        steps = [Step(rng, channels, size.hidden_channels) for _ in range(size.steps_per_level)]
        for step in steps:
            z, log_det = step(z)
            log_prob = log_prob + log_det
        read = [step.read() for step in steps]
        if level + 1 < size.levels:
            split = _convolution(rng, 3, channels // 2, channels, factor=3.0)
            z, leaving = np.split(z, 2, axis=-1)
            h = split(z)
            log_prob = log_prob + _gaussian(h[..., 0::2], h[..., 1::2], leaving)
            # z = exp(-logs) (x - mean): raw = -logs and t = -mean.
            values = [np.concatenate([-v[..., 1::2], -v[..., 0::2]], -1) for v in split.folded()]
            levels.append(port_weights.Level(read, split=tuple(values)))
            channels //= 2
    top = _convolution(rng, 3, 1, 2 * channels, factor=3.0)  # of an input of zeros: its bias alone counts
    mean, logs = np.split(top.folded()[1], 2)
    levels.append(port_weights.Level(read, prior=(mean, logs)))
    return log_prob + _gaussian(mean, logs, z), levels


def test_its_log_probabilities_are_ours():
    images = np.random.default_rng(0).uniform(size=[4, *SIZE.image_shape])
    expected, levels = _log_prob_and_levels(SIZE, images)
    found = ports.ported("Glow-PyTorch", SIZE, levels).log_prob(images)
    assert abs(expected).max() < 1e4 and np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-9)
