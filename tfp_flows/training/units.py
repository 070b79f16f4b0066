"""In what a loss is counted: bits per dimension of integer images, nats per dimension of anything else."""

import dataclasses
import math

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit of negative log-likelihood per dimension.

    Attributes:
      name: As a column's name.
      label: As it is printed.
      nats: How many nats it has.
      exploded: A loss above it is no loss but a fault.
      examples: What a batch holds.
    """

    name: str
    label: str
    nats: float
    exploded: float
    examples: str

    def of(self, log_prob: tf.Tensor | np.ndarray, event_shape: tuple[int, ...]) -> tf.Tensor | np.ndarray:
        """-log_prob / (D * nats), D being the number of values in an event; as `quantization.bits_per_dim`.

        Args:
          log_prob: Log-probability (density) in nats, any shape.
          event_shape: Shape of an event; `()` for a scalar, D = 1.

        Returns:
          The same shape, in this unit.
        """
        return -log_prob / (np.prod(event_shape) * self.nats)


# A model that knows nothing of images has 8 bits per dimension; a density may have any value.
BITS_PER_DIM = Unit("bits_per_dim", "bits/dim", np.log(2.0), 100.0, "images")
NATS_PER_DIM = Unit("nats_per_dim", "nats/dim", np.float64(1.0), math.inf, "examples")
