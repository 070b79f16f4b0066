"""Samples nearer to what a density thinks most usual, or further from it."""

import math
import numbers

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError


def checked(temperature: float, owner: str) -> float:
    """`temperature`, if it is a finite number that is not negative.

    Raises:
      UserError: If it is none.
    """
    if isinstance(temperature, bool) or not isinstance(temperature, numbers.Real):  # NumPy's are, too
        raise UserError(f"{owner}: `temperature` must be a number, got {temperature!r}.")
    if not 0 <= temperature < math.inf:
        raise UserError(f"{owner}: `temperature` must be finite and not negative, got {temperature}.")
    return float(temperature)


def tempered(latent: tfd.Distribution, z: tf.Tensor, temperature: float) -> tf.Tensor:
    """Draws of a latent, nearer to its mean m or further from it: m + temperature (z - m).

    Args:
      latent: The distribution that they were drawn from.
      z: The draws `[...] + event`.
      temperature: 1 leaves them as they are.

    Raises:
      UserError: If the distribution does not know its mean.
    """
    if temperature == 1.0:
        return z
    try:
        mean = latent.mean()
    except NotImplementedError as error:
        raise UserError(
            f"`temperature`: the latent's distribution, {latent.name}, does not know its mean."
        ) from error
    return mean + temperature * (z - mean)
