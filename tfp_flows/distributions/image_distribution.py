"""What every density model over integer images has in common."""

import types
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_images
from tfp_flows.data import Preparation


class ImageDistribution(tfd.Distribution):
    """A `tfd.Distribution` over integer images: events `[H, W, C]`, batch shape `[]`.

    Its dtype is a floating one holding integers, as `tfd.PixelCNN` has it; uint8 and other integer types
    are accepted, and a value that is no grey level of 0..255 is refused before anything is converted.
    `log_prob` is in nats: the discrete log-probability, or a lower bound of it.

    A subclass implements `_log_prob_of_images(images, **kwargs)`, from `[N, H, W, C]` of its dtype to
    `[N]`, and `_sample_n`; keyword arguments of `log_prob` and `sample` reach them.

    Attributes:
      run_reference: Of a model that was loaded from a run: which; see `runs.load_model`.
      preparation: Of such a model: how pictures become the images that it takes (`data.read_pictures`).
    """

    run_reference: Any = None
    preparation: Preparation | None = None

    def __init__(
        self, image_shape: Sequence[int] | tf.TensorShape, dtype: tf.DType, parameters: dict, name: str
    ):
        """Creates the distribution.

        Args:
          image_shape: (H, W, C).
          dtype: Floating `tf.DType` of weights, events and log-probabilities.
          parameters: The subclass's constructor arguments, for TFP.
          name: Python `str`.
        """
        self._image_shape = tf.TensorShape(image_shape)
        super().__init__(
            dtype=dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("_parameter_properties")
        if isinstance(own, types.FunctionType) and hasattr(own, "__wrapped__"):
            # TFP's metaclass wraps what is inherited, to warn that it will not fit; this one fits all.
            cls._parameter_properties = classmethod(_no_tensor_parameters)  # type: ignore

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType, num_classes: int | None = None) -> dict:
        return _no_tensor_parameters(cls, dtype, num_classes)

    def copy(self, **overrides: object) -> "ImageDistribution":
        """The distribution with other constructor arguments.

        It keeps the `run_reference` where nothing but the name is another.
        """
        copied = super().copy(**overrides)
        if not overrides.keys() - {"name"}:
            copied.run_reference = self.run_reference
        copied.preparation = self.preparation
        return copied

    def __getitem__(self, slices: object) -> "ImageDistribution":
        """`model[...]` is a copy.

        Raises:
          UserError: For any other slice: the batch shape is `[]`.
        """
        if any(s is not ... for s in (slices if isinstance(slices, tuple) else (slices,))):
            raise UserError(
                f"{self.name}: a model has no batch to slice (its batch shape is ()), got {slices!r}."
            )
        return self.copy()

    def __copy__(self) -> "ImageDistribution":
        return self.copy()

    def __deepcopy__(self, memo: dict) -> NoReturn:
        self._refuse("be copied deeply; `copy()` makes another distribution of the same weights")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._refuse("be pickled; save its weights with `tf.train.Checkpoint(model=model)`")

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(
            f"{self.name}: a model cannot {what}, and a run's model is what runs.load_model gives."
        )

    def _log_prob_of_images(self, images: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no log_prob.")

    def _call_log_prob(self, value: np.ndarray | tf.Tensor, name: str, **kwargs: Any) -> tf.Tensor:
        value = check_images(value, self.event_shape, self.name)
        return super()._call_log_prob(tf.cast(value, self.dtype), name, **kwargs)

    def _call_prob(self, value: np.ndarray | tf.Tensor, name: str, **kwargs: Any) -> tf.Tensor:
        return tf.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        batch_shape = tf.shape(value)[:-3]
        images = tf.reshape(value, [-1, *self.event_shape])
        if images.shape[0] == 0:  # TF 2.21's float32 convolution of no images has the wrong shape
            return tf.zeros(value.shape[:-3], self.dtype)
        log_prob = tf.reshape(self._log_prob_of_images(images, **kwargs), batch_shape)
        return tf.ensure_shape(log_prob, value.shape[:-3])

    def _event_shape(self) -> tf.TensorShape:
        return self._image_shape

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant(self._image_shape.as_list(), tf.int32)

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)


def _no_tensor_parameters(cls: type, dtype: tf.DType, num_classes: int | None = None) -> dict:
    """`_parameter_properties` of a class none of whose arguments is a tensor with a batch shape."""
    del cls, dtype, num_classes
    return {}
