"""At which level each latent dimension leaves a multi-scale flow."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows import bijectors


def latent_levels(
    bijector: tfb.Bijector, image_event_shape: Sequence[int] | tf.TensorShape
) -> np.ndarray | None:
    """The level of each latent dimension: 0 for those that leave first, with the finest detail.

    Args:
      bijector: A flow's bijector, of any nesting of chains and `FactorOut`.
      image_event_shape: Event shape of the image side.

    Returns:
      int `[...]` of the latent side's event shape; all zero where nothing is factored out; None where
      layers mix dimensions that had left already, so that levels mean nothing.
    """
    with tf.init_scope():  # the structure alone: no variable and no input takes part
        return _levels(bijector, tf.TensorShape(image_event_shape))


def _levels(bijector: tfb.Bijector, shape: tf.TensorShape) -> np.ndarray | None:
    if bijectors.is_chain(bijector):
        return _levels_of_chain(bijector, shape)
    if isinstance(bijector, bijectors.FactorOut):
        staying = _levels(bijector.rest, shape[:-1].concatenate(shape[-1] - bijector.num_leaving))
        if staying is None:
            return None
        leaving = np.zeros([*shape[:-1], bijector.num_leaving], int)
        return np.concatenate([staying + 1, leaving], axis=-1)
    return np.zeros(bijector.inverse_event_shape(shape), int)


def _levels_of_chain(chain: tfb.Bijector, shape: tf.TensorShape) -> np.ndarray | None:
    levels: np.ndarray | None = np.zeros(shape, int)
    for member in chain.bijectors:
        if levels is None:
            return None
        if not levels.any():
            levels = _levels(member, shape)
        elif _reorders(member):
            levels = member.inverse(tf.constant(levels, tf.float32)).numpy().astype(int)
        else:
            return None
        shape = member.inverse_event_shape(shape)
    return levels


def _reorders(bijector: tfb.Bijector) -> bool:
    if bijectors.is_inverted(bijector):
        return _reorders(bijector.bijector)
    return isinstance(bijector, bijectors.Squeeze | tfb.Reshape | tfb.Permute | tfb.Transpose)
