"""What a mixture of classes says of the classes of images, and its samples class by class."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flows import data
from tfp_flows.distributions.class_mixture import ClassMixture
from tfp_flows.evaluation.likelihoods import estimator
from tfp_flows.numerics import parts, quantization

MOST_ROWS = 20  # classes in a picture
COLUMNS = 8  # images of each


class Labelled(NamedTuple):
    """How a set fares whose labels are known.

    Attributes:
      accuracy: Share of its images whose label has the largest p(y | x).
      bits_per_dim: Mean of -log p(x | y) of their own labels, in bits per dimension.
    """

    accuracy: float
    bits_per_dim: float


def compiled_joint(model: ClassMixture) -> Callable[[tf.Tensor], tf.Tensor]:
    """log p(x), its standard error, and log p(x, y) for each class: `[B, 2 + K]`, nats.

    Of uint8 `[None, H, W, C]`. The error of log p(x) = log sum_y p(y) p(x | y) is that of a weighted sum,
    sum_y p(y | x) e_y, e_y the error of log p(x | y), where they go together, as of the same noise; it is
    smaller where they do not. NaN where p(x | y) is no estimate.
    """
    signature = [tf.TensorSpec([None, *model.event_shape], tf.uint8)]
    estimate = estimator(model.conditional)

    def of_class(images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        if estimate is None:
            found = model.conditional.log_prob(images, condition=condition)
            return tf.stack([found, tf.fill(tf.shape(found), tf.constant(np.nan, found.dtype))], axis=-1)
        return tf.stack(estimate(images, condition=condition), axis=-1)

    def joint(images: tf.Tensor) -> tf.Tensor:
        found = model.of_classes(of_class, images, [2])
        each = found[..., 0] + model.log_priors
        error = tf.reduce_sum(tf.nn.softmax(each) * found[..., 1], axis=-1, keepdims=True)
        return tf.concat([tf.reduce_logsumexp(each, axis=-1, keepdims=True), error, each], axis=-1)

    return tf.function(
        lambda images: parts.concatenated(joint, images, model.dtype, [2 + model.num_classes]),
        input_signature=signature,
        autograph=False,
    )


def labelled(model: ClassMixture, joint: np.ndarray, image_set: data.ImageSet) -> Labelled | None:
    """What is known of a set's labels; None where none of its images has one of the model's classes.

    Args:
      model: The mixture.
      joint: log p(x, y) `[N, K]`, nats.
      image_set: The N images.
    """
    names = data.Classes(model.class_names, (1,) * model.num_classes)
    indices = names.indices(image_set)
    known = indices != data.UNKNOWN
    if not known.any():
        return None
    log_probs = model.mixture_distribution.logits_parameter().numpy()
    own = joint[known, indices[known]] - log_probs[indices[known]]
    right = joint[known].argmax(axis=1) == indices[known]
    bits = quantization.bits_per_dim(own, image_set.image_shape)
    return Labelled(float(right.mean()), float(np.mean(bits)))


def samples(model: ClassMixture, seed: tuple[int, int] = (0, 0), temperature: float = 1.0) -> np.ndarray:
    """`COLUMNS` images of each class, of the first `MOST_ROWS`: uint8 `[rows, COLUMNS, H, W, C]`."""
    rows = min(MOST_ROWS, model.num_classes)
    classes = np.repeat(np.arange(rows), COLUMNS)
    warmth = {} if temperature == 1.0 else {"temperature": temperature}  # not every model knows it
    values = model.sample(rows * COLUMNS, seed=seed, condition=classes, **warmth).numpy()
    images = np.clip(np.where(np.isfinite(values), values, 0), 0, 255).astype(np.uint8)
    return images.reshape(rows, COLUMNS, *images.shape[1:])
