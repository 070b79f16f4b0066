"""Activation normalisation: a scale and a shift for each channel (Glow, section 3.1)."""

from collections.abc import Iterator

import numpy.typing as npt
import tensorflow as tf
from tensorflow_probability import util as tfu

from tfp_flows.bijectors import _one_pass
from tfp_flows.bijectors._one_pass import Pair
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


class ActNorm(_one_pass.OnePassBijector):
    """Affine transformation of each channel, with parameters that can be set from data.

        inverse (image -> latent):  z = exp(log_scale) * (x + shift)
        forward (latent -> image):  x = exp(-log_scale) * z - shift
        log|det dz/dx| = sum_c log_scale_c     for each position (pixel)

    The event is the last axis, `[C]`; any axes before it are positions or batch. For an image event
    `[H, W, C]` TFP counts the log-determinant H*W times. A new `ActNorm` is the identity; nothing but
    a call of `initialize` sets it from data.

    #### Example

    ```python
    norm = tfp_flows.bijectors.ActNorm(3)
    z = norm.initialize(images)        # z has mean 0 and variance 1 in each channel
    norm.inverse(images)               # the same z
    ```

    #### References

    [1]: Diederik P. Kingma and Prafulla Dhariwal. Glow: Generative Flow with Invertible 1x1
         Convolutions. NeurIPS 2018. https://arxiv.org/abs/1807.03039 (section 3.1)
    """

    def __init__(
        self,
        num_channels: int,
        shift: tf.Tensor | tf.Variable | None = None,
        log_scale: tf.Tensor | tf.Variable | None = None,
        dtype: tf.DType | npt.DTypeLike = tf.float32,
        validate_args: bool = False,
        name: str = "actnorm",
    ):
        """Creates the bijector.

        Args:
          num_channels: Positive `int`, C.
          shift: Floating variable or tensor `[C]`; a new variable of zeros if None.
          log_scale: Floating variable or tensor `[C]`; a new variable of zeros if None.
          dtype: Floating dtype of new variables, and of inputs.
          validate_args: Python `bool`: check that inputs and parameters are finite, and the scale positive.
          name: Python `str`.

        Raises:
          ValueError: If `num_channels` is not a positive integer, `dtype` is not floating, or a
            parameter has another shape.
        """
        parameters = dict(locals())
        dtype = arguments.check_floating(dtype, name)
        self._num_channels = arguments.check_count(num_channels, "num_channels", name)
        self._shift = _zeros_unless(shift, self._num_channels, dtype, f"{name}_shift")
        self._log_scale = _zeros_unless(log_scale, self._num_channels, dtype, f"{name}_log_scale")
        arguments.check_shape(self._shift, [self._num_channels], "shift", name)
        arguments.check_shape(self._log_scale, [self._num_channels], "log_scale", name)
        parameters.update(shift=self._shift, log_scale=self._log_scale)  # a copy shares them
        super().__init__(
            forward_min_event_ndims=1,
            is_constant_jacobian=True,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def num_channels(self) -> int:
        """C, the size of the last axis."""
        return self._num_channels

    @property
    def shift(self) -> tf.Tensor | tf.Variable:
        """Variable or tensor `[C]`."""
        return self._shift

    @property
    def log_scale(self) -> tf.Tensor | tf.Variable:
        """Variable or tensor `[C]`."""
        return self._log_scale

    def initialize(self, x: tf.Tensor | npt.ArrayLike, epsilon: float = 1e-6) -> tf.Tensor:
        """Sets shift and scale so that `inverse(x)` has mean 0 and variance 1 in every channel.

        Args:
          x: Floating tensor `[..., C]`, image side; all axes but the last are averaged over.
          epsilon: Added to the standard deviation, so that a constant channel stays finite.

        Returns:
          `inverse(x)` under the new parameters.

        Raises:
          ValueError: If shift or scale were given as tensors, which cannot be assigned.
        """
        for parameter in (self._shift, self._log_scale):
            if not isinstance(parameter, tf.Variable):
                raise UserError(
                    f"{self.name}: initialize() needs variables, but a parameter was given as "
                    f"{type(parameter).__name__}."
                )
        x = tf.convert_to_tensor(x, dtype=self.dtype)
        arguments.check_event(x, 1, self.name)
        arguments.check_channels(x, self._num_channels, self.name)
        mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
        self._shift.assign(-mean)
        self._log_scale.assign(-tf.math.log(tf.sqrt(variance) + epsilon))
        return self._inverse_with_log_det(x)[0]

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType | None) -> dict[str, tfu.ParameterProperties]:
        del dtype
        return {name: tfu.ParameterProperties(event_ndims=1) for name in ("shift", "log_scale")}

    def _parameter_checks(self) -> Iterator[tuple[tf.Tensor | tf.Variable, tf.Tensor, str]]:
        finite = tf.reduce_all(tf.math.is_finite(self._shift))
        yield self._shift, finite, "`shift` must be finite."
        scale = tf.exp(self._log_scale)
        positive = tf.reduce_all((scale > 0) & tf.math.is_finite(scale))
        yield self._log_scale, positive, "the scale exp(`log_scale`) must be positive and finite."

    def _inverse_with_log_det(self, x: tf.Tensor) -> Pair:  # type: ignore[override]
        arguments.check_channels(x, self._num_channels, self.name)
        log_scale = tf.convert_to_tensor(self._log_scale)
        return (x + self._shift) * tf.exp(log_scale), tf.reduce_sum(log_scale)

    def _forward_with_log_det(self, z: tf.Tensor) -> Pair:  # type: ignore[override]
        arguments.check_channels(z, self._num_channels, self.name)
        log_scale = tf.convert_to_tensor(self._log_scale)
        return z * tf.exp(-log_scale) - self._shift, -tf.reduce_sum(log_scale)


def _zeros_unless(
    value: tf.Tensor | tf.Variable | None, num_channels: int, dtype: tf.DType, name: str
) -> tf.Tensor | tf.Variable:
    return tf.Variable(tf.zeros([num_channels], dtype), name=name) if value is None else value
