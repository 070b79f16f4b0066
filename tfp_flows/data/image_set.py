"""What the loader returns: the images of one split, in memory."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfp_flows.data.errors import DataError

SPLITS = ("train", "validation", "calibration", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one split, decoded once and held in memory, read-only.

    Attributes:
      name: The full name that was loaded, with its operations, like `mnist@resize=32@rgb`.
      split: One of `SPLITS`.
      images: `uint8 [N, H, W, C]`, C-contiguous, grey levels 0..255; a read-only view.
      labels: `int64 [N]`, or None where the source has none.
      keys: N strings that identify the images within their source: the path relative to a
        folder, a TFDS `id`, or else an index.

    Raises:
      DataError: If the attributes do not have these types, or not the same length.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray | None
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks the attributes and freezes the arrays."""
        images = np.asarray(self.images)
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
            raise DataError(
                f"{self.name}: images must be a non-empty uint8 array [N, H, W, C], "
                f"got {images.dtype} {list(images.shape)}"
            )
        object.__setattr__(self, "images", _read_only(images))
        object.__setattr__(self, "keys", tuple(self.keys))
        if len(self.keys) != len(images):
            raise DataError(f"{self.name}: {len(images)} images but {len(self.keys)} keys")
        if self.labels is not None:
            object.__setattr__(self, "labels", _read_only(_checked_labels(self)))

    def __len__(self) -> int:
        """The number of images, N."""
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of every image."""
        return tuple(self.images.shape[1:])

    def select(self, indices: Sequence[int] | np.ndarray, split: str | None = None) -> "ImageSet":
        """Copies the images at `indices`, in that order, as a set of `split` (default: its own)."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ImageSet(
            name=self.name,
            split=split or self.split,
            images=self.images[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            keys=tuple(self.keys[index] for index in chosen),
        )


def _checked_labels(image_set: ImageSet) -> np.ndarray:
    labels = np.asarray(image_set.labels)
    if labels.dtype.kind not in "iu" or labels.shape != (len(image_set.images),):
        raise DataError(
            f"{image_set.name}: labels must be integers [{len(image_set.images)}], one per image, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    return labels.astype(np.int64)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
