"""What the loader returns: the images of one split, in memory."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfp_flows.data.errors import DataError
from tfp_flows.data.reading import Reading

SPLITS = ("train", "validation", "calibration", "test")
ALL = "all"  # all images of a source, whatever split they belong to


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one split, decoded once and held in memory, read-only.

    Attributes:
      name: The full name that was loaded, with its operations, like `mnist@resize=32@rgb`.
      split: One of `SPLITS`, or "all".
      images: `uint8 [N, H, W, C]`, C-contiguous, grey levels 0..255; a read-only view.
      labels: `int64 [N]`, or None where the source has none.
      keys: N strings that identify the images within their source: the path relative to a
        folder, a TFDS `id`, or else an index.
      total: How many the split has, of which these are a sample where `max_images` was smaller; None
        stands for N.
      reading: What was found where they were read from, of a folder; else None.
      label_names: What the labels 0, 1, 2, ... are called, where that is known.

    Raises:
      DataError: If the attributes do not have these types, or not the same length.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray | None
    keys: tuple[str, ...]
    total: int | None = None
    reading: Reading | None = None
    label_names: tuple[str, ...] | None = None

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
        if self.total is None:
            object.__setattr__(self, "total", len(images))

    def __len__(self) -> int:
        """The number of images, N."""
        return len(self.images)

    @property
    def count(self) -> str:
        """N as text, such as "10,000", or "500 of 10,000" of a sample."""
        total = len(self) if self.total is None else self.total
        return f"{len(self):,}" if total == len(self) else f"{len(self):,} of {total:,}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of every image."""
        return tuple(self.images.shape[1:])

    def select(self, indices: Sequence[int] | np.ndarray, split: str | None = None) -> "ImageSet":
        """Copies the images at `indices`, in that order, as a whole set of `split` (default: its own)."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ImageSet(
            name=self.name,
            split=split or self.split,
            images=self.images[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            keys=tuple(self.keys[index] for index in chosen),
            reading=None if self.reading is None else self.reading.select(chosen),
            label_names=self.label_names,
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


def joined(sets: Sequence[ImageSet], split: str) -> ImageSet:
    """Sets of one source, one after the other, as a set of `split`.

    Raises:
      DataError: If their images differ in shape.
    """
    first = sets[0]
    for other in sets[1:]:
        if other.image_shape != first.image_shape:
            raise DataError(
                f"{first.name}: its {other.split} images have shape {list(other.image_shape)}, its "
                f"{first.split} images {list(first.image_shape)}: all images must have the same shape"
            )
    if len(sets) == 1:
        return dataclasses.replace(first, split=split)
    labels = [image_set.labels for image_set in sets if image_set.labels is not None]
    return ImageSet(
        name=first.name,
        split=split,
        images=np.concatenate([image_set.images for image_set in sets]),
        labels=np.concatenate(labels) if len(labels) == len(sets) else None,
        keys=tuple(key for image_set in sets for key in image_set.keys),
        label_names=first.label_names,
    )
