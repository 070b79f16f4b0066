"""A density of images given their low resolution: what is gained by looking closer."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_images
from tfp_flows.numerics import Seed, SeedLike


def low_resolution(images: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Images `[..., H, W, C]` at half the resolution, `[..., H/2, W/2, C]`.

        l = floor(m + 1/2),     m the mean of 2 x 2 pixels

    Args:
      images: Integers of any dtype, H and W even.

    Returns:
      float32 holding integers.

    Raises:
      UserError: If a side is odd.
    """
    values = tf.cast(images, tf.float32)
    height, width, channels = values.shape[-3:]
    if height % 2 or width % 2:
        raise UserError(f"`images` must have even sides, to be halved, got {height}x{width}.")
    blocks = tf.concat([tf.shape(values)[:-3], [height // 2, 2, width // 2, 2, channels]], 0)
    means = tf.reduce_mean(tf.reshape(values, blocks), axis=(-4, -2))
    return tf.ensure_shape(
        tf.floor(means + 0.5), values.shape[:-3].concatenate([height // 2, width // 2, channels])
    )


class SuperResolution(tf.Module):
    """log p(x | l(x)), l(x) the image at half its resolution: a density of what a closer look shows.

    Made of any density of images that takes a map as its `condition`, such as a Glow. Every low resolution
    is one image of integer grey levels, so that with a density of these

        log p(x) >= log p(l(x)) + log p(x | l(x))

    (the conditional density may spend something on images whose low resolution is another). By itself it is
    no density of x: its bits per dimension are not to be compared with those of one.

    #### Example

    ```python
    flow = tfp_flows.glow(tfp_flows.GlowConfig(), (32, 32, 3), condition_channels=3)
    model = tfp_flows.distributions.SuperResolution(tfp_flows.Dequantized(flow))
    tfp_flows.fit(model, images, steps=2_000)       # uint8 [N, 32, 32, 3]
    model.log_prob(images)                          # [B], log p(x | l(x)), nats
    small = model.encode(images)                    # l(x), [B, 16, 16, 3]
    model.sample(small, seed=0)                     # an image of each, [B, 32, 32, 3]
    ```
    """

    def __init__(self, conditional: tfd.Distribution, name: str = "super_resolution"):
        """Keeps p(x | h).

        Args:
          conditional: Over integer images `[H, W, C]`, H and W even: its `log_prob(x, condition=)` and
            `sample(B, condition=, seed=)` take maps `[B, H, W, C]` of numbers in [0, 1].
          name: Python `str`.

        Raises:
          UserError: If the images' sides are odd.
        """
        super().__init__(name=name)
        height, width, channels = conditional.event_shape
        if height % 2 or width % 2:
            raise UserError(f"{name}: images must have even sides, to be halved, got {height}x{width}.")
        self._conditional = conditional
        self._low_shape = (height // 2, width // 2, channels)

    @property
    def conditional(self) -> tfd.Distribution:
        """p(x | h)."""
        return self._conditional

    @property
    def event_shape(self) -> tf.TensorShape:
        """(H, W, C) of the images."""
        return self._conditional.event_shape

    @property
    def dtype(self) -> tf.DType:
        """That of weights and log-probabilities."""
        return self._conditional.dtype

    @property
    def low_shape(self) -> tuple[int, int, int]:
        """(H/2, W/2, C)."""
        return self._low_shape

    def encode(self, images: np.ndarray | tf.Tensor) -> tf.Tensor:
        """l(x) `[B, H/2, W/2, C]`, integers in the model's dtype."""
        checked = check_images(images, self.event_shape, self.name)
        return tf.cast(low_resolution(checked), self.dtype)

    def condition(self, low: np.ndarray | tf.Tensor) -> tf.Tensor:
        """Integer images `[B, H/2, W/2, C]` as p(x | h) takes them: (l + 1/2) / 256 for each of four pixels.

        Raises:
          UserError: If they are no such images.
        """
        low = tf.cast(check_images(low, self._low_shape, self.name), self.dtype)
        return (self.enlarged(low) + 0.5) / 256.0

    def enlarged(self, low: np.ndarray | tf.Tensor) -> tf.Tensor:
        """`[B, H/2, W/2, C]` as `[B, H, W, C]`: each pixel four times."""
        return tf.repeat(tf.repeat(low, 2, axis=1), 2, axis=2)

    def log_prob(
        self, images: np.ndarray | tf.Tensor, low: np.ndarray | tf.Tensor | None = None, **kwargs: Any
    ) -> tf.Tensor:
        """log p(x | l) `[B]` of integer images `[B, H, W, C]`, nats; without `low`, of their own l(x).

        Further keyword arguments, such as `seed`, go to the conditional density.
        """
        given = self.condition(self.encode(images) if low is None else low)
        return self._conditional.log_prob(images, condition=given, **kwargs)

    def log_prob_map(self, images: np.ndarray | tf.Tensor, **kwargs: Any) -> tf.Tensor:
        """The share of each pixel in `log_prob`, `[B, H, W]`, where the conditional density says it."""
        return self._conditional.log_prob_map(
            images, condition=self.condition(self.encode(images)), **kwargs
        )

    def sample(self, low: np.ndarray | tf.Tensor, seed: SeedLike, **kwargs: Any) -> tf.Tensor:
        """An image drawn from p(x | l) for each of integer images `[B, H/2, W/2, C]`: `[B, H, W, C]`."""
        given = self.condition(low)
        count = tf.shape(given)[0] if given.shape[0] is None else given.shape[0]
        pair = tf.cast(Seed.of(seed).pair, tf.int32)
        return self._conditional.sample(count, condition=given, seed=pair, **kwargs)

    def reconstruct(self, images: np.ndarray | tf.Tensor, seed: SeedLike, **kwargs: Any) -> tf.Tensor:
        """An image drawn from p(x | l(x)) for each of `images`: `[B, H, W, C]`."""
        return self.sample(self.encode(images), seed, **kwargs)
