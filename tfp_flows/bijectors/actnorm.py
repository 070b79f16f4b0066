"""Activation normalisation: a scale and a shift for each channel (Glow, section 3.1)."""

import tensorflow as tf

from tfp_flows.bijectors import _one_pass
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
        num_channels,
        shift=None,
        log_scale=None,
        dtype=tf.float32,
        validate_args=False,
        name="actnorm",
    ):
        """Creates the bijector.

        Args:
          num_channels: Positive `int`, C.
          shift: Floating variable or tensor `[C]`; a new variable of zeros if None.
          log_scale: Floating variable or tensor `[C]`; a new variable of zeros if None.
          dtype: Floating dtype of new variables, and of inputs.
          validate_args: Python `bool`, as in every TFP bijector.
          name: Python `str`.

        Raises:
          ValueError: If `num_channels` is not a positive integer, `dtype` is not floating, or a
            parameter has another shape.
        """
        parameters = dict(locals())
        dtype = _one_pass.check_floating(dtype, name)
        self._num_channels = _one_pass.check_count(num_channels, "num_channels", name)
        self._shift = _zeros_unless(shift, self._num_channels, dtype, f"{name}_shift")
        self._log_scale = _zeros_unless(log_scale, self._num_channels, dtype, f"{name}_log_scale")
        _one_pass.check_shape(self._shift, [self._num_channels], "shift", name)
        _one_pass.check_shape(self._log_scale, [self._num_channels], "log_scale", name)
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
    def num_channels(self):
        """C, the size of the last axis."""
        return self._num_channels

    @property
    def shift(self):
        """Variable or tensor `[C]`."""
        return self._shift

    @property
    def log_scale(self):
        """Variable or tensor `[C]`."""
        return self._log_scale

    def initialize(self, x, epsilon=1e-6):
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
        _one_pass.check_channels(x, self._num_channels, self.name)
        mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
        self._shift.assign(-mean)
        self._log_scale.assign(-tf.math.log(tf.sqrt(variance) + epsilon))
        return self._inverse(x)

    def _inverse_with_log_det(self, x):
        _one_pass.check_channels(x, self._num_channels, self.name)
        log_scale = tf.convert_to_tensor(self._log_scale)
        return (x + self._shift) * tf.exp(log_scale), tf.reduce_sum(log_scale)

    def _forward_with_log_det(self, z):
        _one_pass.check_channels(z, self._num_channels, self.name)
        log_scale = tf.convert_to_tensor(self._log_scale)
        return z * tf.exp(-log_scale) - self._shift, -tf.reduce_sum(log_scale)


def _zeros_unless(value, num_channels, dtype, name):
    return tf.Variable(tf.zeros([num_channels], dtype), name=name) if value is None else value
