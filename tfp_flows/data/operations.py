"""Operations that derive one set from another: the `@...` of a name.

- `@resize=32`, `@resize=32x48`: to 32x32, or to height 32 and width 48; bilinear, antialiased,
  rounded.
- `@pad=32`, `@pad=32x48`: zeros around it; an odd remainder goes to the bottom and the right.
- `@crop=28`, `@crop=28x20`: its centre; an odd remainder is cut from the bottom and the right.
- `@rgb`: one channel becomes three equal ones; three stay as they are.
- `@luminance`: Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded half up; one channel stays as it is.
- `@over=white`, `@over=black`, `@over=#ff8000`: what is transparent in a picture is laid over this colour.
- `@contrast=0.5`: x' = round(clip(mu + k (x - mu), 0, 255)) with k = 0.5.
- `@binarize`, `@binarize=64`: 255 where x >= 128 (or 64), else 0.

`@over` acts when a picture is decoded, wherever it stands; there `@rgb` and `@luminance` also say that
pictures of any mode are wanted (see `tfp_flows.data.decoding`). All operations but `@contrast` treat each
image alone.

What an operation would make is known before it is made: an image of more than 2**26 pixels, or a set that
does not fit into memory, is refused (see `tfp_flows.checks.sizes`).

mu is the mean grey level of each channel over the set's *training* split, after the operations
before this one. Where nothing is clipped the variance is multiplied by k^2 (up to rounding).
"""

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np

from tfp_flows.checks import sizes
from tfp_flows.data.errors import DataError
from tfp_flows.data.stored import Array, chunks

