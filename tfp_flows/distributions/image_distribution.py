"""What every density model over integer images has in common."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.checks.images import check_images

tfd = tfp.distributions


class ImageDistribution(tfd.Distribution):
    """A `tfd.Distribution` over integer images: events `[H, W, C]`, batch shape `[]`.

    Its dtype is a floating one holding integers, as `tfd.PixelCNN` has it; uint8 and other integer types
    are accepted, and a value that is no grey level of 0..255 is refused before anything is converted.
    `log_prob` is in nats: the discrete log-probability, or a lower bound of it.

    A subclass implements `_log_prob_of_images(images, **kwargs)`, from `[N, H, W, C]` of its dtype to
    `[N]`, and `_sample_n`; keyword arguments of `log_prob` and `sample` reach them.
    """

    def __init__(self, image_shape, dtype, parameters, name):
        """Creates the distribution.

        Args:
          image_shape: (H, W, C).
          dtype: Floating `tf.DType` of weights, events and log-probabilities.
          parameters: The subclass's constructor arguments, for TFP.
          name: Python `str`.
        """
        self._image_shape = tf.TensorShape(image_shape)
        super().__init__(
            dtype=dtype,
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

    def _log_prob_of_images(self, images, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no log_prob.")

    def _call_log_prob(self, value, name, **kwargs):
        value = check_images(value, self.event_shape, self.name)
        return super()._call_log_prob(tf.cast(value, self.dtype), name, **kwargs)

    def _call_prob(self, value, name, **kwargs):
        return tf.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value, **kwargs):
        batch_shape = tf.shape(value)[:-3]
        images = tf.reshape(value, [-1, *self.event_shape])
        if images.shape[0] == 0:  # TF 2.21's float32 convolution of no images has the wrong shape
            return tf.zeros(value.shape[:-3], self.dtype)
        log_prob = tf.reshape(self._log_prob_of_images(images, **kwargs), batch_shape)
        return tf.ensure_shape(log_prob, value.shape[:-3])

    def _event_shape(self):
        return self._image_shape

    def _event_shape_tensor(self):
        return tf.constant(self._image_shape.as_list(), tf.int32)

    def _batch_shape(self):
        return tf.TensorShape([])

    def _batch_shape_tensor(self):
        return tf.constant([], tf.int32)
