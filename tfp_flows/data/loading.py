"""`load`: from a name and a split to images, in memory or on the disk."""

import dataclasses
import functools
import operator
import os
from collections.abc import Iterable, Sequence

import numpy as np

from tfp_flows.data import large, names, storage
from tfp_flows.data.copying import applied
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ALL, SPLITS, ImageSet
from tfp_flows.data.meant import meant
from tfp_flows.data.names import Source, parse_name, same_source
from tfp_flows.data.operations import Operation, channel_means
from tfp_flows.data.preparation import Preparation
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.sources import fingerprint as source_fingerprint
from tfp_flows.data.sources import has_own_test, read_split
from tfp_flows.data.splits import DIVISION, DIVISIONS, in_order_of_chance
from tfp_flows.data.tfds import TfdsOptions
from tfp_flows.data.tfds import fingerprint as tfds_fingerprint

_NUM_CACHED_MEANS = 64
_OF_PICTURES = ("folder", "tfrecord")  # whose operations are applied image by image

Means = tuple[tuple[float, ...], ...]


def load(
    name: str,
    split: str = "test",
    *,
    data_dir: str | os.PathLike | None = None,
    image_shape: Sequence[int] | None = None,
    download: bool = False,
    max_images: int | None = None,
    division: int = DIVISION,
    skip_unreadable: bool = False,
    preparation: Preparation | None = None,
    memory_limit_mib: float | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> ImageSet:
    """Loads one split of a set of images.

    A name is a source, and operations that are applied from left to right (see `tfp_flows.data.operations`):
    `mnist`, `fashion_mnist@resize=32@rgb`, `cifar10@contrast=0.5`, `folder:PATH`, `npz:PATH`,
    `tfrecord:GLOB`, `fashion_mnist_small`, `mnist_small`, `photos`, `digits`, `noise`, `constant`,
    `constant=128`, `tfds:NAME`. Any other source is taken for a TFDS name. An alias may stand before it, as
    in `birds=folder:PATH`: what the set is called (`labels`). Nothing is resized, padded or recoloured but
    by an operation in the name. Pictures (of `folder:`, `tfrecord:`) may be of any size where the name has
    `@resize`, of any mode where it has `@rgb` or `@luminance`, and transparent where it has `@over=white`;
    what cannot be taken is told all at once (see `tfp_flows.data.folder`).

    From a source's training images two splits are held out, which are never trained on: validation (to stop
    early and to select) and calibration (to set thresholds), about a twentieth each; of a user's own files
    calibration gets about a sixth, enough for a p-value of 0.01 where there are 1,000. An image's split
    depends on its own key alone (`tfp_flows.data.splits` has the rule): on a file's path in its folder, a
    TFDS record's key, an index in an array. Images that are added or removed move no other.

    A folder's subfolders `train`, `val` and `test`, and an archive's arrays of these names, are used for
    their split alone; what a folder lacks is taken from its training images by that rule, a tenth of them
    for test. (`photos` and `fashion_mnist_small` have four splits of their own, `mnist_small` only a test
    split.) `constant` and `noise` have only a test split. "all" are all images of a source.

    Where all images of a source would take more memory than a limit, they are decoded once, image by image,
    into a copy on the disk, and a `Stored` stands for the array: the same images, read when they are wanted.

    Args:
      name: The name.
      split: One of `SPLITS`: "train", "validation", "calibration" or "test"; or "all". `evaluation_split`
        says which of them a model is judged on that did not see the source.
      data_dir: The folder of prepared TFDS sets; None means $TFDS_DATA_DIR, or else
        ~/tensorflow_datasets. Other sources do not look at it.
      image_shape: The (H, W, C) that the images must have, or None for any. `constant` and
        `noise` need it.
      download: Whether TFDS may download a set that is not in `data_dir`.
      max_images: At most this many: a fixed random sample of the split (by another hash of the keys), in an
        order of chance. `ImageSet.total` says of how many. A smaller sample is part of a larger one.
      division: How splits are taken from training images: 2, or 1 for the permutation that depends on
        their number, which runs have that do not name theirs (`RunSpec.division`).
      skip_unreadable: Whether pictures that cannot be taken are left out, and listed in `ImageSet.reading`;
        else they are refused.
      preparation: What is done to a set whose name has no operations of its own, such as that of a run
        (`RunSpec.preparation`); not to `constant` and `noise`. The set is then called by its name with them.
      memory_limit_mib: MiB that a source's decoded images may take in memory; None for what `storage.choose`
        says, or else a quarter of the memory that this process may have.
      cache_dir: Folder for copies of larger ones; None for what `storage.choose` says, or else
        $XDG_CACHE_HOME/tfp_flows, or ~/.cache/tfp_flows.

    Returns:
      The images, with labels and keys.

    Raises:
      DataError: If anything about the name, the split, the files or the shape is wrong: one line
        that says what, where, and what to do.

    #### Examples

    ```python
    train = load("fashion_mnist", "train", data_dir="datasets")
    other = load("mnist", "test", data_dir="datasets", image_shape=train.image_shape)
    ```
    """
    if split not in (*SPLITS, ALL):
        raise DataError(f"unknown split '{split}': choose from {', '.join(SPLITS)}, or {ALL}")
    if division not in DIVISIONS:
        raise DataError(f"`division` must be {' or '.join(map(str, DIVISIONS))}, got {division!r}")
    limit = None if max_images is None else _positive(max_images, "`max_images`")
    wanted = None if image_shape is None else _checked_shape(image_shape)
    means: Means = ()
    if preparation is not None and names.takes_operations(name):
        name, means = names.with_operations(name, preparation.text), preparation.means
    keep = storage.storage(memory_limit_mib, cache_dir)
    chain = _Chain.of(name, data_dir, download, division, skip_unreadable, keep)

    with meant(chain.source, name):
        image_set = read_split(chain.source, split, chain.options, wanted, division, chain.reading)
    if limit is not None and limit < len(image_set):
        image_set = _sample(image_set, limit)
    images = applied(chain.of_the_set, image_set.images, name, means or chain.means(), keep)
    if wanted is not None and images.shape[1:] != wanted:
        raise DataError(_wrong_shape(name, images.shape[1:], wanted))
    reading = image_set.reading
    if reading is not None:
        height, width, channels = images.shape[1:]
        reading = dataclasses.replace(reading, image_shape=(height, width, channels))
    return dataclasses.replace(image_set, name=name, images=images, reading=reading)


def contrast_means(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
    division: int = DIVISION,
    skip_unreadable: bool = False,
) -> Means:
    """The means that the `@contrast`s of a name take, as `Preparation.means`; arguments are as for `load`.

    Raises:
      DataError: If the training split is not to be had.
    """
    return _Chain.of(name, data_dir, download, division, skip_unreadable, storage.storage()).means()


def evaluation_split(name: str, trained_on: Iterable[str] = ()) -> str:
    """Which split of a set a model is judged on: "test", or "all" of a set that it cannot have seen.

    That is a source of files that has no test split of its own, and is no source of the model's
    training images: there is no reason to leave nine of ten images out. A TFDS set's test split is what
    others report on.

    Args:
      name: The name.
      trained_on: The names of the sets that the model was trained on.

    Raises:
      DataError: If the name makes no sense, or its files cannot be read.
    """
    own = any(same_source(name, other) for other in trained_on)
    return "test" if own or has_own_test(parse_name(name)[0]) else ALL


def fingerprint(name: str, data_dir: str | os.PathLike | None = None, download: bool = False) -> str:
    """A string that changes when the files behind a name do, for the keys of caches.

    Empty for sources whose contents do not change: the embedded and synthetic ones.

    Args:
      name: The name.
      data_dir: As for `load`.
      download: Likewise.

    Raises:
      DataError: If the name makes no sense, or a TFDS set is not to be had.
    """
    source = parse_name(name)[0]
    if source.kind == "tfds":
        options = TfdsOptions("" if data_dir is None else os.fspath(data_dir), download)
        return tfds_fingerprint(source.argument, options)
    return source_fingerprint(source)


@dataclasses.dataclass(frozen=True)
class _Chain:
    """A source, and what is done to its images.

    Attributes:
      name: The full name, for messages.
      source: The source.
      operations: All of them, from left to right.
      reading: How pictures are read: with the first of the operations, where the source has pictures or is
        copied.
      options: Where TFDS looks.
      division: How splits are taken.
      keep: From which size on images stay on a disk.
    """

    name: str
    source: Source
    operations: tuple[Operation, ...]
    reading: ReadingOptions
    options: TfdsOptions
    division: int
    keep: storage.Storage

    @classmethod
    def of(
        cls,
        name: str,
        data_dir: str | os.PathLike | None,
        download: bool,
        division: int,
        skip_unreadable: bool,
        keep: storage.Storage,
    ) -> "_Chain":
        """The chain of a name."""
        source, operations = names.parse_name(name)
        alone = ReadingOptions.of(operations, bool(skip_unreadable))
        options = TfdsOptions("" if data_dir is None else os.fspath(data_dir), bool(download))
        with meant(source, name):
            place = dataclasses.replace(source, argument=names.identity(name).argument)
            files = source_fingerprint(place)  # however the path is spelled
            whole, one = large.sizes(source, options, alone, files)
        if whole > keep.memory_limit:
            reading = dataclasses.replace(alone, copying=storage.Copying(keep, whole, one, files))
        else:
            reading = alone if source.kind in _OF_PICTURES else ReadingOptions()
        return cls(name, source, operations, reading, options, division, keep)

    @property
    def of_the_set(self) -> tuple[Operation, ...]:
        """The operations that are left when the pictures have been read."""
        return self.operations[len(self.reading.operations) :]

    def means(self) -> Means:
        """Of each `@contrast`, in turn."""
        found: Means = ()
        for index, operation in enumerate(self.of_the_set):
            if operation.kind == "contrast":
                found += (self._means(self.of_the_set[:index], found),)
        return found

    def _means(self, earlier: tuple[Operation, ...], their_means: Means) -> tuple[float, ...]:
        try:
            print_ = source_fingerprint(self.source)
            return _training_means(
                self.source,
                earlier,
                their_means,
                self.options,
                self.division,
                self.reading,
                self.keep,
                print_,
            )
        except DataError as error:
            raise DataError(f"{self.name}: @contrast needs the mean of a training split: {error}") from error


@functools.lru_cache(maxsize=_NUM_CACHED_MEANS)
def _training_means(
    source: Source,
    operations: tuple[Operation, ...],
    means: Means,
    options: TfdsOptions,
    division: int,
    reading: ReadingOptions,
    keep: storage.Storage,
    fingerprint: str,
) -> tuple[float, ...]:
    """The channels' means over the training split; `fingerprint` is for the cache's key alone."""
    del fingerprint
    training = read_split(source, "train", options, None, division, reading)
    return tuple(channel_means(applied(operations, training.images, source.text, means, keep)).tolist())


def _sample(image_set: ImageSet, count: int) -> ImageSet:
    """A fixed random sample of a split, whose order is one of chance already but for "test" and "all"."""
    chosen = in_order_of_chance(image_set.keys) if image_set.split in ("test", ALL) else np.arange(count)
    return dataclasses.replace(image_set.select(chosen[:count]), total=len(image_set))


def _positive(value: int, argument: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise DataError(f"{argument} must be a positive integer, got {value!r}")
    return number


def _checked_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    shape = tuple(image_shape)
    if len(shape) != 3:
        raise DataError(f"`image_shape` must be (height, width, channels), got {shape}")
    height, width, channels = (_positive(size, "each size in `image_shape`") for size in shape)
    return height, width, channels


def _wrong_shape(name: str, had: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    had_text, wanted_text = ("x".join(map(str, shape)) for shape in (had, wanted))
    message = f"{name}: its images are {had_text}, but {wanted_text} is wanted"
    operations = ""
    if had[:2] != wanted[:2]:
        height, width = wanted[:2]
        operations += f"@resize={height}" if height == width else f"@resize={height}x{width}"
    if had[2] != wanted[2]:
        recolour = {(1, 3): "@rgb", (3, 1): "@luminance"}.get((had[2], wanted[2]))
        if recolour is None:
            return f"{message}, and no operation makes {wanted[2]} channels of {had[2]}"
        operations += recolour
    return f"{message}: load '{name}{operations}'"
