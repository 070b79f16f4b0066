"""Batches of images for training and for evaluation."""

import contextlib
import operator
import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfp_flows.checks import sizes
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.stored import Array, as_array, is_on_disk

_FOREVER = np.iinfo(np.int64).max
_READ_AHEAD = 4  # batches that are read from a disk side by side
_as_it_is = tf.autograph.experimental.do_not_convert  # else TensorFlow rewrites the Python, which takes long


def training_batches(
    images: ImageSet | Array,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    num_steps: int | None = None,
    parts: range | None = None,
    num_parts: int = 1,
) -> tf.data.Dataset:
    """Shuffled batches, where the batch of a step depends on the seed and the step alone.

    Step t takes the positions p = t * batch_size + i, i < batch_size, of an endless sequence of
    epochs: epoch p // N is a permutation of all N images, given by (seed, p // N). So a run that
    is resumed at a step goes on bit for bit as if it had never stopped; each epoch visits every
    image exactly once; no remainder is dropped: a batch may straddle two epochs, or, if
    batch_size > N, more.

    Args:
      images: An `ImageSet`, or `uint8 [N, H, W, C]`; `Stored`, or a mapped file, is read batch by batch.
      batch_size: The number of images in every batch.
      seed: An integer, of which the lower 64 bits count.
      start_step: The step of the first batch.
      num_steps: How many batches there are, counted from `start_step`; None means no end.
      parts: Where several devices share a batch, which of its `num_parts` equal parts are wanted, one
        after the other; None means all.
      num_parts: Into how many parts a batch is cut.

    Returns:
      A dataset of `uint8 [batch_size / num_parts, H, W, C]`.

    Raises:
      DataError: If a number is out of range, or a batch cannot be cut into equal parts.
    """
    return shuffled_batches(_array(images), batch_size, seed, start_step, num_steps, parts, num_parts)


def shuffled_batches(
    array: Array,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    num_steps: int | None = None,
    parts: range | None = None,
    num_parts: int = 1,
) -> tf.data.Dataset:
    """As `training_batches`, of any array `[N, ...]`: arrays of one N are shuffled alike.

    Of an array on a disk only the rows of `parts` are read, a few batches ahead; see `reading_errors`.
    """
    _check_at_least(1, batch_size=batch_size, num_parts=num_parts)
    sizes.check_batch_size(batch_size, array.shape[1:], error=DataError)
    if batch_size % num_parts:
        raise DataError(f"`batch_size={batch_size}` cannot be shared by {num_parts} devices in equal parts")
    _check_at_least(0, start_step=start_step)
    if num_steps is not None:
        _check_at_least(0, num_steps=num_steps)
    indices = _shuffled_indices(len(array), operator.index(seed), start_step * batch_size)
    indices = indices.batch(batch_size, drop_remainder=True)
    own = range(num_parts) if parts is None else parts
    if num_parts > 1:
        cut = indices.map(_as_it_is(lambda i: tf.reshape(i, [num_parts, -1])[own.start : own.stop]))
        indices = cut.unbatch()
    # In order, however many are read at once: the dataset is deterministic.
    ahead = _READ_AHEAD if is_on_disk(array) else None
    batches = indices.map(_as_it_is(_gatherer(array)), num_parallel_calls=ahead)
    cardinality = tf.data.INFINITE_CARDINALITY if num_steps is None else num_steps * len(own)
    batches = batches.take(cardinality).apply(tf.data.experimental.assert_cardinality(cardinality))
    return _with_options(batches.prefetch(tf.data.AUTOTUNE))


@contextlib.contextmanager
def reading_errors() -> Iterator[None]:
    """Raises a `DataError` that was raised while rows were read inside of TensorFlow."""
    try:
        yield
    except tf.errors.OpError as error:
        match = re.search(rf"{DataError.__name__}: (.+)", str(error.message))
        if match is None:
            raise
        raise DataError(match[1]) from error


def evaluation_batches(images: ImageSet | Array, batch_size: int) -> Iterator[tf.Tensor]:
    """Batches of all images in their order; the last one may be smaller.

    Cutting an array in memory takes a hundredth of what making a `tf.data` pipeline does, for every call
    that scores a single image.

    Args:
      images: An `ImageSet`, or `uint8 [N, H, W, C]`.
      batch_size: The number of images in every batch but the last.

    Returns:
      An iterator over `uint8 [batch_size or less, H, W, C]`.

    Raises:
      DataError: If the batch size is not positive.
    """
    array = _array(images)
    _check_at_least(1, batch_size=batch_size)
    starts = range(0, len(array), batch_size)
    return (tf.convert_to_tensor(array[start : start + batch_size]) for start in starts)


def _shuffled_indices(num_images: int, seed: int, start: int) -> tf.data.Dataset:
    """The endless sequence of int64 indices from position `start` on, one epoch after the other.

    (`tf.random.experimental.index_shuffle` would need no memory for an epoch's order. But for tens
    of thousands of images it sees only the lower 8 bits of seed and epoch, and the orders of two
    epochs are nearly the same: their correlation is 0.85.)
    """
    first_epoch, offset = divmod(start, num_images)
    low_64_bits = np.uint64(seed % 2**64).astype(np.int64)

    @_as_it_is
    def rest_of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_images, dtype=tf.int64), seed=[low_64_bits, epoch], alg="philox"
        )
        begin = tf.where(epoch == first_epoch, offset, 0)
        return tf.data.Dataset.from_tensor_slices(order[begin:])

    return tf.data.Dataset.range(first_epoch, _FOREVER).flat_map(rest_of_epoch)


def _gatherer(array: Array) -> Callable[[tf.Tensor], tf.Tensor]:
    """Function of indices `[B]` to those rows of an array."""
    if not is_on_disk(array):
        with tf.device("/CPU:0"):
            on_cpu = tf.convert_to_tensor(array)  # captured by reference: it is no part of the graph
        return lambda indices: tf.gather(on_cpu, indices)

    def read(indices: np.ndarray) -> np.ndarray:
        return np.asarray(array[indices])

    def gather(indices: tf.Tensor) -> tf.Tensor:
        rows = tf.numpy_function(read, [indices], tf.as_dtype(array.dtype), stateful=False)
        return tf.ensure_shape(rows, [*indices.shape, *array.shape[1:]])

    return gather


def _array(images: ImageSet | Array) -> Array:
    array = images.images if isinstance(images, ImageSet) else as_array(images)
    if array.dtype != np.uint8 or array.ndim != 4 or 0 in array.shape:
        raise DataError(
            "batches are made of a non-empty uint8 array [N, H, W, C], "
            f"got {array.dtype} {list(array.shape)}"
        )
    return array


def _check_at_least(least: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if operator.index(value) < least:
            raise DataError(f"`{name}` must be at least {least}, got {value}")


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options)
