"""PixelCNN++ as a distribution over integer images, conditional where it is asked to be."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pixelcnn import mixture, sampler
from pixelcnn.network import PixelCNNNetwork
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_image_shape, check_images
from tfp_flows.distributions import conditions, copies
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.distributions.temperature import checked
from tfp_flows.numerics import SeedLike

# What the network follows from.
OF_NETWORK = (
    "image_shape",
    "condition_size",
    "num_resnet",
    "num_hierarchies",
    "num_filters",
    "num_logistic_mix",
    "dropout_p",
    "seed",
    "dtype",
)


class PixelCNN(ImageDistribution):
    """A density model that goes through an image pixel by pixel in raster order.

        log P(x | h) = sum_{r, c} log P(x_rc | pixels before (r, c), h)

    with the network of PixelCNN++ and a mixture of discretised logistics for each pixel. It is the model of
    `tfd.PixelCNN`, whose argument names it takes and whose weights it can take over (`tfp_weights`), made
    safe: no weight of a fresh model sees a later pixel, initialisation from data is an explicit call and
    from data only, integer images of any type are accepted, seeds are stateless, each pixel has its own
    log-probability, and a sample takes the work of about one pass through the network (`sampler`). TFP's
    samples are not quite of its own density: it feeds back what it drew before it rounds it.

    Batch shape `[]`, event `[H, W, C]` of integers 0..high. A copy has the same weights.

    #### Example

    ```python
    model = pixelcnn.PixelCNN((28, 28, 1), num_resnet=2, num_hierarchies=2, num_filters=32)
    model.initialize(images)                # uint8 [B, 28, 28, 1]; sets scales and biases from data
    model.log_prob(images)                  # [B], nats
    model.pixel_log_probs(images)           # [B, 28, 28], nats; they sum to log_prob
    model.sample(16, seed=0)

    digits = pixelcnn.PixelCNN((28, 28, 1), condition_size=10)
    digits.log_prob(images, condition=tf.one_hot(labels, 10))
    digits.sample(10, condition=tf.eye(10), seed=0)       # one of each class
    ```

    #### Temperature

    `model.sample(n, temperature=T)` draws each pixel, given those drawn before, from a sharper or a flatter
    mixture:

        P_T(component k) ~ P(k)^(1 / T),        scale_T = T scale

    0 draws no more: the location of the most probable component.

    #### References

    [1]: Tim Salimans, Andrej Karpathy, Xi Chen and Diederik P. Kingma. PixelCNN++. ICLR 2017.
         https://arxiv.org/abs/1701.05517
    [2]: Aaron van den Oord et al. Conditional image generation with PixelCNN decoders. NIPS 2016.
         https://arxiv.org/abs/1606.05328
    """

    def __init__(
        self,
        image_shape: Sequence[int] | tf.TensorShape,
        condition_size: int = 0,
        num_resnet: int = 5,
        num_hierarchies: int = 3,
        num_filters: int = 160,
        num_logistic_mix: int = 10,
        dropout_p: float = 0.0,
        high: int = 255,
        seed: int = 0,
        dtype: tf.DType = tf.float32,
        network: PixelCNNNetwork | None = None,
        name: str = "pixelcnn",
    ):
        """Creates the distribution and its variables.

        Args:
          image_shape: (H, W, C); H and W must halve evenly `num_hierarchies - 1` times.
          condition_size: K: the density is p(x | h) for vectors h `[K]`; 0 for none.
          num_resnet: Blocks of each hierarchy and stack on the way down.
          num_hierarchies: Resolutions, each half the one before.
          num_filters: Channels of the network.
          num_logistic_mix: Components of a pixel's mixture.
          dropout_p: Probability of dropout; only `log_prob(..., dropout_seed=...)` drops.
          high: The highest grey level.
          seed: Python `int` of the initial weights.
          dtype: `tf.float32` or `tf.float64`.
          network: That of another PixelCNN of the same settings, whose weights are shared; None for a new
            one.
          name: Python `str`.

        Raises:
          UserError: If an argument is not of this kind, or the image's sides do not halve evenly.
        """
        parameters = dict(locals())
        num_resnet, num_hierarchies, num_filters, num_logistic_mix, high = (
            arguments.check_count(parameters[argument], argument, name)
            for argument in ("num_resnet", "num_hierarchies", "num_filters", "num_logistic_mix", "high")
        )
        condition_size = conditions.check_size(condition_size, name)
        if not 0 <= dropout_p < 1:
            raise UserError(f"{name}: `dropout_p` must be in [0, 1), got {dropout_p!r}.")
        if high > 255:
            raise UserError(f"{name}: `high` must be at most 255, got {high!r}.")
        image_shape = check_image_shape(image_shape, name)
        _check_halving(name, image_shape, num_hierarchies)
        self._num_components = num_logistic_mix
        self._high = float(high)
        self._condition_size = condition_size
        if network is None:
            network = PixelCNNNetwork(
                in_channels=image_shape[-1],
                out_channels=mixture.num_parameters(num_logistic_mix, image_shape[-1]),
                num_resnet=num_resnet,
                num_hierarchies=num_hierarchies,
                num_filters=num_filters,
                condition_size=condition_size,
                dropout_p=dropout_p,
                seed=seed,
                dtype=dtype,
            )
        self._network = network
        parameters["network"] = network  # a copy shares it
        super().__init__(image_shape, dtype, parameters, name)
        self._sampler = sampler.Sampler(self)

    def copy(self, **overrides: Any) -> "PixelCNN":
        """The model, of the same weights, with other arguments.

        Raises:
          UserError: If an argument is another that the network follows from.
        """
        copies.check_overrides(self, overrides, OF_NETWORK, networks=("network",))
        return super().copy(**overrides)

    @property
    def network(self) -> PixelCNNNetwork:
        """The `PixelCNNNetwork`."""
        return self._network

    @property
    def condition_size(self) -> int:
        """K, the size of the condition; 0 for none."""
        return self._condition_size

    @property
    def num_components(self) -> int:
        """Components of a pixel's mixture."""
        return self._num_components

    @property
    def high(self) -> tf.Tensor:
        """The highest grey level, of the model's dtype."""
        return tf.cast(self._high, self.dtype)

    def initialize(
        self, images: np.ndarray | tf.Tensor, condition: np.ndarray | tf.Tensor | None = None
    ) -> None:
        """Sets every layer's scale and bias so that its outputs on these images have mean 0, variance 1.

        An explicit call, from images alone: nothing is initialised by evaluating or sampling.

        Args:
          images: Integer images `[B, H, W, C]`.
          condition: None or `[B, K]`.
        """
        images = self._checked(images)
        condition = self._flat_condition(condition, len(images))
        self._network(mixture.to_unit(images, self._high), condition, initialize=True)

    def pixel_mixtures(
        self,
        images: np.ndarray | tf.Tensor,
        condition: np.ndarray | tf.Tensor | None = None,
        dropout_seed: SeedLike = None,
    ) -> mixture.Mixture:
        """The `Mixture` of every pixel given those before it, for images `[N, H, W, C]`."""
        images = self._checked(images)
        count = tf.shape(images)[0] if images.shape[0] is None else images.shape[0]
        condition = self._flat_condition(condition, count)
        outputs = self._network(mixture.to_unit(images, self._high), condition, dropout_seed)
        return self.mixture_of(outputs)

    def mixture_of(self, outputs: tf.Tensor) -> mixture.Mixture:
        """The network's outputs `[..., P]` as a `Mixture`."""
        return mixture.mixture(outputs, self._num_components, self.event_shape[-1])

    def pixel_log_probs(
        self,
        images: np.ndarray | tf.Tensor,
        condition: np.ndarray | tf.Tensor | None = None,
        dropout_seed: SeedLike = None,
    ) -> tf.Tensor:
        """log P(x_rc | pixels before, h) `[N, H, W]` in nats; they sum to `log_prob`."""
        images = self._checked(images)
        values = mixture.log_prob(images, self.pixel_mixtures(images, condition, dropout_seed), self.high)
        above = tf.reduce_any(images > self._high, axis=-1)
        return tf.where(above, tf.cast(-np.inf, self.dtype), values)

    def _checked(self, images):
        return tf.cast(check_images(images, self.event_shape, self.name), self.dtype)

    def _call_log_prob(self, value, name, **kwargs):
        known = value if isinstance(value, np.ndarray) else tf.get_static_value(value)
        if known is not None and np.max(known, initial=0) > self._high <= 254:
            raise UserError(
                f"{self.name}: this model's grey levels are 0..{self._high:.0f}, got {np.max(known)}."
            )
        return super()._call_log_prob(value, name, **kwargs)

    def _log_prob_of_images(self, images, condition=None, dropout_seed=None):
        return tf.reduce_sum(self.pixel_log_probs(images, condition, dropout_seed), axis=[1, 2])

    def _sample_n(self, n, seed=None, condition=None, progress=None, temperature=1.0):
        condition = self._flat_condition(condition, n)
        draws = sampler.uniforms(self, n, seed)
        draws = mixture.at_temperature(draws, self._num_components, checked(temperature, self.name))
        return self._sampler.sample_from(draws, condition, progress)

    def _flat_condition(self, condition, count):
        """The condition as `[count, K]`: one for all images, or one for each."""
        return conditions.vectors(condition, self._condition_size, count, self.dtype, self.name)


def _check_halving(name, image_shape, num_hierarchies):
    for size, side in zip(image_shape[:2], ("height", "width"), strict=True):
        if size % 2 ** (num_hierarchies - 1):
            raise UserError(
                f"{name}: the {side} of `image_shape` must halve evenly {num_hierarchies - 1} times "
                f"(num_hierarchies={num_hierarchies}), got {image_shape}."
            )
