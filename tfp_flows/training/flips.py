"""Images that are turned left to right, some of them."""

import tensorflow as tf

from tfp_flows.numerics import SeedLike, noise


def flipped(images: tf.Tensor, seed: SeedLike) -> tf.Tensor:
    """Each image, with probability 1/2, left to right.

    Args:
      images: `[B, H, W, C]`.
      seed: As `Seed.of` takes it.

    Returns:
      Of the shape and type of `images`.
    """
    chosen = noise.uniform(tf.shape(images)[:1], seed) < 0.5
    return tf.where(chosen[:, tf.newaxis, tf.newaxis, tf.newaxis], tf.reverse(images, [2]), images)
