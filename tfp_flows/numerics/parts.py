"""A batch in parts that are computed side by side, one on each core of a CPU.

TensorFlow gives all threads to one operation after another. In a long chain of small ones the threads wait
for each other in between, and those that move data (splits, joins) gain nothing from a second thread. With
one thread an operation, and as many parts of the batch as there are cores, each core goes through the whole
chain on its own: for a flow, on two cores, 1.15 to 1.3 times as fast (benchmarks/PROFILES.md).

    parts.choose(0)                     # first of all: TensorFlow fixes its threads when it starts to work
    values = tf.function(lambda batch: parts.concatenated(function, batch, tf.float32))

The functions here belong inside a `tf.function`; eagerly they compute one part after another. A part is one
turn of a `tf.while_loop`, or in `total` one call of a function, so that the graph does not grow with their
number.
"""

import ctypes
import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfp_flows.checks.errors import UserError

M_ARENA_MAX = -8  # of glibc's malloc.h
SMALLEST = 8  # rows: below, convolutions are slower by more than the cores gain


def num_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread_per_operation() -> None:
    """Lets TensorFlow run each operation in one thread, and as many of them at once as there are cores.

    They share as many of the allocator's arenas: see `_share_arenas`.

    Raises:
      RuntimeError: From TensorFlow, if it has begun to work and its threads are others.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(num_cores())
    _share_arenas(num_cores())


def _share_arenas(count: int) -> None:
    """Lets threads allocate from `count` arenas in all, where the C library is glibc.

    By default each thread has one of its own, and leaves unused what another has freed: above all what the
    main thread used to trace and optimise the graph.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "mallopt", None)
        if mallopt is not None:
            mallopt(M_ARENA_MAX, count)


def at_once() -> int:
    """How many parts TensorFlow computes side by side here: 1, unless an operation has but one thread."""
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        return 1
    return tf.config.threading.get_inter_op_parallelism_threads() or num_cores()


def choose(asked: int, batch_size: int | None = None) -> int:
    """Decides the number of parts of a batch, and sets TensorFlow's threads for them if it is more than one.

    Args:
      asked: `int`; 0 for as many as there are cores, or 1 where there is a GPU, or where the batch cannot be
        cut into so many equal parts of at least 8 images.
      batch_size: `int`, images that must be cut into equal parts; None where parts may be of any size.

    Returns:
      Positive `int`.

    Raises:
      RuntimeError: From TensorFlow, if it has begun to work and its threads are others.
    """
    count = asked or _as_many_as_cores(batch_size)
    if count > 1:
        one_thread_per_operation()
    return count


def _as_many_as_cores(batch_size: int | None) -> int:
    if tf.config.list_physical_devices("GPU"):
        return 1
    cores = num_cores()
    fits = batch_size is None or (batch_size % cores == 0 and batch_size // cores >= SMALLEST)
    return cores if fits else 1


def concatenated(
    function: Callable[[tf.Tensor], tf.Tensor],
    batch: tf.Tensor,
    dtype: tf.DType,
    row_shape: Sequence[int | None] = (),
    count: int | None = None,
) -> tf.Tensor:
    """`function(batch)`, computed in parts.

    Gradients of it are better taken inside the parts, with `total`; they must be where `function` has a
    gradient of its own (`tf.custom_gradient`) that reads variables, since TensorFlow cannot differentiate a
    loop around it.

    Args:
      function: From a tensor `[B, ...]` to a tensor `[B, ...]`, each row from its own alone.
      batch: Tensor `[B, ...]`; B need not be known, nor be a multiple of `count`.
      dtype: Of the result.
      row_shape: Of the result without B, which may have None in it.
      count: Positive `int`; None for `at_once()`.

    Returns:
      Tensor `[B, ...]`, that of the whole batch up to rounding.
    """
    count = at_once() if count is None else count
    if count == 1:
        return function(batch)
    batch = tf.convert_to_tensor(batch)
    size = tf.shape(batch)[0]
    num_parts = num_parts_of(size, count)
    starts = tf.range(num_parts + 1) * size // num_parts
    values = joined(
        lambda index: function(batch[starts[index] : starts[index + 1]]), num_parts, count, dtype, row_shape
    )
    return tf.ensure_shape(values, batch.shape[:1].concatenate(row_shape))


def joined(
    function: Callable[[tf.Tensor], tf.Tensor],
    num_parts: int | tf.Tensor,
    count: int,
    dtype: tf.DType,
    row_shape: Sequence[int | None],
) -> tf.Tensor:
    """What `function` gives for each part, one after another.

    Args:
      function: From the index of a part, a scalar tensor, to its rows `[R, ...]`; R may differ.
      num_parts: How many parts there are.
      count: Positive `int`, how many are computed side by side.
      dtype: Of the rows.
      row_shape: Of a row, which may have None in it.

    Returns:
      Tensor `[sum of R, ...]`.
    """

    def body(index, values):
        return index + 1, values.write(index, function(index))

    values = tf.TensorArray(dtype, num_parts, infer_shape=False, element_shape=[None, *row_shape])
    _, values = tf.while_loop(
        lambda index, _: index < num_parts, body, (0, values), parallel_iterations=count
    )
    return values.concat()


def num_parts_of(size: int | tf.Tensor, count: int) -> tf.Tensor:
    """How many parts a batch of `size` is cut into: at most `count`, and each of 8 rows or more."""
    return tf.clip_by_value(size // SMALLEST, 1, count)


def total(
    function: Callable[..., Sequence[tf.Tensor | None]],
    batch: Sequence[tf.Tensor | None],
    count: int,
    like: Sequence[tf.Tensor | tf.Variable],
) -> list[tf.Tensor]:
    """The sum over `count` equal parts of a batch of what `function` says of each.

    Args:
      function: Callable (index, *part of each tensor of the batch) -> list of tensors, or None for zero.
      batch: Sequence of tensors `[B, ...]`, or None for one that is missing; B is a multiple of `count`.
      count: Positive `int`, the number of parts; for 1, `function(0, *batch)` is returned as it is.
      like: List of tensors of the shapes and dtypes of what `function` returns.

    Returns:
      List of tensors.

    Raises:
      UserError: If a batch of known size cannot be cut into `count` equal parts.
    """
    if count == 1:
        return list(function(0, *batch))
    cut = [None if tensor is None else _cut(tensor, count) for tensor in batch]
    # One function, called for each part and not inlined: TensorFlow prepares it once for all of them.
    of_part = tf.function(function, autograph=False, experimental_attributes={"_noinline": True})
    found = [
        of_part(tf.constant(index), *[None if tensor is None else tensor[index] for tensor in cut])
        for index in range(count)
    ]
    return [
        tf.zeros_like(one) if values[0] is None else tf.add_n(values)
        for *values, one in zip(*found, like, strict=True)
    ]


def _cut(tensor: tf.Tensor, count: int) -> tf.Tensor:
    """`[B, ...] -> [count, B / count, ...]`."""
    size = tensor.shape[0]
    if size is not None and size % count:
        raise UserError(f"parts: a batch of {size} images cannot be cut into {count} equal parts.")
    return tf.reshape(tensor, [count, -1 if size is None else size // count, *tensor.shape[1:]])
