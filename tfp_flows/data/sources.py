"""One split of a source, whichever kind of source it is."""

import functools
import hashlib
import os
from pathlib import Path

from tfp_flows.data.embedded import digit_images, photo_crops
from tfp_flows.data.errors import DataError
from tfp_flows.data.folder import list_images, read_folder
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import SYNTHETIC_KINDS, Source
from tfp_flows.data.npz import read_npz
from tfp_flows.data.splits import divide_training_images
from tfp_flows.data.synthetic import constant_images, noise_images
from tfp_flows.data.tfds import TfdsOptions, read_tfds

_NUM_CACHED = 2


def read_split(
    source: Source,
    split: str,
    options: TfdsOptions,
    image_shape: tuple[int, int, int] | None = None,
) -> ImageSet:
    """Reads one split of a source, without operations.

    Args:
      source: The source.
      split: One of `SPLITS`.
      options: Where TFDS looks.
      image_shape: (H, W, C), needed by the synthetic sources alone.

    Returns:
      The images; the test split in the order of the source, the others permuted.

    Raises:
      DataError: If the source or the split is not to be had.
    """
    if source.kind in SYNTHETIC_KINDS:
        return _synthetic(source, split, image_shape)
    if source.kind == "photos":
        return photo_crops(split)
    if split == "test":
        return _read_official(source, "test", options)
    training = _official_training(source, options, fingerprint(source))
    return training.select(divide_training_images(len(training), source.text)[split], split)


def fingerprint(source: Source) -> str:
    """A string that changes when the source's files do: it keeps caches from serving old files."""
    if source.kind == "folder":
        root = Path(os.path.expanduser(source.argument))
        files = [root / file for file in list_images(source.argument)]
    elif source.kind == "npz":
        file = Path(os.path.expanduser(source.argument))
        files = [file] if file.is_file() else []
    else:
        return ""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file}\0{status.st_mtime_ns}\0{status.st_size}\0".encode(errors="replace"))
    return digest.hexdigest()


def clear_cache() -> None:
    """Forgets the decoded training images that are kept for the next call: at most two sources."""
    _official_training.cache_clear()


@functools.lru_cache(maxsize=_NUM_CACHED)
def _official_training(source: Source, options: TfdsOptions, fingerprint: str) -> ImageSet:
    """The whole official training split; `fingerprint` is there for the cache's key alone."""
    del fingerprint
    return _read_official(source, "train", options)


def _read_official(source: Source, split: str, options: TfdsOptions) -> ImageSet:
    if source.kind == "folder":
        return read_folder(source.argument, split)
    if source.kind == "npz":
        return read_npz(source.argument, split)
    if source.kind == "digits":
        return digit_images(split)
    return read_tfds(source.argument, split, options)


def _synthetic(source: Source, split: str, image_shape: tuple[int, int, int] | None) -> ImageSet:
    if split != "test":
        raise DataError(f"{source.text}: has only a test split, no {split} split")
    if image_shape is None:
        raise DataError(f"{source.text}: takes the model's image shape: give `image_shape`")
    if source.kind == "noise":
        return noise_images(image_shape)
    return constant_images(source.argument, image_shape)
