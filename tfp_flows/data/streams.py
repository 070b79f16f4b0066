"""Images one after the other, in bounded memory: for scoring more than fits into it.

- `folder:PATH`: every PNG and JPEG below the folder, in the order of their paths; the key is the path.
- `npz:PATH`: every array of images of the archive; the key is "ARRAY:INDEX".
- `tfrecord:GLOB`: `tf.train.Example`s whose feature `image` (or `image/encoded`) is a PNG or JPEG; the
  key is their feature `key` (or `id`), or else "FILE:INDEX".
- `tfds:NAME` or NAME: one split of a TFDS set in `data_dir`; the key is the set's `id`, or else TFDS's own.
- `photos`, `digits`, `constant`, `constant=128`, `noise`: one split, as `tfp_flows.data.load` has it.

Operations that treat each image alone may follow, as in `tfp_flows.data.operations`:
`folder:PATH@resize=28@luminance`.

`pieces` cuts a stream into pieces that can be read side by side; together they hold the same items.
"""

import contextlib
import glob
import io
import itertools
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import message

from tfp_flows.data import embedded, folder, synthetic, tfds
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import SPLITS, ImageSet
from tfp_flows.data.names import Source, parse_name
from tfp_flows.data.operations import Operation, apply_operation
from tfp_flows.data.splits import divide

_ARRAYS = ("images", "test", "x_test", "train", "x_train")
_NUM_FILES = 64  # a piece of a folder
_NUM_IMAGES = 1024  # a piece of an array or a split, at least
_MOST_PIECES_OF_AN_ARRAY = 64  # each is read from the array's beginning: an archive has no index


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


class Piece(NamedTuple):
    """A piece of a stream.

    Attributes:
      files: Names of files of a folder, or one file of TFRecords, or one array of an archive; or ().
      start: Index of its first image in the array or the split.
      stop: Index behind its last image, or None: up to the end.
    """

    files: tuple[str, ...] = ()
    start: int = 0
    stop: int | None = None


def stream(
    name: str,
    image_shape: Sequence[int],
    data_dir: str | os.PathLike | None = None,
    split: str = "test",
    skip: int = 0,
    piece: Piece | None = None,
) -> Iterator[Item]:
    """The images of a source, always in the same order.

    An image that cannot be read, or has another shape, is an item with an `error`; the stream goes on.

    Args:
      name: The source, as above.
      image_shape: (H, W, C) that every image must have.
      data_dir: Folder of TFDS sets.
      split: Of a source that has splits by name.
      skip: Number of items to leave out at the beginning.
      piece: One of `pieces`, or None for the whole stream.

    Yields:
      `Item`.

    Raises:
      DataError: If there is no such source at all.
    """
    source, operations = _parse(name)
    if source.kind == "tfds":
        items = _tfds(source.argument, piece, data_dir, split)
    elif source.kind in _OPEN:
        items = _OPEN[source.kind](source.argument, piece)
    else:
        height, width, channels = image_shape
        items = _of_set(_made_here(source, split, (height, width, channels)), piece)
    for item in itertools.islice(items, skip, None):
        yield _finished(item, operations, tuple(image_shape), name)


def pieces(name: str, data_dir: str | os.PathLike | None = None, split: str = "test") -> Iterator[Piece]:
    """Cuts a stream into pieces for several readers.

    A folder is cut into lists of files, TFRecords into their files, arrays and TFDS sets into ranges. A
    TFDS split of several files is one piece, as TFDS mixes them when it reads them: a range of it would
    hold other images than the same range of the stream.

    Args:
      name: The source, as above.
      data_dir: Folder of TFDS sets.
      split: Of a source that has splits by name.

    Yields:
      `Piece`.

    Raises:
      DataError: If there is no such source at all.
    """
    source, _ = _parse(name)
    kind, argument = source.kind, source.argument
    if kind == "folder":
        files = folder.list_images(argument)
        yield from (Piece(tuple(files[i : i + _NUM_FILES])) for i in range(0, len(files), _NUM_FILES))
    elif kind == "tfrecord":
        yield from (Piece((file,)) for file in _record_files(argument))
    elif kind == "npz":
        yield from _npz_pieces(argument)
    elif kind != "tfds":
        yield Piece()
    else:
        options = _tfds_options(data_dir)
        count = tfds.count_if_one_file(argument, split, options)
        yield from [Piece()] if count is None else _ranges((), count, _NUM_IMAGES)


