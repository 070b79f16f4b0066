"""What a decoder may say about an image: distributions over integer grey levels, event `[H, W, C]`.

Each is made from the decoder's output `[..., H, W, P]`; given the latent, pixels are independent.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.distributions.discretized_logistic import (
    discretized_logistic_log_prob,
    discretized_logistic_moments,
)
from tfp_flows.numerics import noise

NUM_LEVELS = 256
HIGH = 255.0
SMALLEST_SCALE = 1e-3  # in units of [-1, 1]: an eighth of a grey level


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """A kind of decoder distribution.

    Attributes:
      num_outputs: `(channels, num_mixtures) -> P`.
      distribution: `(outputs [..., H, W, P], channels, num_mixtures) -> tfd.Distribution`.
    """

    num_outputs: Callable
    distribution: Callable


def _categorical(outputs, channels, num_mixtures):
    """256 free probabilities for each channel of each pixel."""
    del num_mixtures
    shape = tf.concat([tf.shape(outputs)[:-1], [channels, NUM_LEVELS]], 0)
    logits = tf.reshape(outputs, shape)
    return tfd.Independent(tfd.Categorical(logits=logits, dtype=outputs.dtype), 3)


def _logistic(outputs, channels, num_mixtures):
    """A mixture of discretised logistics for each pixel; its channels share the component."""
    shape = tf.concat([tf.shape(outputs)[:-1], [num_mixtures, 1 + 2 * channels]], 0)
    logits, locs, raw_scales = tf.split(tf.reshape(outputs, shape), [1, channels, channels], axis=-1)
    logistics = DiscretizedLogistic(
        0.5 * HIGH * (locs + 1.0), 0.5 * HIGH * (tf.nn.softplus(raw_scales) + SMALLEST_SCALE)
    )
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits[..., 0]), tfd.Independent(logistics, 1))
    return tfd.Independent(mixture, 2)


def _bernoulli(outputs, channels, num_mixtures):
    """Black or white: any other grey level has probability 0."""
    del channels, num_mixtures
    return tfd.Independent(BlackOrWhite(outputs), 3)


LIKELIHOODS = {
    "categorical": Likelihood(lambda channels, _: channels * NUM_LEVELS, _categorical),
    "logistic": Likelihood(lambda channels, k: k * (1 + 2 * channels), _logistic),
    "bernoulli": Likelihood(lambda channels, _: channels, _bernoulli),
}


class _Elementwise(tfd.Distribution):
    """A scalar distribution over grey levels with parameters of one shape."""

    def __init__(self, parameter, parameters, name):
        self._parameter = parameter
        super().__init__(
            dtype=parameter.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        del dtype, num_classes
        return {}

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _batch_shape(self):
        return self._parameter.shape

    def _batch_shape_tensor(self):
        return tf.shape(self._parameter)

    def _uniform(self, n, seed):
        shape = tf.concat([[n], tf.shape(self._parameter)], 0)
        return noise.uniform(shape, seed, self.dtype)


class DiscretizedLogistic(_Elementwise):
    """A logistic variable rounded to 0..255; see `discretized_logistic_log_prob`."""

    def __init__(self, loc: tf.Tensor, scale: tf.Tensor, name: str = "discretized_logistic"):
        """`loc` and `scale` in grey levels, of one shape."""
        parameters = dict(locals())
        self._scale = scale
        super().__init__(loc, parameters, name)

    def _log_prob(self, value):
        return discretized_logistic_log_prob(value, self._parameter, self._scale, 0.0, HIGH)

    def _mean(self):
        return discretized_logistic_moments(self._parameter, self._scale)[0]

    def _variance(self):
        return discretized_logistic_moments(self._parameter, self._scale)[1]

    def _sample_n(self, n, seed=None):
        u = tf.maximum(self._uniform(n, seed), 1e-30)
        value = self._parameter + self._scale * (tf.math.log(u) - tf.math.log1p(-u))
        return tf.clip_by_value(tf.round(value), 0.0, HIGH)


class BlackOrWhite(_Elementwise):
    """255 with probability sigmoid(logit), else 0."""

    def __init__(self, logits: tf.Tensor, name: str = "black_or_white"):
        """`logits` of any shape."""
        parameters = dict(locals())
        super().__init__(logits, parameters, name)

    def _log_prob(self, value):
        signed = tf.where(value > 0, self._parameter, -self._parameter)
        possible = (value == 0) | (value == HIGH)
        return tf.where(possible, -tf.nn.softplus(-signed), tf.cast(-float("inf"), self.dtype))

    def _mean(self):
        return HIGH * tf.sigmoid(self._parameter)

    def _variance(self):
        return HIGH**2 * tf.sigmoid(self._parameter) * tf.sigmoid(-self._parameter)

    def _sample_n(self, n, seed=None):
        white = self._uniform(n, seed) < tf.sigmoid(self._parameter)
        return tf.where(white, tf.cast(HIGH, self.dtype), tf.zeros([], self.dtype))
