"""The sets of TensorFlow Datasets, by their TFDS names, in a folder on this machine.

Nothing is downloaded unless it is asked for.
"""

import contextlib
import dataclasses
import difflib
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from tfp_flows.checks.paths import check_path
from tfp_flows.data import known_sets
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import EMBEDDED_KINDS, SOURCE_CHOICES, SYNTHETIC_KINDS

if TYPE_CHECKING:  # they are slow to import, and often not needed
    import tensorflow as tf
    from tensorflow_datasets.core import DatasetBuilder
    from tensorflow_datasets.core.features import FeatureConnector

_READ_BATCH = 512
_FEW = 64  # images that tell whether all are of one shape, where a set does not say
_FEATURES = ("image", "label", "id")


@dataclasses.dataclass(frozen=True)
class TfdsOptions:
    """Where TFDS looks, and whether it may use the network.

    Attributes:
      data_dir: The folder of prepared sets; "" means TFDS's own default.
      download: Whether a set that is not there may be downloaded and prepared.
    """

    data_dir: str = ""
    download: bool = False

    @property
    def folder(self) -> str:
        """The folder of prepared sets, with the default filled in.

        Raises:
          UserError: If TensorFlow cannot read from such a path.
        """
        default = os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
        return str(check_path(os.path.expanduser(self.data_dir or default), "data_dir"))


def read_tfds(name: str, split: str, options: TfdsOptions) -> ImageSet:
    """Reads one official split.

    Args:
      name: A TFDS name, like "mnist", or "NAME/CONFIG:VERSION".
      split: "train" or "test".
      options: Where to look.

    Returns:
      The images, with labels where the set has an integer `label`; the keys are its `id`, or else
      "SPLIT_INDEX", like "test_17".

    Raises:
      DataError: If the set is unknown, is not there, cannot be read, or holds no images of one
        shape with 8 bits.

    A set that has validation images and no test images is judged on those.
    """
    with _quiet():
        builder = _builder(name, options)
        own = _check_contents(builder, name, split)
        import tensorflow as tf

        try:
            return dataclasses.replace(_read(builder, name, own), split=split)
        except (tf.errors.OpError, OSError) as error:
            raise DataError(f"{name} in {options.folder}: cannot be read: {error}") from error


