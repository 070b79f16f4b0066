"""`tfb.Glow`, read for `benchmarks.ports`."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks import port_weights
from tfp_flows import testing

tfb, tfd = tfp.bijectors, tfp.distributions


def perturbed(size, images):
    """(log-probabilities, levels) of a perturbed `tfb.Glow`."""
    layers = tf_keras.layers
    convolution = functools.partial(layers.Conv2D, padding="same", dtype="float64")

    def network(input_shape):
        return tf_keras.Sequential(
            [
                layers.Input(input_shape, dtype="float64"),
                convolution(size.hidden_channels, 3, activation="relu"),
                convolution(size.hidden_channels, 1, activation="relu"),
                convolution(2 * input_shape[-1], 3),
            ]
        )

    def exit_network(input_shape, output_chan):
        return tf_keras.Sequential(
            [layers.Input(input_shape, dtype="float64"), convolution(2 * output_chan, 3)]
        )

    tf_keras.utils.set_random_seed(0)
    glow = tfb.Glow(size.image_shape, size.levels, size.steps_per_level, network, exit_network, seed=0)
    glow.inverse(images)  # sets the actnorms
    testing.perturb(glow, scale=port_weights.NOISE)
    base = tfd.Sample(tfd.Normal(np.float64(0.0), 1.0), int(np.prod(size.image_shape)))
    log_prob = tfd.TransformedDistribution(base, glow).log_prob(tf.identity(images)).numpy()
    found, steps = [], []
    for part in glow.bijectors:
        block = part.bijectors[0] if isinstance(part, tfb.Blockwise.__bases__[0]) else part
        if type(block).__name__ == "GlowBlock":
            members = block.bijectors[:-1]  # the last is an identity
            steps = [_tfb_step(*members[i : i + 3]) for i in range(0, len(members), 3)]
        elif type(block).__name__.endswith("Invert"):
            found.append(port_weights.Level(steps, _tfb_split(block.bijector.exit_layer)))
    return log_prob, found


def _tfb_step(norm, conv, coupling):
    identity = np.eye(coupling.coupling_bijector_layer.input_shape[-1] * 2)
    offset = norm.inverse(0 * identity).numpy()[0]
    scale = norm.inverse(0 * identity + 1).numpy()[0] - offset
    weights = coupling.coupling_bijector_layer.get_weights()
    convolutions = list(zip(weights[::2], weights[1::2], strict=True))
    return port_weights.Step(offset / scale, np.log(scale), conv.inverse(identity).numpy().T, convolutions)


def _tfb_split(layer):
    if layer is None:
        return None
    kernel, bias = layer.get_weights()
    return kernel, bias + np.repeat([2.0, 0.0], len(bias) // 2)  # its scale is exp(raw + 2)
