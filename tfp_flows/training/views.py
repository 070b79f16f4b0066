"""What a model over images lets one see of it: samples, reconstructions, the terms of log p.

All is computed from fixed seeds, and eagerly but for a PixelCNN's samples; nothing of the model changes.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flows.distributions import draw_of, protocols
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.numerics import quantization

SEED = (0, 0)  # the same latents each time, so that one sees what training changes


class Samples(NamedTuple):
    """Images that a model drew.

    Attributes:
      images: uint8 `[n, H, W, C]`; pixels that are not finite are black.
      not_finite: How many of the images have such pixels.
    """

    images: np.ndarray
    not_finite: int


def samples(model: Any, count: int) -> Samples | None:
    """Images of `count` latents, always the same ones.

    Args:
      model: A flow over dequantised images, or a distribution over images. A PixelCNN draws pixel by pixel:
        a second for eight images of 28 x 28, and a few more to trace its sampler once.
      count: n.

    Returns:
      None for any other model.
    """
    seed = tf.constant(SEED, tf.int32)
    if protocols.is_flow(model):
        values = model.flow.sample(count, seed=seed)
        return Samples(_images(quantization.quantize(values)), _not_finite(values))
    if isinstance(model, ImageDistribution):
        values = model.sample(count, seed=seed)
        return Samples(_images(values), _not_finite(values))
    return None


def reconstructions(model: Any, images: np.ndarray) -> np.ndarray | None:
    """What is left of images when they were encoded and decoded.

    Of a flow, decode(encode(x)): x itself, as far as its numbers can be inverted.
    Of a VAE, a draw from p(x | z), z the mean of q(z | x); with an encoder, of p(x | h(x)).

    Args:
      model: As for `samples`.
      images: uint8 `[n, H, W, C]`.

    Returns:
      uint8 `[n, H, W, C]`; None where the model has no latent.
    """
    x = tf.constant(images)
    if protocols.is_flow(model):
        bijector = model.flow.bijector
        z = bijector.inverse(draw_of(model, x, model.evaluation_noise()[0]).y)
        # Another tensor, or TFP's cache gives the image back without computing anything.
        return _images(quantization.quantize(bijector.forward(tf.identity(z))))
    if isinstance(model, protocols.CodedModel):
        return _images(model.reconstruct(x, seed=tf.constant(SEED, tf.int32)))
    if isinstance(model, protocols.LatentVariableModel):
        drawn = model.decode(model.encode(x).mean()).sample(seed=tf.constant(SEED, tf.int32))
        return _images(drawn)
    return None


def terms(model: Any, images: np.ndarray, batch_size: int = 64) -> dict[str, np.ndarray]:
    """The terms that log p is made of, but for constants.

    Args:
      model: Any model.
      images: uint8 `[n, H, W, C]`.
      batch_size: Images at once; has no influence on the result but for rounding.

    Returns:
      {name: float `[n]`, nats}: `log_p_z` and `log_det` of a flow, `log_p_x_given_z` and `kl` of a VAE; none
      of others.
    """
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    found = [_terms(model, batch) for batch in batches]
    return {name: np.concatenate([values[name] for values in found]) for name in (found[0] if found else ())}


def _terms(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    if protocols.is_flow(model):
        found = model.terms(tf.constant(images))
        return {"log_p_z": found.log_prob_z.numpy(), "log_det": found.log_det.numpy()}
    if isinstance(model, protocols.LatentVariableModel) and hasattr(model, "elbo"):
        bound = model.elbo(tf.constant(images), seed=SEED, shared_noise=True)
        return {"log_p_x_given_z": bound.reconstruction.numpy(), "kl": bound.kl.numpy()}
    return {}


def _images(values: tf.Tensor) -> np.ndarray:
    found = values.numpy()
    return np.clip(np.where(np.isfinite(found), found, 0), 0, 255).astype(np.uint8)


def _not_finite(values: tf.Tensor) -> int:
    return int((~np.isfinite(values.numpy())).any(axis=(1, 2, 3)).sum())
