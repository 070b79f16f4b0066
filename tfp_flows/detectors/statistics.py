"""What models say of images, computed in batches by a graph that is traced once."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tqdm

from tfp_flows import data
from tfp_flows.detectors import events, models
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.hooks import Hooks
from tfp_flows.numerics import parts

Images = npt.ArrayLike | data.ImageSet
Graph = Callable[[tf.Tensor], tf.Tensor]  # uint8 [B, H, W, C], or vectors [B, D] -> float64 [B, S]
Shape = tuple[int, ...]  # (H, W, C) of images, (D,) of vectors


class Statistics:
    """The statistics of images: `statistics(images)` is float64 `[N, S]`.

    Attributes:
      image_shape: (H, W, C), of vectors (D,), or None until images tell.
      batch_size: Images at once.
    """

    def __init__(
        self,
        hooks: Hooks,
        image_shape: Shape | None,
        batch_size: int,
        stored: Graph | None = None,
        vector_dtype: tf.DType = tf.float32,
    ):
        """Computes nothing yet.

        Args:
          hooks: Whose `_graph_statistics` and `_host_statistics` are meant.
          image_shape: (H, W, C), or None if it is not known.
          batch_size: Images at once; has no influence on the result but for rounding.
          stored: The graph, where it is all that is known of the models.
          vector_dtype: In which the models take vectors, if vectors are what they take.
        """
        self.image_shape = image_shape
        self._vector_dtype = vector_dtype
        self._hooks = hooks
        self.batch_size = batch_size
        self._stored = stored
        self._compiled = stored

    def __call__(self, images: Images, progress: str | None = None) -> np.ndarray:
        """What the models say of each image: float64 `[N, S]`.

        Args:
          images: uint8 `[N, H, W, C]`, or `data.ImageSet`.
          progress: Label of a progress bar, or None for none.

        Raises:
          DetectorError: If these are no images of the models' shape, or `fit` must come first.
        """
        return self.timed(images, progress)[0]

    def timed(self, images: Images, progress: str | None = None) -> tuple[np.ndarray, float]:
        """(the statistics, seconds for an image: the median batch, but for the first, which is traced)."""
        array = self.checked(images)
        self._hooks._check_prepared()
        if not len(array):
            return np.zeros([0, 1]), 0.0
        found, seconds = [], []
        with tqdm.tqdm(total=len(array), unit="image", desc=progress, disable=progress is None) as bar:
            for batch in self.batches(array):
                started = time.perf_counter()
                found.append(self._of_batch(batch))
                seconds.append((time.perf_counter() - started) / len(batch))
                bar.update(len(batch))
        return np.concatenate(found), float(np.median(seconds[1:] or seconds))

    def checked(self, images: Images) -> np.ndarray:
        """Images as an array uint8 `[N, H, W, C]`, vectors as floating numbers `[N, D]`.

        The first ones tell the shape, if it is not known.

        Raises:
          DetectorError: If they are none of that shape.
        """
        array = events.checked(images, self.image_shape, self._vector_dtype, self._hooks)
        if self.image_shape is None and len(array):
            self.image_shape = array.shape[1:]
        return array

    def batches(self, images: np.ndarray) -> Iterator[tf.Tensor]:
        """Checked images or vectors in tensors of at most `batch_size`, in order."""
        if self.are_vectors:
            starts = range(0, len(images), self.batch_size)
            return (tf.constant(images[start : start + self.batch_size]) for start in starts)
        return data.evaluation_batches(images, self.batch_size)

    def in_graph(self, images: tf.Tensor) -> tf.Tensor:
        """The part that is TensorFlow's, inside a graph: uint8 `[B, H, W, C]` -> float64 `[B, S]`."""
        if self._stored is not None:
            return self._stored(images)
        return tf.cast(self._hooks._graph_statistics(images), tf.float64)

    def compiled(self) -> tf.types.experimental.PolymorphicFunction:
        """`in_graph` as a `tf.function` of uint8 `[None, H, W, C]`, traced once for any batch.

        Raises:
          DetectorError: If the model cannot be traced, or no images told their shape yet.
        """
        if self._compiled is not None:
            return self._compiled
        spec = self.spec()
        self._hooks._before_tracing()
        self._compiled = self._traced(spec)
        return self._compiled

    @property
    def are_vectors(self) -> bool:
        """Whether what is judged are vectors; False where that is not known yet."""
        return events.are_vectors(self.image_shape)

    def spec(self) -> tf.TensorSpec:
        """Of a batch of any size: uint8 `[None, H, W, C]`, or vectors `[None, D]`.

        Raises:
          DetectorError: As `known_image_shape`.
        """
        shape = self.known_image_shape()
        return tf.TensorSpec([None, *shape], events.dtype_of(shape, self._vector_dtype))

    def known_image_shape(self) -> Shape:
        """(H, W, C), or (D,).

        Raises:
          DetectorError: If no images told it yet.
        """
        if self.image_shape is None:
            raise DetectorError(
                f"{self._hooks.name}: the shape of the images is not known yet; call fit first."
            )
        return self.image_shape

    def stored_size(self) -> int | None:
        """S of the stored graph, or None where there is none or it does not say."""
        known = getattr(self._stored, "concrete_functions", None)
        shape = tf.TensorShape(known[0].structured_outputs.shape) if known else tf.TensorShape(None)
        return shape[-1] if shape.rank else None

    def forget_graph(self) -> None:
        """Has the graph traced anew when it is next needed: what it is made from has changed."""
        self._compiled = self._stored

    @property
    def alone(self) -> bool:
        """Whether the stored graph is all that is known of the models."""
        return self._stored is not None

    def need_models(self, purpose: str) -> None:
        """Raises `DetectorError` where the stored graph is all that is known of the models."""
        if self._stored is not None:
            raise DetectorError(
                f"{self._hooks.name}: its model was stored as statistics alone, so it cannot be {purpose}; "
                f"load it with model=..."
            )

    def _traced(self, spec: tf.TensorSpec) -> tf.types.experimental.PolymorphicFunction:
        def statistics(images):
            with models.steps_traced_once(self._hooks.models):
                return parts.concatenated(self.in_graph, images, tf.float64, [None])

        function = tf.function(statistics, input_signature=[spec], autograph=False)
        try:
            function.get_concrete_function()
        except DetectorError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise DetectorError(
                f"{self._hooks.name}: the model cannot be traced by TensorFlow ({type(error).__name__}: "
                f"{reason}); wrap what is not TensorFlow in tf.numpy_function."
            ) from error
        return function

    def _of_batch(self, batch: tf.Tensor) -> np.ndarray:
        values = [self.compiled()(batch).numpy()]
        on_host = self._hooks._host_statistics(batch.numpy())
        if on_host is not None:
            values.append(np.asarray(on_host, np.float64))
        return np.concatenate(values, axis=1)
