"""Images one after the other, in bounded memory: for scoring more than fits into it.

- `folder:PATH`: every PNG and JPEG below the folder, in the order of their paths; the key is the path.
- `npz:PATH`: every array of images of the archive; the key is "ARRAY:INDEX".
- `tfrecord:GLOB`: `tf.train.Example`s whose feature `image` (or `image/encoded`) is a PNG or JPEG; the
  key is their feature `key` (or `id`), or else "FILE:INDEX".
- `tfds:NAME`: one split of a TFDS set in `data_dir`; the key is the set's `id`, or else TFDS's own.

Operations that treat each image alone may follow, as in `tfp_flows.data.operations`:
`folder:PATH@resize=28@luminance`.
"""

import glob
import io
import itertools
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flows.data import folder, tfds
from tfp_flows.data.errors import DataError
from tfp_flows.data.names import parse_name
from tfp_flows.data.operations import apply_operation

KINDS = ("folder", "npz", "tfrecord", "tfds")
_FEATURES = {
    name: tf.io.FixedLenFeature([], tf.string, "") for name in ("image", "image/encoded", "key", "id")
}
_ARRAYS = ("images", "test", "x_test", "train", "x_train")


class Item(NamedTuple):
    """One image of a stream.

    Attributes:
      key: Identifies it within the stream.
      image: uint8 `[H, W, C]`, or None where it cannot be had.
      error: Why not, in one line, or "".
    """

    key: str
    image: np.ndarray | None
    error: str = ""


def stream(name, image_shape, data_dir=None, split="test", skip=0) -> Iterator[Item]:
    """The images of a source, always in the same order.

    An image that cannot be read, or has another shape, is an item with an `error`; the stream goes on.

    Args:
      name: The source, as above.
      image_shape: (H, W, C) that every image must have.
      data_dir: Folder of TFDS sets.
      split: Of a TFDS set.
      skip: Number of items to leave out at the beginning.

    Yields:
      `Item`.

    Raises:
      DataError: If there is no such source at all.
    """
    kind, colon, rest = name.partition(":")
    if not colon or kind not in KINDS:
        raise DataError(f"'{name}': images to be scored are named {', '.join(f'{k}:...' for k in KINDS)}")
    source, operations = parse_name(f"folder:{rest}")
    if any(operation.kind == "contrast" for operation in operations):
        raise DataError(
            f"'{name}': @contrast needs the mean of a training set; scoring treats each image alone"
        )
    items = _tfds(source.argument, data_dir, split) if kind == "tfds" else _OPEN[kind](source.argument)
    for item in itertools.islice(items, skip, None):
        yield _finished(item, operations, tuple(image_shape), name)


def _finished(item, operations, image_shape, name):
    """The item with the operations applied and its shape checked."""
    if item.image is None:
        return item
    try:
        images = item.image[np.newaxis]
        for operation in operations:
            images = apply_operation(operation, images, name)
    except DataError as error:
        return Item(item.key, None, str(error))
    if images.shape[1:] != image_shape:
        had, wanted = ("x".join(map(str, shape)) for shape in (images.shape[1:], image_shape))
        return Item(item.key, None, f"is {had}, but {wanted} is wanted")
    return Item(item.key, images[0])


def _folder(path):
    root = Path(path).expanduser()
    for file in folder.list_images(path):
        try:
            yield Item(file, folder.decode_file(root / file))
        except DataError as error:
            yield Item(file, None, str(error).removeprefix(f"{root / file}: "))


def _npz(path):
    """Reads the archive's members a row at a time; `np.load` would hold a whole array."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"npz:{path}: no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            found = [name for name in _ARRAYS if f"{name}.npy" in archive.namelist()]
            if not found:
                raise DataError(f"npz:{path}: holds none of the arrays {', '.join(_ARRAYS)}")
            for name in found:
                with archive.open(f"{name}.npy") as member:
                    yield from _rows(member, name, path)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"npz:{path}: cannot be read: {error}") from error


def _rows(member, name, path):
    version = np.lib.format.read_magic(member)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = read_header[version](member)
    if dtype != np.uint8 or len(shape) not in (3, 4) or fortran:
        raise DataError(
            f"npz:{path}: '{name}' must be uint8 [N, H, W, C] or [N, H, W], got {dtype} {list(shape)}"
        )
    size = int(np.prod(shape[1:]))
    row_shape = shape[1:] if len(shape) == 4 else (*shape[1:], 1)
    for index in range(shape[0]):
        row = member.read(size)
        if len(row) < size:
            yield Item(f"{name}:{index}", None, "the archive ends before it")
            return
        yield Item(f"{name}:{index}", np.frombuffer(row, np.uint8).reshape(row_shape))


def _tfrecord(pattern):
    files = sorted(glob.glob(os.path.expanduser(pattern)))
    if not files:
        raise DataError(f"tfrecord:{pattern}: no such file")
    for file in files:
        records = iter(tf.data.TFRecordDataset(file).enumerate().as_numpy_iterator())
        index = -1
        while True:
            try:
                index, record = next(records)
            except StopIteration:
                break
            except tf.errors.DataLossError:
                yield Item(f"{file}:{index + 1}", None, "the file is damaged from here on")
                break
            yield _example(record, f"{file}:{index}")


def _example(record, place):
    try:
        example = tf.io.parse_single_example(record, _FEATURES)
    except tf.errors.OpError:
        return Item(place, None, "is no tf.train.Example with a feature 'image'")
    values = {key: value.numpy() for key, value in example.items()}
    key = os.fsdecode(values["key"] or values["id"]) or place
    encoded = values["image"] or values["image/encoded"]
    if not encoded:
        return Item(key, None, "has no feature 'image' with an encoded picture")
    try:
        return Item(key, folder.decode_file(io.BytesIO(encoded)))
    except DataError as error:
        return Item(key, None, str(error).split(": ", 1)[1])


def _tfds(name, data_dir, split):
    options = tfds.TfdsOptions("" if data_dir is None else os.fspath(data_dir))
    return itertools.starmap(Item, tfds.stream_tfds(name, split, options))


_OPEN = {"folder": _folder, "npz": _npz, "tfrecord": _tfrecord}
