"""What a training step minimises: bits per dimension, of mutated images, or with outliers beside them."""

from collections.abc import Callable

import tensorflow as tf

from tfp_flows.numerics import Seed, SeedLike
from tfp_flows.training import flips, mutation
from tfp_flows.training import outliers as foreign
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.subject import Subject

Loss = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def make_loss(subject: Subject, config: TrainingConfig) -> Loss:
    """The loss of a step, in the subject's unit, which for images is bits per dimension.

        L = mean_i [ b(x_i) + w max(0, m + b(x_i) - b(o_i)) ],        b(x) = -log p(x) / (D ln 2)

    x_i are training images, half of them flipped where `config.flip` is set, then mutated where
    `config.mutation_rate` is positive (Ren et al. 2019); o_i are outliers, given or made (`outliers.drawn`),
    if there are any: the margin ranking loss of outlier exposure for density models (Hendrycks et al. 2019,
    section 4.4), with margin m = `outlier_margin` and weight w = `outlier_weight`. No public code of that
    version is known.

    Args:
      subject: What is trained.
      config: The settings.

    Returns:
      Function (images `[B, ...]`, outliers likewise or None, seed, condition of the images or None)
      -> (L, mean b(x)).

    #### References

    [1]: Dan Hendrycks, Mantas Mazeika and Thomas Dietterich. Deep anomaly detection with outlier exposure.
         ICLR 2019. https://arxiv.org/abs/1812.04606
    [2]: Jie Ren et al. Likelihood ratios for out-of-distribution detection. NeurIPS 2019.
         https://arxiv.org/abs/1906.02845
    """
    kinds = foreign.names(config.outlier_kinds)

    def bits_per_dim(images: tf.Tensor, seed: SeedLike, condition: tf.Tensor | None = None) -> tf.Tensor:
        given = {} if condition is None else {"condition": condition}
        return subject.loss(subject.training_log_prob(images, seed, **given))

    def loss(
        images: tf.Tensor,
        outliers: tf.Tensor | None,
        seed: SeedLike,
        condition: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        mutation_seed, outlier_seed, kinds_seed, flip_seed = Seed.of(seed).split(4)
        if config.flip:
            # A seed of its own: models draw from those that `seed` splits into.
            images = flips.flipped(images, *flip_seed.split(1))
        outliers = foreign.drawn(images, outliers, kinds, kinds_seed)
        if config.mutation_rate > 0:
            images = mutation.mutate(images, config.mutation_rate, mutation_seed)
        bits = bits_per_dim(images, seed, condition)
        mean = tf.reduce_mean(bits)
        if outliers is None:
            return mean, mean
        violation = tf.nn.relu(config.outlier_margin + bits - bits_per_dim(outliers, outlier_seed))
        return mean + config.outlier_weight * tf.reduce_mean(violation), mean

    return loss
