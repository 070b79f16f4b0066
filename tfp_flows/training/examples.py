"""What a model is trained on or scored on: events, and the conditions that belong to them."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Examples:
    """Arrays whose rows belong together.

    Attributes:
      values: `[N, ...]`, events.
      condition: `[N, ...]`, what each event's density is given; None where it is given nothing.
    """

    values: np.ndarray
    condition: np.ndarray | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.values)

    def __getitem__(self, rows: slice) -> "Examples":
        """Some of them."""
        return Examples(self.values[rows], None if self.condition is None else self.condition[rows])

    def tensors(self) -> tuple[tf.Tensor, ...]:
        """The values, and the conditions if there are any."""
        arrays = (self.values,) if self.condition is None else (self.values, self.condition)
        return tuple(tf.convert_to_tensor(array) for array in arrays)

    def signature(self) -> tuple[tf.TensorSpec, ...]:
        """Of a function of any number of such `tensors`."""
        return tuple(tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in self[:1].tensors())

    def sources(self) -> dict[str, np.ndarray]:
        """The arrays by the name that a training step knows them by."""
        condition = {} if self.condition is None else {"condition": self.condition}
        return {"images": self.values, **condition}