OPERATION_KINDS = ("resize", "pad", "crop", "rgb", "luminance", "over", "contrast", "binarize")
OPERATION_CHOICES = (
    "@resize=32 or @resize=32x48 (HEIGHTxWIDTH), @pad=32, @crop=28, @rgb, @luminance, @over=white, "
    "@over=black or @over=#ff8000, @contrast=0.5, @binarize or @binarize=64 (1..255)"
)
_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_BINARIZE_THRESHOLD = 128
_SIZED_KINDS = ("resize", "pad", "crop")
_SIZE = re.compile(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?")
_THRESHOLD = re.compile(r"[1-9]\d{0,2}")
_RESIZE_CHUNK = 1024  # images at once, at most
_RESIZE_VALUES = 2**26  # of the images at once
_LUMINANCE_PER_MILLE = (299, 587, 114)
_NOTHING_TO_DO = (("rgb", 3), ("luminance", 1))


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of a name.

    Attributes:
      kind: One of `OPERATION_KINDS`.
      size: (H, W) for resize, pad and crop, else None.
      factor: k for contrast, else None.
      threshold: The lowest grey level that becomes 255 for binarize, else None.
      colour: (R, G, B) for over, else None.
    """

    kind: str
    size: tuple[int, int] | None = None
    factor: float | None = None
    threshold: int | None = None
    colour: tuple[int, int, int] | None = None

    @property
    def text(self) -> str:
        """The operation as it may be written, without its `@`."""
        if self.size is not None:
            height, width = self.size
            return f"{self.kind}={height}" if height == width else f"{self.kind}={height}x{width}"
        if self.factor is not None:
            return f"{self.kind}={self.factor!r}".removesuffix(".0")
        if self.threshold is not None:
            return self.kind if self.threshold == _BINARIZE_THRESHOLD else f"{self.kind}={self.threshold}"
        if self.colour is not None:
            named = next((name for name, colour in _COLOURS.items() if colour == self.colour), None)
            return f"{self.kind}={named or '#{:02x}{:02x}{:02x}'.format(*self.colour)}"
        return self.kind


def parse_operation(text: str, name: str) -> Operation:
    """Reads one operation.

    Args:
      text: The operation without its `@`, like "resize=32x48".
      name: The full name that it is part of, for the message.

    Returns:
      The operation.

    Raises:
      DataError: If the operation is unknown, or its value is missing, superfluous or malformed.
    """
    kind, equals, value = text.partition("=")
    if kind in _SIZED_KINDS and (match := _SIZE.fullmatch(value)):
        height, width = match.groups()
        return Operation(kind, size=(int(height), int(width or height)))
    if kind == "contrast" and (factor := _non_negative(value)) is not None:
        return Operation(kind, factor=factor)
    if kind == "binarize" and not equals:
        return Operation(kind, threshold=_BINARIZE_THRESHOLD)
    if kind == "binarize" and (match := _THRESHOLD.fullmatch(value)) and int(match[0]) <= 255:
        return Operation(kind, threshold=int(match[0]))
    if kind in ("rgb", "luminance") and not equals:
        return Operation(kind)
    if kind == "over" and value in _COLOURS:
        return Operation(kind, colour=_COLOURS[value])
    if kind == "over" and (match := _HEX.fullmatch(value)):
        red, green, blue = (int(pair, 16) for pair in match.groups())
        return Operation(kind, colour=(red, green, blue))
    problem = "bad value in" if kind in OPERATION_KINDS else "unknown operation"
    raise DataError(f"{problem} '@{text}' of data set '{name}': choose from {OPERATION_CHOICES}")


def apply_operation(
    operation: Operation, images: np.ndarray, name: str, means: np.ndarray | None = None
) -> np.ndarray:
    """Applies one operation.

    Args:
      operation: The operation.
      images: `uint8 [N, H, W, C]`.
      name: The set, for the message.
      means: float64 `[C]`, the training means in grey levels; needed by contrast alone.

    Returns:
      `uint8 [N, H', W', C']`.

    Raises:
      DataError: If images of this shape cannot be treated so, or what is made of them would be too large.
    """
    channels = images.shape[-1]
    if operation.kind == "over" or (operation.kind, channels) in _NOTHING_TO_DO:
        return images
    size = operation.size or images.shape[1:3]
    made = (*size, 3 if operation.kind == "rgb" else channels)
    sizes.check_image_size(made, name, DataError)
    sizes.check_held(len(images) * math.prod(made), name, DataError)
    if operation.size is not None:
        return _to_size(operation.kind, images, operation.size, name)
    if operation.threshold is not None:
        return binarize(images, operation.threshold)
    if operation.kind == "rgb":
        if channels != 1:
            raise DataError(f"{name}: @rgb needs images with 1 or 3 channels, these have {channels}")
        return np.repeat(images, 3, axis=-1)
    if operation.kind == "luminance":
        if channels != 3:
            raise DataError(f"{name}: @luminance needs 3 channels or 1, these images have {channels}")
        return luminance(images)
    assert operation.factor is not None and means is not None  # what is left is contrast
    if len(means) != channels:
        raise DataError(
            f"{name}: @contrast needs as many channels in the training split as here, "
            f"there are {len(means)} there and {channels} here"
        )
    return contrast(images, operation.factor, means)


def apply_all(
    operations: Sequence[Operation],
    images: np.ndarray,
    name: str,
    means: Sequence[np.ndarray | Sequence[float]] = (),
) -> np.ndarray:
    """Applies operations from left to right.

    Args:
      operations: The operations.
      images: `uint8 [N, H, W, C]`.
      name: The set, for the message.
      means: Of each `@contrast` among them, as for `apply_operation`.

    Returns:
      `uint8 [N, H', W', C']`.

    Raises:
      DataError: As `apply_operation`.
    """
    rest = iter(means)
    for operation in operations:
        of_this = np.asarray(next(rest), np.float64) if operation.kind == "contrast" else None
        images = apply_operation(operation, images, name, of_this)
    return images


def apply_to_each(
    operations: Sequence[Operation],
    images: Sequence[np.ndarray],
    name: str,
    means: Sequence[np.ndarray | Sequence[float]] = (),
) -> list[np.ndarray | DataError]:
    """As `apply_all`, to images `uint8 [H, W, C]` of any sizes; those of one size are treated together.

    Returns:
      Of each image what was made of it, or what was wrong.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(image.shape, []).append(index)
    made: dict[int, np.ndarray | DataError] = {}
    for indices in groups.values():
        try:
            together = np.stack([images[index] for index in indices])
            made.update(zip(indices, apply_all(operations, together, name, means), strict=True))
        except DataError as error:
            made.update(dict.fromkeys(indices, error))
    return [made[index] for index in range(len(images))]


def _to_size(kind: str, images: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    height, width = images.shape[1:3]
    if kind == "resize":
        return resize(images, size)
    if kind == "pad":
        if height > size[0] or width > size[1]:
            raise DataError(
                f"{name}: @pad to {_text(size)} cannot shrink images of {height}x{width}: "
                "use @crop or @resize"
            )
        return pad(images, size)
    if height < size[0] or width < size[1]:
        raise DataError(
            f"{name}: @crop to {_text(size)} cannot enlarge images of {height}x{width}: use @pad or @resize"
        )
    return crop(images, size)


def resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes `uint8 [N, H, W, C]` to (H', W'), bilinear and antialiased, rounded and clipped."""
    import tensorflow as tf  # here, so that names can be taken apart without it

    resized = np.empty((len(images), *size, images.shape[-1]), np.uint8)
    with tf.device("/CPU:0"):
        largest = max(math.prod(images.shape[1:]), math.prod(resized.shape[1:]), 1)
        step = min(_RESIZE_CHUNK, max(1, _RESIZE_VALUES // largest))
        for start in range(0, len(images), step):
            chunk = slice(start, start + step)
            smooth = tf.image.resize(images[chunk], size, method="bilinear", antialias=True)
            resized[chunk] = tf.cast(tf.clip_by_value(tf.round(smooth), 0, 255), tf.uint8).numpy()
    return resized


def pad(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Puts each image at the centre of a black one of size (H', W') >= (H, W)."""
    extra = [wanted - had for wanted, had in zip(size, images.shape[1:3], strict=True)]
    margins = [(n // 2, n - n // 2) for n in extra]
    return np.pad(images, [(0, 0), *margins, (0, 0)])


def crop(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cuts the centre of size (H', W') <= (H, W) out of each image."""
    top, left = ((had - wanted) // 2 for wanted, had in zip(size, images.shape[1:3], strict=True))
    return np.ascontiguousarray(images[:, top : top + size[0], left : left + size[1]])


def luminance(images: np.ndarray) -> np.ndarray:
    """The ITU-R BT.601 luminance of `uint8 [N, H, W, 3]` as `uint8 [N, H, W, 1]`, exact."""
    red, green, blue = (
        np.uint32(weight) * images[..., channel : channel + 1]
        for channel, weight in enumerate(_LUMINANCE_PER_MILLE)
    )
    return ((red + green + blue + 500) // 1000).astype(np.uint8)


def contrast(images: np.ndarray, factor: float, means: np.ndarray) -> np.ndarray:
    """Scales the distance of `uint8 [N, H, W, C]` from the means `[C]`: see above."""
    levels = np.arange(256, dtype=np.float64)
    changed = np.empty_like(images)
    for channel, mean in enumerate(means):
        table = np.rint(np.clip(mean + factor * (levels - mean), 0, 255)).astype(np.uint8)
        changed[..., channel] = table[images[..., channel]]
    return changed


def binarize(images: np.ndarray, threshold: int) -> np.ndarray:
    """255 where a grey level reaches the threshold, else 0."""
    return np.where(images >= threshold, np.uint8(255), np.uint8(0))


def channel_means(images: Array) -> np.ndarray:
    """The mean grey level of each channel, float64 `[C]`, from an exact integer sum."""
    total: np.ndarray = np.zeros(images.shape[-1], np.uint64)
    for chunk in chunks(images):
        total += chunk.sum(axis=(0, 1, 2), dtype=np.uint64)
    return total / math.prod(images.shape[:3])


def _non_negative(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
