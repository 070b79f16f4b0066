"""The source `npz:PATH`: a NumPy archive.

Keys: `train` and `test` (or `x_train`, `x_test`; one of the two may be missing), or else
`images`, of which a fixed tenth (chosen by a permutation that depends on their number alone) is the
test split. Arrays are uint8, [N, H, W, C], or [N, H, W], which is read as one channel. Labels, where
there are any: `train_labels`, `test_labels` (or `y_train`, `y_test`), and `labels` with `images`:
integers [N]. Other keys are ignored. Nothing is ever unpickled.
"""

import os

import numpy as np

from tfp_flows.checks import archives, sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet

_IMAGE_KEYS = {"train": ("train", "x_train"), "test": ("test", "x_test"), "images": ("images",)}
_LABEL_KEYS = {
    "train": ("train_labels", "y_train"),
    "test": ("test_labels", "y_test"),
    "images": ("labels",),
}
_TEST_FRACTION = 10


def read_npz(path: str, split: str) -> ImageSet:
    """Reads one official split of an archive.

    Args:
      path: The file; `~` is expanded.
      split: "train" or "test".

    Returns:
      The images; their keys are "KEY:INDEX", like "x_test:17".

    Raises:
      DataError: If there is no such archive, or no such split in it, or its arrays are unfit.
    """
    file = os.path.expanduser(path)
    if not os.path.isfile(file):
        raise DataError(f"npz:{path}: no such file")
    try:
        with archives.opened(file) as archive:
            return _read_split(archive, path, split)
    except DataError:
        raise
    except (OSError, UserError) as error:
        raise DataError(f"npz:{path}: cannot be read: {error}") from error


def _read_split(archive: archives.Archive, path: str, split: str) -> ImageSet:
    found = {name: key for name in _IMAGE_KEYS if (key := _only(archive, _IMAGE_KEYS[name], path))}
    if "images" in found and len(found) > 1:
        raise DataError(f"npz:{path}: has both 'images' and parts: {_listed(archive)}: keep one")
    name = "images" if "images" in found else split
    if name not in found:
        raise DataError(
            f"npz:{path}: has no {split} images: it needs one of the keys "
            f"{' or '.join(_IMAGE_KEYS[split])} (or images), found {_listed(archive)}"
        )
    images = _checked_images(archive, found[name], path)
    label_key = _only(archive, _LABEL_KEYS[name], path)
    labels = archive[label_key] if label_key else None
    keys = tuple(f"{found[name]}:{index}" for index in range(len(images)))
    whole = ImageSet(f"npz:{path}", split, images, labels, keys)
    return _tenth(whole, split) if name == "images" else whole


def _only(archive: archives.Archive, candidates: tuple[str, ...], path: str) -> str | None:
    present = [key for key in candidates if key in archive.files]
    if len(present) > 1:
        raise DataError(f"npz:{path}: has both '{present[0]}' and '{present[1]}': keep one")
    return present[0] if present else None


def _checked_images(archive: archives.Archive, key: str, path: str) -> np.ndarray:
    shape, dtype = archive.header(key).shape, archive.header(key).dtype
    if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape:
        raise DataError(
            f"npz:{path}: '{key}' must be uint8 grey levels 0..255, [N, H, W, C] or [N, H, W], "
            f"got {dtype} {list(shape)}; found {_listed(archive)}"
        )
    sizes.check_image_size((*shape[1:], 1)[:3], f"npz:{path}: '{key}'", DataError)
    images = archive[key]
    return images[..., np.newaxis] if images.ndim == 3 else images


def _tenth(whole: ImageSet, split: str) -> ImageSet:
    if len(whole) < 2:
        raise DataError(f"{whole.name}: one image cannot be divided: give keys train and test")
    order = np.random.RandomState(0).permutation(len(whole))
    num_test = max(1, len(whole) // _TEST_FRACTION)
    chosen = order[:num_test] if split == "test" else order[num_test:]
    return whole.select(np.sort(chosen), split)


def _listed(archive: archives.Archive) -> str:
    return "the keys " + (", ".join(sorted(archive.files)) or "(none)")
