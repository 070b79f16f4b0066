"""Log-probabilities of many images, compiled once and computed in batches."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tqdm

from tfp_flows import bijectors, data
from tfp_flows.distributions import Dequantized, in_parts
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.distributions.protocols import EstimatedModel
from tfp_flows.numerics import parts


def compiled_log_prob(model: ImageDistribution) -> Callable[[tf.Tensor], tf.Tensor]:
    """`model.log_prob` as a `tf.function` of uint8 `[None, H, W, C]`, traced once for any batch."""
    signature = [tf.TensorSpec([None, *model.event_shape], tf.uint8)]

    def log_prob(images: tf.Tensor) -> tf.Tensor:
        with bijectors.steps_traced_once():
            return in_parts.log_prob(model, images)

    return tf.function(log_prob, input_signature=signature, autograph=False)


def compiled_estimate(model: ImageDistribution) -> Callable[[tf.Tensor], tf.Tensor]:
    """As `compiled_log_prob`, but `[B, 2]` with the standard error of the estimate beside it.

    For a model that has `log_prob_and_standard_error`, and a flow over images dequantised by several draws;
    for any other it is `compiled_log_prob`.
    """
    of_images = estimator(model)
    if of_images is None:
        return compiled_log_prob(model)
    signature = [tf.TensorSpec([None, *model.event_shape], tf.uint8)]

    def estimate(images: tf.Tensor) -> tf.Tensor:
        with bijectors.kernels_assembled_once(model, inverse=True), bijectors.steps_traced_once():
            return tf.stack(of_images(images), axis=-1)

    return tf.function(
        lambda images: parts.concatenated(estimate, images, model.dtype, [2]),
        input_signature=signature,
        autograph=False,
    )


def estimator(model: object) -> Callable[..., tuple[tf.Tensor, tf.Tensor]] | None:
    """The method of a model that gives log p of images and its standard error; None where it has none."""
    if isinstance(model, EstimatedModel):
        return model.log_prob_and_standard_error
    if isinstance(model, Dequantized) and model.num_samples > 1:
        return model.estimate
    return None


def log_probs(
    log_prob: Callable[[tf.Tensor], tf.Tensor],
    images: data.Array,
    batch_size: int = 256,
    progress: str | None = None,
) -> np.ndarray:
    """The log-probability of many images, in batches.

    Args:
      log_prob: From `compiled_log_prob`, or any function of uint8 `[B, H, W, C]`.
      images: uint8 `[N, H, W, C]`.
      batch_size: Positive `int`; has no influence on the result but for rounding.
      progress: Label of a progress bar, or None for none.

    Returns:
      float64 `[N]`, nats; `[N, ...]` where the function gives more for each image.
    """
    values = []
    with tqdm.tqdm(total=len(images), unit="image", desc=progress, disable=progress is None) as bar:
        for batch in data.evaluation_batches(images, batch_size):
            values.append(log_prob(batch).numpy().astype(np.float64))
            bar.update(len(values[-1]))
    return np.concatenate(values)
