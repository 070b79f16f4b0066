"""Integer images and continuous densities: dequantisation and bits per dimension.

The one place where the step from grey levels 0..255 to the unit interval is made; training,
evaluation and export all come here.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

NUM_LEVELS = 256
BOUNDS = ("mean", "importance")


def bits_per_dim(log_prob, image_shape):
    """Negative log-likelihood in bits per dimension: -log_prob / (H * W * C * ln 2).

    Args:
      log_prob: Log-probability of integer images in nats, any shape.
      image_shape: (H, W, C).

    Returns:
      The same shape as `log_prob`, in bits; 8 for a model that knows nothing.
    """
    return -log_prob / (np.prod(image_shape) * np.log(2.0))


def dequantize(images, noise):
    """y = (x + u) / 256 in [0, 1).

    Args:
      images: Integer grey levels 0..255, any dtype.
      noise: Uniform in [0, 1), floating, broadcasts against `images`.

    Returns:
      Floating tensor of `noise`'s dtype.
    """
    return (tf.cast(images, noise.dtype) + noise) / NUM_LEVELS


def quantize(values):
    """floor(256 * y), clipped to 0..255: the grey levels that `dequantize` came from.

    NaN becomes 0: a few samples of an affine flow overflow, where the inverse of its scale is large
    (Behrmann et al. 2021, https://arxiv.org/abs/2006.09347).
    """
    grey = tf.clip_by_value(tf.floor(values * NUM_LEVELS), 0.0, NUM_LEVELS - 1.0)
    return tf.where(tf.math.is_nan(grey), tf.zeros_like(grey), grey)


def uniform_noise(shape, seed, dtype=tf.float32):
    """Stateless uniform noise in [0, 1) from an integer seed, or a pair of them.

    The same under XLA and on any device: TensorFlow's default generator is another one under XLA.
    """
    return tf.random.stateless_uniform(shape, _seed_pair(seed), dtype=dtype, alg="philox")


class Dequantized(tfd.Distribution):
    """A density model over integer images, made of a flow over dequantised ones.

        log P(x) >= E_u[log p_Y((x + u) / 256)] - D ln 256,        u ~ Uniform[0, 1)^D

    estimated from S draws of u: their mean (`bound="mean"`, a lower bound in expectation), or their
    log-mean-exp (`bound="importance"`, tighter with S, and exact as S grows). The event is
    `[H, W, C]`, of dtype float32 (or the flow's) holding integers, as `tfd.PixelCNN` has it;
    `log_prob` is in nats. The noise `[S, H, W, C]` comes from `seed` and is shared across the batch, so
    that a result depends neither on the batch nor on its order. `.flow` is the continuous
    distribution.

    #### Example

    ```python
    model = tfp_flows.Dequantized(tfp_flows.glow(tfp_flows.GlowConfig(), (32, 32, 3)))
    model.log_prob(images)             # uint8 [B, 32, 32, 3] -> [B], nats
    model.log_prob(images, seed=7)     # with other noise
    ```

    #### References

    [1]: Lucas Theis, Aaron van den Oord and Matthias Bethge. A note on the evaluation of generative
         models. ICLR 2016. https://arxiv.org/abs/1511.01844 (section 3.1)
    [2]: Jonathan Ho et al. Flow++. ICML 2019. https://arxiv.org/abs/1902.00275 (section 3.1)
    """

    def __init__(self, flow, num_samples=1, seed=0, bound="mean", name="dequantized"):
        """Creates the distribution.

        Args:
          flow: `tfd.Distribution` over `[H, W, C]` images with values in [0, 1).
          num_samples: Positive `int`, S: draws of the noise per image.
          seed: Python `int`, the noise of `log_prob` where none is given in the call.
          bound: "mean" or "importance".
          name: Python `str`.

        Raises:
          ValueError: If an argument is not of this kind.
        """
        parameters = dict(locals())
        if isinstance(num_samples, bool) or int(num_samples) != num_samples or num_samples < 1:
            raise ValueError(f"{name}: `num_samples` must be a positive integer, got {num_samples!r}.")
        if bound not in BOUNDS:
            raise ValueError(f"{name}: `bound` must be one of {BOUNDS}, got {bound!r}.")
        if len(flow.event_shape) != 3 or not flow.event_shape.is_fully_defined():
            raise ValueError(
                f"{name}: `flow` must have events of a known shape [H, W, C], "
                f"got event_shape={flow.event_shape}."
            )
        self._flow = flow
        self._num_samples = int(num_samples)
        self._seed = seed
        self._bound = bound
        super().__init__(
            dtype=flow.dtype,
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

    @property
    def flow(self):
        """The continuous distribution over y = (x + u) / 256."""
        return self._flow

    @property
    def num_samples(self):
        """S, draws of the noise per image."""
        return self._num_samples

    def evaluation_noise(self, seed=None):
        """The noise `[S, H, W, C]` that `log_prob` uses with this seed."""
        shape = [self._num_samples, *self.event_shape]
        return uniform_noise(shape, self._seed if seed is None else seed, self.dtype)

    def _call_log_prob(self, value, name, **kwargs):
        value = check_images(value, self.event_shape, self.name)
        return super()._call_log_prob(tf.cast(value, self.dtype), name, **kwargs)

    def _call_prob(self, value, name, **kwargs):
        return tf.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value, seed=None):
        batch_shape = tf.shape(value)[:-3]
        images = tf.reshape(value, tf.concat([[-1], tf.shape(value)[-3:]], 0))
        noise = self.evaluation_noise(seed)

        def continuous_log_prob(u):
            return self._flow.log_prob(dequantize(images, u))

        if self._num_samples == 1:
            continuous = continuous_log_prob(noise[0])
        else:
            draws = tf.map_fn(
                continuous_log_prob, noise, parallel_iterations=1, fn_output_signature=self.dtype
            )
            continuous = _combine(draws, self._bound)
        continuous = tf.reshape(continuous, batch_shape)
        log_volume = np.prod(self.event_shape) * np.log(NUM_LEVELS)
        return tf.ensure_shape(continuous - log_volume, value.shape[:-3])

    def _sample_n(self, n, seed=None):
        return quantize(self._flow.sample(n, seed=seed))

    def _event_shape(self):
        return self._flow.event_shape

    def _event_shape_tensor(self):
        return self._flow.event_shape_tensor()

    def _batch_shape(self):
        return tf.TensorShape([])

    def _batch_shape_tensor(self):
        return tf.constant([], tf.int32)


def _combine(draws, bound):
    """The mean or the log-mean-exp of log-probabilities `[S, N]` over the draws."""
    if bound == "mean":
        return tf.reduce_mean(draws, axis=0)
    return tf.reduce_logsumexp(draws, axis=0) - np.log(draws.shape[0])


def check_images(value, image_shape, owner):
    """`value` as a tensor, if it can be a batch of integer images of this shape.

    Values that are known (not symbolic tensors of a `tf.function`) are checked before any conversion:
    TFP would turn a 300 into a 44 without a word.

    Raises:
      ValueError: If the shape differs, or a value is no integer of 0..255.
    """
    if isinstance(value, tf.Variable):
        value = tf.convert_to_tensor(value)
    if not tf.is_tensor(value):
        value = np.asarray(value)
    shape = tf.TensorShape(value.shape)
    if not shape[-3:].is_compatible_with(image_shape):
        raise ValueError(
            f"{owner}: images must have shape [..., {', '.join(map(str, image_shape))}], got {tuple(shape)}."
        )
    concrete = value if isinstance(value, np.ndarray) else tf.get_static_value(value)
    if concrete is not None and concrete.dtype != np.uint8:
        _check_grey_levels(np.asarray(concrete), owner)
    return tf.convert_to_tensor(value)


def _check_grey_levels(values, owner):
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{owner}: images must be numbers 0..255, got dtype {values.dtype}.")
    wrong = (values < 0) | (values > NUM_LEVELS - 1) | (values != np.floor(values))
    if wrong.any():
        first = values[wrong].ravel()[0]
        raise ValueError(
            f"{owner}: images must hold integer grey levels 0..255, got {first!s} "
            f"(and {int(wrong.sum()) - 1} more such values); dequantised images go to `.flow`."
        )


def _seed_pair(seed):
    seed = tf.convert_to_tensor(seed)
    return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed
