"""What a model is trained on or scored on: events, and the conditions that belong to them."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flows import data


@dataclasses.dataclass(frozen=True)
class Examples:
    """Arrays whose rows belong together; in memory, or on a disk, where they are read when they are wanted.

    Attributes:
      values: `[N, ...]`, events.
      condition: `[N, ...]`, what each event's density is given; None where it is given nothing.
    """

    values: data.Array
    condition: data.Array | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.values)

    def __getitem__(self, rows: slice) -> "Examples":
        """Some of them; nothing is read."""
        condition = None if self.condition is None else data.view(self.condition, rows)
        return Examples(data.view(self.values, rows), condition)

    def tensors(self) -> tuple[tf.Tensor, ...]:
        """The values, and the conditions if there are any."""
        arrays = (self.values,) if self.condition is None else (self.values, self.condition)
        return tuple(tf.convert_to_tensor(np.asarray(array)) for array in arrays)

    def signature(self) -> tuple[tf.TensorSpec, ...]:
        """Of a function of any number of such `tensors`."""
        return tuple(tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in self[:1].tensors())

    def sources(self) -> dict[str, data.Array]:
        """The arrays by the name that a training step knows them by."""
        condition = {} if self.condition is None else {"condition": self.condition}
        return {"images": self.values, **condition}
