"""A penalty on flows that stretch on their way back from the latent, far from the data."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.checks.errors import UserError
from tfp_flows.distributions import protocols
from tfp_flows.numerics import Seed, SeedLike, noise, quantization

EACH = 4  # images for one pattern
PERIOD = 4  # pixels, the longest of a pattern's
STEP = 1e-4  # of a latent's root mean square
AIM = 0.1  # of the range of grey levels, for a change of 1 in the latent: below it the penalty fades
TINY = 1e-20

Penalty = Callable[[tf.Tensor, SeedLike], tf.Tensor]


def make_penalty(model: Any) -> Penalty:
    """The penalty of a flow over dequantised images, after Behrmann et al. (2021), section 4.1.

        R = mean_j [ log(1 + (a_j / 0.1)^2) / 2 ],      a = rms(g(z + e v) - y) / e,      z = f(y)

    f goes to the latent, g back; v is standard normal noise, e is 1e-4 rms(z), and y_j are `patterns`, one
    for each four images of the batch. a is how much g stretches a small change of the latent, and so the
    rounding errors in it. They take its square, on training images; what fails in float32 lies far from
    those. Its logarithm is taken because a is 0.1 for one pattern and 1000 for the next.

    Args:
      model: As `Dequantized`.

    Returns:
      Function (images uint8 `[B, H, W, C]`, of which only the shape matters, seed) -> R.

    Raises:
      UserError: If it is no flow, or a reversible one, whose gradients come from the inverse themselves.

    #### References

    [1]: Jens Behrmann, Paul Vicol, Kuan-Chieh Wang, Roger Grosse and Jörn-Henrik Jacobsen. Understanding and
         mitigating exploding inverses in invertible neural networks. AISTATS 2021.
         https://arxiv.org/abs/2006.09347
    """
    if not protocols.is_flow(model):
        raise UserError(f"`inverse_penalty` is for flows over images; {type(model).__name__} is none.")
    bijector, dtype = model.flow.bijector, model.flow.dtype
    if getattr(bijector, "reversible", False):
        raise UserError("`inverse_penalty` needs the activations that a `reversible` flow does not keep.")

    def penalty(images: tf.Tensor, seed: SeedLike) -> tf.Tensor:
        of_patterns, of_levels, of_latents = Seed.of(seed).split(3)
        shape = [-(-tf.shape(images)[0] // EACH), *images.shape[1:]]
        u = noise.uniform(shape, of_levels, dtype)
        y = quantization.dequantize(patterns(shape, of_patterns), u)
        stretch = stretching(bijector, y, of_latents)
        return tf.reduce_mean(tf.math.log1p((stretch / AIM) ** 2)) / 2

    return penalty


def stretching(bijector: tfb.Bijector, y: tf.Tensor, seed: SeedLike) -> tf.Tensor:
    """How much the way back from the latent stretches a small change of it: a of `make_penalty`, `[B]`.

    Args:
      bijector: From latents to images.
      y: Dequantised images `[B, H, W, C]`.
      seed: Of the change.

    Returns:
      `[B]`; NaN or infinite where nothing finite comes back.
    """
    z = bijector.inverse(tf.identity(y))
    size = STEP * _rms(tf.stop_gradient(z))
    change = noise.normal(tf.shape(z), seed, z.dtype) * tf.reshape(size, [-1, 1, 1, 1])
    return _rms(bijector.forward(z + change) - y) / size


def patterns(shape: Sequence[int | tf.Tensor], seed: SeedLike) -> tf.Tensor:
    """Images of small patterns, as far from photographs as images can be.

    A third are tiles of 1 to 4 by 1 to 4 pixels in black and white in each channel, such as checkerboards
    and stripes; a third tiles of any levels; a third white dots on black, of any density.

    Args:
      shape: (B, H, W, C).
      seed: As `Seed.of` takes it; images are along the first axis.

    Returns:
      uint8 `[B, H, W, C]`.
    """
    count, height, width, channels = shape
    of_kind, of_tile, of_levels, of_dots, of_density = Seed.of(seed).split(5)
    periods = 1 + tf.cast(PERIOD * noise.uniform([count, 2], of_tile), tf.int32)
    rows = tf.range(height) % periods[:, :1]
    columns = tf.range(width) % periods[:, 1:]
    place = PERIOD * rows[:, :, tf.newaxis] + columns[:, tf.newaxis]
    levels = noise.uniform([count, PERIOD**2, channels], of_levels)
    tiles = tf.gather(levels, place, axis=1, batch_dims=1)
    dots = noise.uniform(shape, of_dots) < noise.uniform([count, 1, 1, 1], of_density)
    kind = tf.reshape(tf.cast(3 * noise.uniform([count], of_kind), tf.int32), [-1, 1, 1, 1])
    white = tf.where(kind == 0, tiles < 0.5, dots)
    top = quantization.NUM_LEVELS - 1
    return tf.where(
        kind == 1,
        tf.cast(quantization.NUM_LEVELS * tiles, tf.uint8),
        tf.cast(top * tf.cast(white, tf.int32), tf.uint8),
    )


def check_batch(batch_size: int, num_parts: int) -> None:
    """Refuses a batch whose parts have patterns of other numbers than the whole.

    Raises:
      UserError: If `batch_size` is no multiple of 4 `num_parts`.
    """
    if batch_size % (EACH * num_parts):
        raise UserError(
            f"`inverse_penalty` has a pattern for each {EACH} images of a part: `batch_size={batch_size}` "
            f"must be a multiple of {EACH * num_parts}."
        )


def combined(
    gradients: Sequence[tf.Tensor], penalties: Sequence[tf.Tensor], weight: float
) -> list[tf.Tensor]:
    """g + w min(1, |g| / |r|) r, of the gradients g of the loss and r of the penalty.

    So r counts at most w times as much as g: back through an inverse that stretches, r is as large as that.
    Where r is not finite, since nothing came back from some pattern, it does not count in this step.

    Args:
      gradients: g, of every variable.
      penalties: r, likewise.
      weight: w.

    Returns:
      The sums, likewise.
    """
    norm, of_penalty = tf.linalg.global_norm(gradients), tf.linalg.global_norm(penalties)
    share = weight * tf.minimum(1.0, norm / tf.maximum(of_penalty, tf.constant(TINY, of_penalty.dtype)))
    share = tf.where(tf.math.is_finite(of_penalty), share, tf.zeros_like(share))
    return [
        g + tf.math.multiply_no_nan(r, tf.cast(share, g.dtype))
        for g, r in zip(gradients, penalties, strict=True)
    ]


def _rms(values: tf.Tensor) -> tf.Tensor:
    """Root mean square of each image's values, `[B]`."""
    return tf.sqrt(tf.reduce_mean(values**2, axis=[1, 2, 3]) + tf.constant(TINY, values.dtype))
