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

    Of K kinds, given outliers being one more, each image has each with probability 1 / K. Half of them, by
    chance, then have a second kind, another one: outlines of what was shrunk, inverted photographs. So K
    kinds are about K^2 / 2.

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
    which, further, again, *of_kinds = Seed.of(seed).split(3 + 2 * len(kinds))
    batch, count = tf.shape(images)[:1], len(kinds) + (given is not None)
    first = _integers(batch, count, which)
    once = _made(images, given, first, kinds, of_kinds[: len(kinds)])
    if count == 1:
        return once
    second = (first + 1 + _integers(batch, count - 1, further)) % count
    twice = _made(once, given, second, kinds, of_kinds[len(kinds) :])
    return tf.where(tf.reshape(_integers(batch, 2, again), [-1, 1, 1, 1]) > 0, twice, once)


def _made(
    images: tf.Tensor, given: tf.Tensor | None, which: tf.Tensor, kinds: tuple[str, ...], seeds: list[Seed]
) -> tf.Tensor:
    """Of each image the kind `which`, int32 `[B]`; the given outliers come after all kinds."""
    choices = [outlier_kinds.KINDS[kind](images, seed) for kind, seed in zip(kinds, seeds, strict=True)]
    choices += [] if given is None else [given]
    made = tf.gather(tf.stack(choices, axis=1), which, axis=1, batch_dims=1)
    return tf.ensure_shape(made, images.shape)


def _integers(shape: tf.Tensor, count: int, seed: Seed) -> tf.Tensor:
    """0, ..., count - 1, each as likely."""
    return tf.cast(count * noise.uniform(shape, seed), tf.int32)
