"""Random mutations of images, which leave background statistics and destroy meaning."""

import tensorflow as tf

from tfp_flows.numerics import Seed, noise, quantization


def mutate(images: tf.Tensor, rate: float, seed: int | tf.Tensor) -> tf.Tensor:
    """Replaces each value of images, with probability `rate`, by a grey level drawn uniformly from 0..255.

    A model trained on images that are mutated anew at every step learns their background: what is left when
    meaning is destroyed (Ren et al. 2019, section 3.2; they mutate each pixel of an image independently).

    Args:
      images: uint8 `[..., H, W, C]`.
      rate: Python `float` in [0, 1], mu of the paper.
      seed: As `Seed.of` takes it.

    Returns:
      uint8, of the shape of `images`.

    #### References

    [1]: Jie Ren et al. Likelihood ratios for out-of-distribution detection. NeurIPS 2019.
         https://arxiv.org/abs/1906.02845
    """
    which, level = Seed.of(seed).split(2)
    shape = tf.shape(images)
    levels = tf.cast(quantization.NUM_LEVELS * noise.uniform(shape, level), images.dtype)
    return tf.where(noise.uniform(shape, which) < rate, levels, images)
