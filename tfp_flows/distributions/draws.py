"""Images dequantised by a model, one of this toolkit's or a stranger's."""

import tensorflow as tf

from tfp_flows.distributions.dequantized import Draw
from tfp_flows.distributions.protocols import FlowModel
from tfp_flows.numerics import quantization


def draw_of(model: FlowModel, images: tf.Tensor, noise: tf.Tensor) -> Draw:
    """`model.draw(images, noise)`; of a model that has no such method, the noise is uniform.

    Args:
      model: A flow over dequantised images.
      images: Integer images `[B, H, W, C]`.
      noise: One of `model.evaluation_noise()`.
    """
    own = getattr(model, "draw", None)
    if own is not None:
        return own(images, noise)
    return Draw(quantization.dequantize(images, noise), tf.zeros([], noise.dtype))
