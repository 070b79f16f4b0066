"""The source `folder:PATH`: pictures in a folder and its subfolders, or one picture.

What is a picture, and which formats are read, `listing` and `decoding` say; files are taken in the order of
their relative paths, which are their keys. Subfolders `train`, `val` and `test` are splits of the folder's
own (`layout` has the other spellings, and what is refused); a split that has no subfolder is taken from the
training images by the file's relative path, as in `splits`: adding files moves no other file to another
split. Where the images of a split lie in further subfolders, all of them, those are its classes.

Operations are applied to each picture before they are put together, so that pictures may have any size where
the name has an `@resize`; without one all must have one shape. They may be of any mode where it has `@rgb`
or `@luminance`; without those all must be grey, or all RGB, of 8 bits.
"""

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfp_flows.data.decoding import Decoded, Unfit, decode
from tfp_flows.data.errors import DataError
from tfp_flows.data.gathering import Gathering
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.layout import labels_of
from tfp_flows.data.listing import Listing, list_folder, root_of
from tfp_flows.data.operations import apply_to_each
from tfp_flows.data.reading import Reading, ReadingOptions, others_text

_NUM_THREADS = min(8, os.cpu_count() or 1)
_AT_ONCE = 32  # pictures that a thread reads before it hands them over
_MOST_BYTES = 2**25  # of decoded pictures that it holds
_NO_OPTIONS = ReadingOptions()


def read_files(
    path: str,
    files: Sequence[str],
    split: str,
    options: ReadingOptions = _NO_OPTIONS,
    listing: Listing | None = None,
    with_others: bool = False,
) -> ImageSet:
    """Reads some images of a folder.

    Args:
      path: The folder; `~` is expanded.
      files: Paths relative to the folder, with slashes.
      split: The split that they are.
      options: How they are read.
      listing: Of the folder; None to list it.
      with_others: Whether the folder's other images are looked at too, so that all is told at once that
        cannot be taken.

    Returns:
      The images in the order of `files`, which are their keys, with labels where they lie in classes.

    Raises:
      DataError: If there is none; if some cannot be taken (unless they are to be skipped), all of them named
        by kind; or if they differ in shape.
    """
    listing = listing or list_folder(path)
    if not files:
        raise DataError(
            f"folder:{path}: none of its {len(listing.images)} image(s) is for the {split} part: "
            "put some into subfolders train and test"
        )
    root = root_of(path)
    others = sorted(set(listing.images) - set(files)) if with_others else []
    everything = [*files, *others]
    gathering = Gathering(f"folder:{path}", f"{root}/".replace("//", "/"), len(everything), options)
    batches = [everything[start : start + _AT_ONCE] for start in range(0, len(everything), _AT_ONCE)]
    left = len(files)
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        try:
            read = pool.map(functools.partial(_read, root, options), batches)
            for batch, made in zip(batches, read, strict=True):
                for file, each in zip(batch, made, strict=True):
                    keep, left = left > 0, left - 1
                    if isinstance(each, DataError):
                        gathering.fail(file, each, keep)
                    else:
                        gathering.add(file, each, keep)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    images, keys, facts, skipped = gathering.finish()
    labels, label_names = labels_of(keys, listing.images) or (None, None)
    suffixes = listing.others
    if listing.unknown:
        suffixes = (("", len(listing.unknown)), *suffixes)
    found = (*listing.skipped, *listing.doubled, *skipped)
    height, width, channels = images.shape[1:]
    reading = Reading(facts, (height, width, channels), tuple(sorted(found)), suffixes)
    return ImageSet(f"folder:{path}", split, images, labels, keys, None, reading, label_names)


def list_images(path: str) -> list[str]:
    """The relative paths of a folder's images, sorted. Raises `DataError` if there are none."""
    return list(with_images(path, list_folder(path)).images)


def with_images(path: str, listing: Listing) -> Listing:
    """The listing. Raises `DataError` if it has no image."""
    if not listing.images:
        found = [f"{name} ({reason})" for name, reason in listing.skipped[:3]]
        if listing.others:
            found.append(others_text(listing.others))
        said = f"; found {', '.join(found)}" if found else " (PNG, JPEG, WebP, TIFF, BMP, GIF, ...)"
        raise DataError(f"folder:{path}: holds no image{said}")
    return listing


def _read(root: str, options: ReadingOptions, files: Sequence[str]) -> list[Decoded | DataError]:
    """Decodes some files, and applies the operations to those of one size together."""
    found: list[Decoded | DataError] = []
    waiting: list[int] = []
    held = 0
    for file in files:
        try:
            decoded = decode(os.path.join(root, file), options.over)
        except Unfit as error:
            found.append(error)
            continue
        waiting.append(len(found))
        found.append(decoded)
        held += decoded.image.nbytes
        if held > _MOST_BYTES:
            _treat(found, waiting, options)
            waiting, held = [], 0
    _treat(found, waiting, options)
    return found


def _treat(found: list[Decoded | DataError], indices: Sequence[int], options: ReadingOptions) -> None:
    """Puts what the operations make of these into their places."""
    if not options.operations:
        return
    taken = [(index, each) for index in indices if isinstance(each := found[index], Decoded)]
    images = [decoded.image for _, decoded in taken]
    for (index, decoded), made in zip(taken, apply_to_each(options.operations, images, ""), strict=True):
        found[index] = decoded._replace(image=made) if isinstance(made, np.ndarray) else made
