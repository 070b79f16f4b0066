"""What random numbers follow from."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import philox


class Seed(NamedTuple):
    """A pair of integers, and which part of a batch the numbers are for.

    Part i of a batch, in equal parts of B images, gets the noise of images i B, ..., (i + 1) B - 1 of the
    whole batch. So a batch that several devices share gets the noise that one device would have given it,
    and each part draws its own alone.

    Whatever takes a seed takes what `Seed.of` takes. A `Seed` goes through `tfd.Distribution.sample`, the
    arguments of a `tf.function`, and `tf.nest`. Where TensorFlow wants a tensor it is its pair; that of a
    part is refused there, since TensorFlow's own noise knows no parts.

    Attributes:
      pair: Integers `[2]`.
      part_index: i, which part; 0, a Python `int`, for the whole batch.
    """

    pair: tf.Tensor
    part_index: int | tf.Tensor = 0

    @classmethod
    def of(cls, value: "SeedLike") -> "Seed":
        """The seed that is meant by an argument `seed`.

        Args:
          value: A `Seed`; a pair of integers; an integer n, for the pair (0, n); None, for a new pair at
            each call, in a graph too.

        Returns:
          `Seed`.

        Raises:
          UserError: If it is none of these.
        """
        if isinstance(value, cls):
            return value
        if value is None:
            return cls(_new_pair())
        tensor = tf.convert_to_tensor(value)
        if not tensor.dtype.is_integer or tensor.shape not in ([], [2]):
            raise UserError(
                f"`seed` must be an integer, a pair of them, or None; got {tensor.dtype.name} of shape "
                f"{tensor.shape}."
            )
        return cls(tf.stack([tf.zeros_like(tensor), tensor]) if tensor.shape.rank == 0 else tensor)

    def part(self, index: int | tf.Tensor, count: int | tf.Tensor) -> "Seed":
        """The seed of part `index` of a whole batch in `count` equal parts; of one part, the seed itself."""
        if not tf.is_tensor(count) and count == 1:
            return self
        return self._replace(part_index=index)

    def pairs(self, count: int) -> tf.Tensor:
        """The pairs of the seeds that `split` returns: int32 `[count, 2]`, to loop over in a graph."""
        return tf.reshape(philox.integers(0, 2 * count, self.pair), [count, 2])

    def split(self, count: int) -> list["Seed"]:
        """`count` seeds of the same part that depend on this one alone."""
        return [self._replace(pair=pair) for pair in tf.unstack(self.pairs(count))]

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        """The pair, for TensorFlow's own noise."""
        if tf.is_tensor(self.part_index) or self.part_index:
            raise UserError("`seed` is that of a part of a batch, which TensorFlow's own noise cannot draw.")
        return tf.convert_to_tensor(self.pair, dtype, name=name)


SeedLike: TypeAlias = Seed | tf.Tensor | np.ndarray | Sequence[int] | int | None


def _new_pair() -> tf.Tensor:
    """A pair from TensorFlow's global generator (`tf.random.set_seed`), or else from the system."""
    try:
        return tfp.random.sanitize_seed(None)
    except RuntimeError:  # it is deterministic, as training makes it, and was given no seed
        if not tf.executing_eagerly():  # here the pair would be a constant of the graph
            raise
        return tf.constant(np.random.SeedSequence().generate_state(2).astype(np.int32))