def stream_tfds(
    name: str, split: str, options: TfdsOptions, start: int = 0, stop: int | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (key, image uint8 `[H, W, C]`) of one split, in the order of `read_tfds`.

    Args:
      name: A TFDS name.
      split: An official split.
      options: Where to look.
      start: Index of the first image; a range can be read where the split is one file.
      stop: Index behind the last one, or None.

    Raises:
      DataError: As `read_tfds`.
    """
    with _quiet():
        builder = _builder(name, options)
        own = _check_contents(builder, name, split)
        wanted = own if stop is None else f"{own}[{start}:{stop}]"
        images = _dataset(builder, wanted, None).as_numpy_iterator()
    import tensorflow as tf

    try:
        for index, example in enumerate(images, start):
            yield os.fsdecode(example["id"]) if "id" in example else f"{own}_{index}", example["image"]
    except (tf.errors.OpError, OSError) as error:
        raise DataError(f"{name} in {options.folder}: cannot be read: {error}") from error


def iterate(name: str, split: str, options: TfdsOptions) -> Iterator[tuple[str, np.ndarray, int | None]]:
    """(key, image, label or None) of each image that `read_tfds` reads, one after the other.

    Raises:
      DataError: As `read_tfds`.
    """
    with _quiet():
        builder = _builder(name, options)
        own = _check_contents(builder, name, split)
        images = _dataset(builder, own, None).as_numpy_iterator()
    labelled = _is_integer_scalar(_feature(builder, "label"))
    import tensorflow as tf

    try:
        for index, example in enumerate(images):
            key = os.fsdecode(example["id"]) if "id" in example else f"{own}_{index}"
            yield key, example["image"], int(example["label"]) if labelled else None
    except (tf.errors.OpError, OSError) as error:
        raise DataError(f"{name} in {options.folder}: cannot be read: {error}") from error


@dataclasses.dataclass(frozen=True)
class Description:
    """A split, as far as it is known without reading it.

    Attributes:
      num_examples: The number of its images.
      image_shape: (H, W, C) of each.
      files: Names, sizes and times of its files.
    """

    num_examples: int
    image_shape: tuple[int, ...]
    files: str


def describe(name: str, split: str, options: TfdsOptions) -> Description:
    """What a split is. Raises `DataError` as `read_tfds`."""
    with _quiet():
        builder = _builder(name, options)
        own = _check_contents(builder, name, split)
    info = builder.info.splits[own]
    feature = _feature(builder, "image")
    assert feature is not None  # it was checked
    shape = tuple(feature.shape)
    if None in shape:
        shape = _first_shape(builder, own)
    return Description(info.num_examples, shape, "\n".join(_described(info.filepaths)))


def fingerprint(name: str, options: TfdsOptions) -> str:
    """A string that changes when the files of a set do, of any split. Raises `DataError` as `read_tfds`."""
    with _quiet():
        splits = _builder(name, options).info.splits
    files = [file for split in sorted(splits) for file in splits[split].filepaths]
    return hashlib.sha256("\n".join(_described(files)).encode(errors="replace")).hexdigest()


def _described(files: Iterable[os.PathLike]) -> list[str]:
    """Names, sizes and times."""
    import tensorflow as tf

    found = []
    for file in files:
        status = tf.io.gfile.stat(os.fspath(file))
        found.append(f"{os.fspath(file)} {status.length} {status.mtime_nsec}")
    return found


def count_if_one_file(name: str, split: str, options: TfdsOptions) -> int | None:
    """The number of images of a split that is one file, else None. Raises `DataError` as `read_tfds`."""
    with _quiet():
        builder = _builder(name, options)
        own = _check_contents(builder, name, split)
    info = builder.info.splits[own]
    return info.num_examples if info.num_shards == 1 else None


def label_names(name: str, options: TfdsOptions) -> tuple[str, ...] | None:
    """What the labels 0, 1, 2, ... are called, or None. Raises `DataError` as `read_tfds`."""
    with _quiet():
        names = getattr(_feature(_builder(name, options), "label"), "names", None)
    return None if names is None else tuple(names)


def check_there(name: str, options: TfdsOptions) -> None:
    """Raises `DataError` where `read_tfds` would as the set is not there, without TensorFlow or TFDS."""
    base = _base(name)
    if base not in prepared_sets(options) and not options.download:
        _refuse_unknown(name, base, sorted(known_sets.names()), options)
        raise DataError(_missing(name, options))


def prepared_sets(options: TfdsOptions) -> list[str]:
    """The names of the sets that are in the folder, sorted."""
    patterns = ("*/*/dataset_info.json", "*/*/*/dataset_info.json")
    return sorted(
        {
            os.path.relpath(file, options.folder).split(os.sep)[0]
            for pattern in patterns
            for file in _globbed(os.path.join(options.folder, pattern))
        }
    )


def _globbed(pattern: str) -> list[str]:
    """The files that a pattern stands for, on this machine or elsewhere (gs://...)."""
    if "://" not in pattern:
        return glob.glob(pattern)
    import tensorflow as tf

    found: list[str] = tf.io.gfile.glob(pattern)
    return found


def _base(name: str) -> str:
    """The name of a set without its configuration and version."""
    return name.split("/")[0].split(":")[0]


def _builder(name: str, options: TfdsOptions) -> "DatasetBuilder":
    check_there(name, options)
    import tensorflow_datasets as tfds

    base = _base(name)
    if base not in prepared_sets(options):
        _refuse_unknown(name, base, tfds.list_builders(), options)
    try:
        builder = tfds.builder(name, data_dir=options.folder)
        if not builder.is_prepared():
            if not options.download:
                raise DataError(_missing(name, options))
            builder.download_and_prepare()
    except DataError:
        raise
    except Exception as error:  # builders are other people's code: they raise what they like
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"{name}: TFDS cannot prepare or open it in {options.folder}: {type(error).__name__}: {reason}"
        ) from error
    return builder


def _refuse_unknown(name: str, base: str, registered: list[str], options: TfdsOptions) -> None:
    if base in registered:
        return
    prepared = prepared_sets(options)
    known = [*EMBEDDED_KINDS, *SYNTHETIC_KINDS, *prepared, *registered]
    close = difflib.get_close_matches(base, known, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise DataError(
        f"unknown data set '{name}'{hint}: choose from {SOURCE_CHOICES}, or a TFDS set "
        f"(in {options.folder}: {_listed(prepared)})"
    )


def _missing(name: str, options: TfdsOptions) -> str:
    return (
        f"data set '{name}' is not in {options.folder} (there: {_listed(prepared_sets(options))}): "
        "give the `data_dir` that holds it, or let TFDS fetch it with `download`"
    )


def _check_contents(builder: "DatasetBuilder", name: str, split: str) -> str:
    """The official split to read for `split`: "validation" where there are no test images but those."""
    feature = _feature(builder, "image")
    shape = getattr(feature, "shape", None)
    if feature is None or shape is None or len(shape) != 3 or feature.np_dtype != np.uint8:
        raise DataError(
            f"{name}: holds no 8-bit images under the feature 'image': "
            "write them to a folder or an npz archive"
        )
    official = builder.info.splits
    own = "validation" if split == "test" and split not in official and "validation" in official else split
    if own not in official:
        raise DataError(
            f"{name}: has no split '{split}' (it has: {_listed(official)}): "
            "write it to a folder or an npz archive with train and test"
        )
    if None in shape and not _are_of_one_shape(builder, name, own):
        raise DataError(f"{name}: its images differ in shape: resize them into a folder:PATH")
    return own


def _first_shape(builder: "DatasetBuilder", split: str) -> tuple[int, ...]:
    return next(iter(_dataset(builder, split, None).take(1).as_numpy_iterator()))["image"].shape


def _are_of_one_shape(builder: "DatasetBuilder", name: str, split: str) -> bool:
    """Whether the first images are: a set may not say so, as that of ImageNet in 32 x 32 does not."""
    import tensorflow as tf

    try:
        few = _dataset(builder, split, None).take(_FEW).as_numpy_iterator()
        return len({example["image"].shape for example in few}) == 1
    except (tf.errors.OpError, OSError) as error:
        raise DataError(f"{name}: cannot be read: {error}") from error


def _feature(builder: "DatasetBuilder", key: str) -> "FeatureConnector | None":
    features = builder.info.features
    return features[key] if features is not None and key in features else None


def _read(builder: "DatasetBuilder", name: str, split: str) -> ImageSet:
    wanted = _wanted(builder)
    batches = list(_dataset(builder, split, _READ_BATCH).as_numpy_iterator())
    images = np.concatenate([batch["image"] for batch in batches])
    labels = ids = None
    if _is_integer_scalar(_feature(builder, "label")):
        labels = np.concatenate([batch["label"] for batch in batches])
    if "id" in wanted:
        ids = [os.fsdecode(key) for batch in batches for key in batch["id"].tolist()]
    keys = ids or [f"{split}_{index}" for index in range(len(images))]
    return ImageSet(name, split, images, labels, tuple(keys))


def _wanted(builder: "DatasetBuilder") -> dict[str, bool]:
    return {key: True for key in _FEATURES if _feature(builder, key) is not None}


def _dataset(builder: "DatasetBuilder", split: str, batch_size: int | None) -> "tf.data.Dataset":
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        batch_size=batch_size,
        decoders=tfds.decode.PartialDecoding(_wanted(builder)),
        read_config=tfds.ReadConfig(try_autocache=False),
    )


def _is_integer_scalar(feature: "FeatureConnector | None") -> bool:
    return feature is not None and feature.shape == () and np.dtype(feature.np_dtype).kind in "iu"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the informational log lines of TFDS."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
