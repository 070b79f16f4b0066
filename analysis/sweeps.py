"""Likelihood along a line of images: contrast, grey level, temperature."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import data, evaluation
from tfp_flows.data import names
from tfp_flows.numerics import quantization

CONTRASTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
TEMPERATURES = (0.0, 0.4, 0.6, 0.8, 1.0)
NUM_SAMPLES = 8


def has_contrast(name: str, **where: Any) -> bool:
    """Whether a set's contrast can be changed: it is real, and has training images, whose mean is kept.

    Args:
      name: As in `tfp_flows.data`.
      **where: `data_dir`, `download`, `division` and `skip_unreadable` of `data.contrast_means`.
    """
    if names.is_synthetic(name):
        return False
    try:
        data.contrast_means(f"{name}@contrast=0.5", **where)
    except data.DataError:
        return False
    return True


def contrast_sweep(
    log_prob: Callable[[tf.Tensor], tf.Tensor],
    name: str,
    contrasts: Sequence[float] | np.ndarray = CONTRASTS,
    max_images: int | None = 500,
    split: str = "test",
    **where: Any,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Mean log-likelihood of a data set against its contrast k, the variance being k^2 times as large.

    Args:
      log_prob: Function of uint8 `[B, H, W, C]` to `[B]`, nats.
      name: As in `tfp_flows.data`; each point is the set `name@contrast=k`.
      contrasts: The k.
      max_images: How many of its images, a fixed random sample.
      split: The split that is scored.
      **where: `data_dir`, `download`, `image_shape`, `division` and `skip_unreadable` of `data.load`.

    Returns:
      (means `[K]`, standard errors `[K]`, list of the image arrays).
    """
    sets = [data.load(f"{name}@contrast={k:g}", split, max_images=max_images, **where) for k in contrasts]
    values = [evaluation.log_probs(log_prob, image_set.images) for image_set in sets]
    means = np.array([v.mean() for v in values])
    errors = np.array([v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else 0.0 for v in values])
    return means, errors, [np.asarray(image_set.images) for image_set in sets]


def constant_sweep(
    log_prob: Callable[[tf.Tensor], tf.Tensor],
    image_shape: tuple[int, ...],
    levels: Sequence[int] = range(0, 256, 5),
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood of constant images against their grey level.

    Args:
      log_prob: Function of uint8 `[B, H, W, C]` to `[B]`, nats.
      image_shape: (H, W, C).
      levels: Grey levels 0..255.

    Returns:
      (grey levels `[L]`, log-likelihoods `[L]` in nats).
    """
    grey = np.asarray(levels)
    images = np.broadcast_to(grey[:, None, None, None], [len(grey), *image_shape])
    return grey, evaluation.log_probs(log_prob, images.astype(np.uint8))


def temperature_grid(
    flow: tfd.TransformedDistribution,
    num_samples: int = NUM_SAMPLES,
    temperatures: Sequence[float] = TEMPERATURES,
    seed: int = 0,
) -> np.ndarray:
    """Samples at latent temperatures T: x = forward(T z), z from the prior; one z for all T.

    Args:
      flow: `tfd.TransformedDistribution` over dequantised images.
      num_samples: Samples at each temperature.
      temperatures: The T; 0 gives the image of the prior's centre, 1 the model's own samples.
      seed: Of z.

    Returns:
      uint8 `[len(temperatures), num_samples, H, W, C]`.
    """
    z = flow.distribution.sample(num_samples, seed=(seed, 0))
    scaled = tf.concat([t * z for t in temperatures], axis=0)
    images = quantization.quantize(flow.bijector.forward(scaled)).numpy().astype(np.uint8)
    return images.reshape([len(temperatures), num_samples, *images.shape[1:]])
