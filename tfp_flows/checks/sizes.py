"""How large anything may be: known before it is decoded or allocated, and the same everywhere.

An image has at most 2**26 pixels (8,192 x 8,192) and 2**28 values, a batch that is computed at once at most
2**28 values, and what is held in memory whole at most the memory that the process may have. Whatever is
larger is a mistake, or meant to do harm.
"""

import math
from collections.abc import Sequence

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.memory import usable_bytes

MOST_PIXELS = 2**26  # of an image
MOST_VALUES = 2**28  # of an image, or of the images of a batch
MOST_TEXT = 2**26  # bytes of a file that describes something, such as JSON
MOST_GRAPH = 2**30  # bytes of a SavedModel's graph
SMALLEST_WEIGHT = 4  # bytes: float32


def check_image_size(shape: Sequence[int], owner: str, error: type[UserError] = UserError) -> None:
    """Refuses an image that is larger than any, or holds nothing.

    Args:
      shape: (H, W, C).
      owner: Who asks, or what holds the image: the first words of the message.
      error: Class of the error.

    Raises:
      UserError: Or `error`.
    """
    text = "x".join(map(str, shape))
    if min(shape) < 1:
        raise error(f"{owner}: images of {text} have no pixels")
    if shape[0] * shape[1] > MOST_PIXELS or math.prod(shape) > MOST_VALUES:
        raise error(
            f"{owner}: images of {text} are too large: at most {MOST_PIXELS:,} pixels, and "
            f"{MOST_VALUES:,} values, are taken"
        )


def check_batch_size(
    batch_size: int,
    image_shape: Sequence[int],
    owner: str = "`batch_size`",
    error: type[UserError] = UserError,
) -> None:
    """Refuses batches that cannot be computed at once, or that hold nothing.

    Args:
      batch_size: Images in a batch.
      image_shape: (H, W, C).
      owner: What the number was given as: the first words of the message.
      error: Class of the error.

    Raises:
      UserError: Or `error`.
    """
    if batch_size < 1:
        raise error(f"{owner} must be 1 or more, got {batch_size}.")
    most = max(1, MOST_VALUES // max(1, math.prod(image_shape)))
    if batch_size > most:
        shape = "x".join(map(str, image_shape))
        raise error(f"{owner} must be at most {most:,} for images of {shape}, got {batch_size:,}.")


def check_held(
    num_bytes: int,
    owner: str,
    error: type[UserError] = UserError,
    remedy: str = "give fewer or smaller images",
) -> None:
    """Refuses what does not fit into this machine's memory.

    Args:
      num_bytes: What would be held at once.
      owner: What holds it: the first words of the message.
      error: Class of the error.
      remedy: What to do: its last words.

    Raises:
      UserError: Or `error`.
    """
    most = _memory_bytes()
    if num_bytes > most:
        raise error(
            f"{owner}: would take {_text(num_bytes)} of memory, and this machine has {_text(most)}: {remedy}"
        )


def check_weights(
    num_values: int, stored_bytes: int | None, owner: str, error: type[UserError] = UserError
) -> None:
    """Refuses a model whose weights do not fit into this machine's memory, or not into what is stored.

    Args:
      num_values: How many weights it has at least.
      stored_bytes: Of the files that hold them; None for a new model.
      owner: What says so: the first words of the message.
      error: Class of the error.

    Raises:
      UserError: Or `error`.
    """
    least = SMALLEST_WEIGHT * num_values
    if stored_bytes is not None and least > stored_bytes:
        raise error(
            f"{owner}: a model of these sizes has {_text(least)} of weights at least, but "
            f"{_text(stored_bytes)} are stored: its settings are those of another model."
        )
    most = _memory_bytes()
    if least > most:
        raise error(
            f"{owner}: {_text(least)} of weights at least, and this machine has {_text(most)} of memory: "
            f"make the model smaller."
        )


def _memory_bytes() -> int:
    return usable_bytes()


def _text(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB" if num_bytes >= 2**27 else f"{num_bytes / 2**20:,.2f} MiB"
