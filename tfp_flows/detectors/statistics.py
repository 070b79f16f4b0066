"""What models say of images, computed in batches by a graph that is traced once."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tqdm

from tfp_flows import data
from tfp_flows.checks.images import check_image_batch
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.hooks import Hooks
from tfp_flows.numerics import parts

Images = npt.ArrayLike | data.ImageSet
Graph = Callable[[tf.Tensor], tf.Tensor]  # uint8 [B, H, W, C] -> float64 [B, S]


class Statistics:
    """The statistics of images: `statistics(images)` is float64 `[N, S]`.

    Attributes:
      image_shape: (H, W, C), or None until images tell.
    """

    def __init__(
        self,
        hooks: Hooks,
        image_shape: tuple[int, int, int] | None,
        batch_size: int,
        stored: Graph | None = None,
    ):
        """Computes nothing yet.

        Args:
          hooks: Whose `_graph_statistics` and `_host_statistics` are meant.
          image_shape: (H, W, C), or None if it is not known.
          batch_size: Images at once; has no influence on the result but for rounding.
          stored: The graph, where it is all that is known of the models.
        """
        self.image_shape = image_shape
        self._hooks = hooks
        self._batch_size = batch_size
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
        """Images as an array uint8 `[N, H, W, C]`; the first ones tell the shape, if it is not known.

        Raises:
          DetectorError: If they are no images of that shape.
        """
        array = check_image_batch(images, self.image_shape, self._hooks.name, DetectorError)
        if self.image_shape is None and len(array):
            self.image_shape = array.shape[1:]
        return array

    def batches(self, images: np.ndarray) -> Iterator[tf.Tensor]:
        """Checked images in tensors of at most `batch_size`, in order."""
        return data.evaluation_batches(images, self._batch_size)

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
        image_shape = self.known_image_shape()
        self._hooks._before_tracing()
        self._compiled = self._traced(image_shape)
        return self._compiled

    def known_image_shape(self) -> tuple[int, int, int]:
        """(H, W, C).

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

    def _traced(self, image_shape: tuple[int, int, int]) -> tf.types.experimental.PolymorphicFunction:
        def statistics(images):
            return parts.concatenated(self.in_graph, images, tf.float64, [None])

        signature = [tf.TensorSpec([None, *image_shape], tf.uint8)]
        function = tf.function(statistics, input_signature=signature, autograph=False)
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
