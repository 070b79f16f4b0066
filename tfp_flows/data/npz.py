"""The source `npz:PATH`: a NumPy archive.

Keys: `train` and `test` (or `x_train`, `x_test`, or MedMNIST's `train_images`, `test_images`), with or
without `val` (`valid`, `validation`, `x_val`, `val_images`), of which some may be missing; or else
`images`, of which about a tenth, chosen by their indices, is the test split (see `splits`). Arrays are
uint8, [N, H, W, C], or [N, H, W], which is read as one channel, in the order of C or of Fortran. Labels,
where there are any: `train_labels`, `test_labels` (or `y_train`, `y_test`), likewise for `val`, and
`labels` with `images`: integers [N] or [N, 1]. Other keys are ignored. Nothing is ever unpickled, and no
array is read that by its header is too large.
"""

import contextlib
import math
import os
from collections.abc import Iterator

import numpy as np

from tfp_flows.checks import archives, sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet

IMAGE_KEYS = {
    "train": ("train", "x_train", "train_images"),
    "validation": ("val", "valid", "validation", "x_val", "val_images"),
    "test": ("test", "x_test", "test_images"),
    "images": ("images",),
}
_LABEL_KEYS = {
    "train": ("train_labels", "y_train"),
    "validation": ("val_labels", "valid_labels", "validation_labels", "y_val"),
    "test": ("test_labels", "y_test"),
    "images": ("labels",),
}


def npz_splits(path: str) -> tuple[str, ...]:
    """Which of "train", "validation" and "test" an archive has; ("images",) where it is not divided.

    Raises:
      DataError: If there is no such archive, or its keys make no sense.
    """
    with _opened(path) as archive:
        return tuple(_found(archive, path))


def read_npz(path: str, split: str) -> ImageSet:
    """Reads one split of an archive.

    Args:
      path: The file; `~` is expanded.
      split: "train", "validation" or "test"; "train" is everything in an archive that is not divided.

    Returns:
      The images; their keys are "KEY:INDEX", like "x_test:17".

    Raises:
      DataError: If there is no such archive, or no such split in it, or its arrays are unfit.
    """
    with _opened(path) as archive:
        return _read_split(archive, path, split)


def is_in_rows(path: str, split: str) -> bool:
    """Whether images lie one after the other: those of a split, or "images", are not in Fortran's order."""
    with _opened(path) as archive:
        return not archive.header(_found(archive, path)[split]).fortran_order


def shape_of(path: str, split: str) -> tuple[int, int, int, int]:
    """(N, H, W, C) of the images of a split, or of "images".

    Raises:
      DataError: As `read_npz`.
    """
    with _opened(path) as archive:
        key = _found(archive, path)[split]
        _check_header(archive, key, path)
        count, height, width, channels = (*archive.header(key).shape, 1)[:4]
        return count, height, width, channels


def iterate(path: str, split: str) -> Iterator[tuple[str, np.ndarray, int | None]]:
    """(key, image, label or None) of each image of a split, or of "images", read one after the other.

    Raises:
      DataError: As `read_npz`.
    """
    labels = _read_labels(path, split)
    with _opened(path) as archive:
        key = _found(archive, path)[split]
        _check_header(archive, key, path)
        with archive.member(key) as (member, header):
            shape = (*header.shape[1:], 1)[:3]
            size = math.prod(shape)
            for index in range(header.shape[0]):
                row = member.read(size)
                if len(row) < size:
                    raise UserError(f"{key}.npy ends before its array {list(header.shape)}")
                image = np.frombuffer(row, np.uint8).reshape(shape)
                yield f"{key}:{index}", image, None if labels is None else int(labels[index])


def _read_labels(path: str, split: str) -> np.ndarray | None:
    """The labels of a split, or of "images", `[N]`; None where there are none."""
    with _opened(path) as archive:
        key = _only(archive, _LABEL_KEYS[split], path)
        count = archive.header(_found(archive, path)[split]).shape[0]
        labels = _labels(archive, key, count) if key else None
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise DataError(
            f"npz:{path}: labels must be integers [{count}], one per image, got {labels.dtype} "
            f"{list(labels.shape)}"
        )
    return labels


@contextlib.contextmanager
def _opened(path: str) -> Iterator[archives.Archive]:
    file = os.path.expanduser(path)
    if not os.path.isfile(file):
        raise DataError(f"npz:{path}: no such file")
    try:
        with archives.opened(file) as archive:
            yield archive
    except DataError:
        raise
    except (OSError, UserError) as error:
        raise DataError(f"npz:{path}: cannot be read: {error}") from error


def _found(archive: archives.Archive, path: str) -> dict[str, str]:
    """The key of each split that there is."""
    found = {name: key for name in IMAGE_KEYS if (key := _only(archive, IMAGE_KEYS[name], path))}
    if "images" in found and len(found) > 1:
        raise DataError(f"npz:{path}: has both 'images' and parts: {_listed(archive)}: keep one")
    return found


def _read_split(archive: archives.Archive, path: str, split: str) -> ImageSet:
    found = _found(archive, path)
    name = "images" if "images" in found else split
    if name not in found:
        raise DataError(
            f"npz:{path}: has no {split} images: it needs one of the keys "
            f"{' or '.join(IMAGE_KEYS[split])} (or images), found {_listed(archive)}"
        )
    images = _checked_images(archive, found[name], path)
    label_key = _only(archive, _LABEL_KEYS[name], path)
    labels = _labels(archive, label_key, len(images)) if label_key else None
    keys = tuple(f"{found[name]}:{index}" for index in range(len(images)))
    return ImageSet(f"npz:{path}", split, images, labels, keys)


def _only(archive: archives.Archive, candidates: tuple[str, ...], path: str) -> str | None:
    present = [key for key in candidates if key in archive.files]
    if len(present) > 1:
        raise DataError(f"npz:{path}: has both '{present[0]}' and '{present[1]}': keep one")
    return present[0] if present else None


def _checked_images(archive: archives.Archive, key: str, path: str) -> np.ndarray:
    _check_header(archive, key, path)
    images = archive[key]
    return images[..., np.newaxis] if images.ndim == 3 else images


def _check_header(archive: archives.Archive, key: str, path: str) -> None:
    shape, dtype = archive.header(key).shape, archive.header(key).dtype
    if dtype != np.uint8 or len(shape) not in (3, 4) or min(shape) < 1:
        raise DataError(
            f"npz:{path}: '{key}' must be uint8 grey levels 0..255, [N, H, W, C] or [N, H, W], "
            f"got {dtype} {list(shape)}; found {_listed(archive)}"
        )
    sizes.check_image_size((*shape[1:], 1)[:3], f"npz:{path}: '{key}'", DataError)


def _labels(archive: archives.Archive, key: str, num_images: int) -> np.ndarray:
    """As they are, but [N, 1] as [N]."""
    labels = archive[key]
    return labels[:, 0] if labels.shape == (num_images, 1) else labels


def _listed(archive: archives.Archive) -> str:
    return "the keys " + (", ".join(sorted(archive.files)) or "(none)")
