"""The outliers of a training step: given ones, made ones, or some of both."""

import tensorflow as tf

from tfp_flows.numerics import Seed, SeedLike, noise
from tfp_flows.training import outlier_kinds


def names(text: str) -> tuple[str, ...]:
    """The kinds that `--outlier_kinds` names, joined by +."""
    return tuple(name for name in text.split("+") if name)


def drawn(
    images: tf.Tensor, given: tf.Tensor | None, kinds: tuple[str, ...], seed: SeedLike
) -> tf.Tensor | None:
    """One outlier for each image.

    Of K kinds, given outliers being one more, each image has each with probability 1 / K.

    Args:
      images: uint8 `[B, H, W, C]`, own images, of which outliers are made.
      given: uint8 `[B, H, W, C]`, or None.
      kinds: Names of `outlier_kinds.KINDS`; () for the given ones alone.
      seed: As `Seed.of` takes it.

    Returns:
      uint8 `[B, H, W, C]`; None where there are neither kinds nor given ones.
    """
    if not kinds:
        return given
    which, *of_kinds = Seed.of(seed).split(1 + len(kinds))
    choices = [outlier_kinds.KINDS[kind](images, own) for kind, own in zip(kinds, of_kinds, strict=True)]
    choices += [] if given is None else [given]
    chosen = tf.cast(len(choices) * noise.uniform(tf.shape(images)[:1], which), tf.int32)
    made = tf.gather(tf.stack(choices, axis=1), chosen, axis=1, batch_dims=1)
    return tf.ensure_shape(made, images.shape)