def decode(key: str, encoded: bytes) -> Item:
    """The `Item` of a PNG or JPEG, bytes."""
    try:
        return Item(key, folder.decode_file(io.BytesIO(encoded)))
    except DataError as error:
        return Item(key, None, str(error).split(": ", 1)[1])


def with_shape(item: Item, image_shape: tuple[int, ...]) -> Item:
    """The item, or one with an `error` in its place if its image has another shape or dtype."""
    if item.image is None or (item.image.shape == image_shape and item.image.dtype == np.uint8):
        return item
    if item.image.dtype != np.uint8:
        return Item(item.key, None, f"is {item.image.dtype}, but uint8 is wanted")
    had, wanted = ("x".join(map(str, shape)) for shape in (item.image.shape, image_shape))
    return Item(item.key, None, f"is {had}, but {wanted} is wanted")


def raw(source: Source) -> Iterator[Item]:
    """The images of a source of files, as they are: without operations, of whatever shape."""
    return _OPEN[source.kind](source.argument, None)


def _parse(name: str) -> tuple[Source, tuple[Operation, ...]]:
    """The source and the operations."""
    source, operations = parse_name(name)
    if any(operation.kind == "contrast" for operation in operations):
        raise DataError(
            f"'{name}': @contrast needs the mean of a training set; scoring treats each image alone"
        )
    return source, operations


def _made_here(source: Source, split: str, image_shape: tuple[int, int, int]) -> ImageSet:
    """A split of a set that needs no files."""
    if split not in SPLITS:
        raise DataError(f"{source.text}: has no split '{split}': choose from {', '.join(SPLITS)}")
    if source.kind == "photos":
        return embedded.photo_crops(split)
    if source.kind == "digits":
        whole = embedded.digit_images("test" if split == "test" else "train")
        if split == "test":
            return whole
        return whole.select(divide(whole.keys, ("validation", "calibration"), source.text)[split], split)
    if split != "test":
        raise DataError(f"{source.text}: has only a test split, no {split} split")
    if source.kind == "noise":
        return synthetic.noise_images(image_shape)
    return synthetic.constant_images(source.argument, image_shape)


def _of_set(image_set: ImageSet, piece: Piece | None) -> Iterator[Item]:
    start, stop = piece[1:] if piece else (0, None)
    return itertools.starmap(
        Item, zip(image_set.keys[start:stop], image_set.images[start:stop], strict=True)
    )


def _finished(
    item: Item, operations: tuple[Operation, ...], image_shape: tuple[int, ...], name: str
) -> Item:
    """The item with the operations applied and its shape checked."""
    if item.image is None:
        return item
    try:
        images = item.image[np.newaxis]
        for operation in operations:
            images = apply_operation(operation, images, name)
    except DataError as error:
        return Item(item.key, None, str(error))
    return with_shape(Item(item.key, images[0]), image_shape)


def _ranges(files: tuple[str, ...], count: int, size: int) -> Iterator[Piece]:
    return (Piece(files, start, min(start + size, count)) for start in range(0, count, size))


def _folder(path: str, piece: Piece | None) -> Iterator[Item]:
    root = Path(path).expanduser()
    for file in piece.files if piece else folder.list_images(path):
        try:
            yield Item(file, folder.decode_file(root / file))
        except DataError as error:
            yield Item(file, None, str(error).removeprefix(f"{root / file}: "))


