"""The distribution of one pixel: a mixture of discretised logistics (Salimans et al. 2017, section 2.1).

    P(x) = sum_k pi_k prod_c P_logistic(x_c; mu_kc, s_kc)
    mu_kc = loc_kc + sum_{d < c} coeff_kcd v_d,       v = 2 (x - low) / (high - low) - 1

The channels of a pixel share their component. Locations and scales are in units of v, so that low is -1
and high is 1; the lowest and the highest level take the tails.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flows.distributions.discretized_logistic import discretized_logistic_log_prob

SMALLEST_SCALE = np.exp(-7.0)


class Mixture(NamedTuple):
    """Parameters of pixels' distributions.

    Attributes:
      logits: `[..., K]`.
      locs: `[..., K, C]`, of the components before the channels are coupled.
      scales: `[..., K, C]`, positive.
      coeffs: `[..., K, C (C - 1) / 2]`: of channel 1 on 0, 2 on 0, 2 on 1, and so on.
    """

    logits: tf.Tensor
    locs: tf.Tensor
    scales: tf.Tensor
    coeffs: tf.Tensor


def num_parameters(num_components: int, num_channels: int) -> int:
    """Numbers that the network gives for each pixel."""
    return num_components * (1 + 2 * num_channels + num_channels * (num_channels - 1) // 2)


def mixture(parameters: tf.Tensor, num_components: int, num_channels: int) -> Mixture:
    """Splits the network's output `[..., num_parameters]` into a `Mixture`."""
    size = parameters.shape[-1] // num_components
    shape = tf.concat([tf.shape(parameters)[:-1], [num_components, size]], 0)
    parts = tf.split(
        tf.reshape(parameters, shape),
        [1, num_channels, num_channels, size - 1 - 2 * num_channels],
        axis=-1,
    )
    logits, locs, raw_scales, coeffs = parts
    return Mixture(logits[..., 0], locs, tf.nn.softplus(raw_scales) + SMALLEST_SCALE, coeffs)


def to_unit(images: tf.Tensor, high: float | tf.Tensor) -> tf.Tensor:
    """Grey levels 0..high -> [-1, 1]."""
    return 2.0 * images / high - 1.0


def log_prob(pixels: tf.Tensor, parameters: Mixture, high: float | tf.Tensor) -> tf.Tensor:
    """log P of pixels under their mixtures, in nats.

    Args:
      pixels: Grey levels 0..high `[..., C]`, floating.
      parameters: `Mixture`.
      high: The highest grey level.

    Returns:
      `[...]`.
    """
    units = to_unit(pixels, high)[..., tf.newaxis, :]
    channels = tf.split(units, pixels.shape[-1], axis=-1)
    locs = _coupled(parameters.locs, parameters.coeffs, channels)
    of_channels = discretized_logistic_log_prob(
        pixels[..., tf.newaxis, :],
        0.5 * high * (locs + 1.0),
        0.5 * high * parameters.scales,
        low=0.0,
        high=high,
    )
    components = tf.nn.log_softmax(parameters.logits) + tf.reduce_sum(of_channels, axis=-1)
    return tf.reduce_logsumexp(components, axis=-1)


def sample(
    parameters: Mixture, uniforms: tf.Tensor, high: float | tf.Tensor, rounded: bool = True
) -> tf.Tensor:
    """Draws pixels: the same from the same noise.

    Args:
      parameters: `Mixture`.
      uniforms: In [0, 1), `[..., K + C]`: K choose the component (Gumbel-max), C are the logistics'.
      high: The highest grey level.
      rounded: False for the values before they are rounded and clipped, to see how near a boundary they
        were; the channels after the first still follow the rounded ones.

    Returns:
      Grey levels 0..high `[..., C]`, floating integers.
    """
    num_components = parameters.logits.shape[-1]
    smallest = np.finfo(parameters.logits.dtype.as_numpy_dtype).tiny
    uniforms = tf.maximum(uniforms, smallest)
    gumbel = -tf.math.log(-tf.math.log(uniforms[..., :num_components]))
    chosen = tf.argmax(parameters.logits + gumbel, axis=-1)
    locs, scales, coeffs = (
        tf.gather(part, chosen, axis=-2, batch_dims=chosen.shape.rank) for part in parameters[1:]
    )
    noise = tf.math.log(uniforms[..., num_components:]) - tf.math.log1p(-uniforms[..., num_components:])
    values: list[tf.Tensor] = []
    levels: list[tf.Tensor] = []
    units: list[tf.Tensor] = []
    for c in range(locs.shape[-1]):
        loc = locs[..., c : c + 1]
        for d, unit in enumerate(units):
            loc += coeffs[..., _index(c, d) : _index(c, d) + 1] * unit
        value = 0.5 * high * (loc + scales[..., c : c + 1] * noise[..., c : c + 1] + 1.0)
        values.append(value)
        levels.append(tf.clip_by_value(tf.round(value), 0.0, high))
        units.append(to_unit(levels[-1], high))
    return tf.concat(levels if rounded else values, axis=-1)


def at_temperature(uniforms: tf.Tensor, num_components: int, temperature: float) -> tf.Tensor:
    """Noise from which `sample` draws at a temperature T.

        P_T(k) ~ exp(logit_k / T),        scale_T = T scale

    of the component k and of its logistic distributions: Gumbel noise -ln(-ln u) and logistic noise
    ln u - ln(1 - u) times T.

    Args:
      uniforms: In [0, 1), `[..., K + C]`, as in `sample`.
      num_components: K.
      temperature: 0 for the most probable component's location.

    Returns:
      Such noise, the same for T = 1.
    """
    if temperature == 1.0:
        return uniforms
    limits = np.finfo(uniforms.dtype.as_numpy_dtype)
    inside = tf.clip_by_value(uniforms, limits.tiny, 1.0 - limits.epsneg)
    of_components, of_values = inside[..., :num_components], inside[..., num_components:]
    of_components = tf.exp(-tf.pow(-tf.math.log(of_components), temperature))
    of_values = tf.sigmoid(temperature * (tf.math.log(of_values) - tf.math.log1p(-of_values)))
    drawn = tf.concat([of_components, of_values], axis=-1)
    return tf.clip_by_value(drawn, limits.tiny, 1.0 - limits.epsneg)


def _coupled(locs, coeffs, channels):
    """The locations given the channels before, which are `[..., 1, 1]` each."""
    coupled = []
    for c in range(len(channels)):
        loc = locs[..., c : c + 1]
        for d in range(c):
            loc += coeffs[..., _index(c, d) : _index(c, d) + 1] * channels[d]
        coupled.append(loc)
    return tf.concat(coupled, axis=-1)


def _index(c, d):
    """Where the coefficient of channel c on channel d < c stands."""
    return c * (c - 1) // 2 + d