def _npz(path: str, piece: Piece | None) -> Iterator[Item]:
    """Reads the archive's members a row at a time; `np.load` would hold a whole array."""
    with _archive(path) as archive:
        for name in piece.files if piece else _array_names(archive, path):
            with archive.open(f"{name}.npy") as member:
                yield from _rows(member, name, path, *(piece[1:] if piece else ()))


def _npz_pieces(path: str) -> Iterator[Piece]:
    with _archive(path) as archive:
        for name in _array_names(archive, path):
            with archive.open(f"{name}.npy") as member:
                count = _array_shape(member, name, path)[0]
            size = max(_NUM_IMAGES, -(-count // _MOST_PIECES_OF_AN_ARRAY))
            yield from _ranges((name,), count, size)


@contextlib.contextmanager
def _archive(path: str) -> Iterator[zipfile.ZipFile]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"npz:{path}: no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"npz:{path}: cannot be read: {error}") from error


def _array_names(archive: zipfile.ZipFile, path: str) -> list[str]:
    found = [name for name in _ARRAYS if f"{name}.npy" in archive.namelist()]
    if not found:
        raise DataError(f"npz:{path}: holds none of the arrays {', '.join(_ARRAYS)}")
    return found


def _array_shape(member: IO[bytes], name: str, path: str) -> tuple[int, ...]:
    """[N, H, W, C] of the array whose header the member begins with."""
    version = np.lib.format.read_magic(member)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = read_header[version](member)
    if dtype != np.uint8 or len(shape) not in (3, 4) or fortran:
        raise DataError(
            f"npz:{path}: '{name}' must be uint8 [N, H, W, C] or [N, H, W], got {dtype} {list(shape)}"
        )
    return shape if len(shape) == 4 else (*shape, 1)


def _rows(
    member: IO[bytes], name: str, path: str, start: int = 0, stop: int | None = None
) -> Iterator[Item]:
    count, *row_shape = _array_shape(member, name, path)
    size = int(np.prod(row_shape))
    beginning = member.tell() + start * size
    if member.seek(beginning) < beginning:  # the archive ends in an earlier piece, which says so
        return
    for index in range(start, count if stop is None else stop):
        row = member.read(size)
        if len(row) < size:
            yield Item(f"{name}:{index}", None, "the archive ends before it")
            return
        yield Item(f"{name}:{index}", np.frombuffer(row, np.uint8).reshape(row_shape))


def _record_files(pattern: str) -> list[str]:
    files = sorted(glob.glob(os.path.expanduser(pattern)))
    if not files:
        raise DataError(f"tfrecord:{pattern}: no such file")
    return files


def _tfrecord(pattern: str, piece: Piece | None) -> Iterator[Item]:
    for file in piece.files if piece else _record_files(pattern):
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


def _example(record: bytes, place: str) -> Item:
    try:
        features = tf.train.Example.FromString(record).features.feature
    except message.DecodeError:
        return Item(place, None, "is no tf.train.Example with a feature 'image'")
    key = os.fsdecode(_first(features, "key", "id")) or place
    encoded = _first(features, "image", "image/encoded")
    if not encoded:
        return Item(key, None, "has no feature 'image' with an encoded picture")
    return decode(key, encoded)


def _first(features: Mapping[str, tf.train.Feature], *names: str) -> bytes:
    """The first bytes of the first of these features that has any, or none."""
    values = (features[name].bytes_list.value for name in names if name in features)
    return next((value[0] for value in values if value and value[0]), b"")


def _tfds(name: str, piece: Piece | None, data_dir: str | os.PathLike | None, split: str) -> Iterator[Item]:
    start, stop = piece[1:] if piece else (0, None)
    return itertools.starmap(Item, tfds.stream_tfds(name, split, _tfds_options(data_dir), start, stop))


def _tfds_options(data_dir: str | os.PathLike | None) -> tfds.TfdsOptions:
    return tfds.TfdsOptions("" if data_dir is None else os.fspath(data_dir))


_OPEN = {"folder": _folder, "npz": _npz, "tfrecord": _tfrecord}
