"""Images one after the other, in bounded memory: for scoring more than fits into it.

- `folder:PATH`: every picture below the folder, in the order of their paths; the key is the path.
- `npz:PATH`: every array of images of the archive; the key is "ARRAY:INDEX".
- `tfrecord:GLOB`: `tf.train.Example`s whose feature `image` (or `image/encoded`) is an encoded picture; the
  key is their feature `key` (or `id`), or else "FILE:INDEX".
- `tfds:NAME` or NAME: one split of a TFDS set in `data_dir`; the key is the set's `id`, or else TFDS's own.
- `photos`, `digits`, `constant`, `constant=128`, `noise`: one split, as `tfp_flows.data.load` has it.

Operations that treat each image alone may follow, as in `tfp_flows.data.operations`:
`folder:PATH@resize=28@luminance`. Where none do, those of a `Preparation` are applied, if there is one.
Pictures are decoded as `tfp_flows.data.load` decodes them.

`pieces` cuts a stream into pieces that can be read side by side; together they hold the same items.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from google.protobuf import message

from tfp_flows.data import embedded, folder, listing, synthetic, tfds
from tfp_flows.data.archive_rows import ArchiveRows, Unreadable, open_rows
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import SPLITS, ImageSet
from tfp_flows.data.meant import meant
from tfp_flows.data.names import SYNTHETIC_KINDS, Source, parse_name, takes_operations
from tfp_flows.data.operations import Operation
from tfp_flows.data.preparation import Preparation, decoded
from tfp_flows.data.reading import others_text
from tfp_flows.data.records import files_of, read_records
from tfp_flows.data.splits import divide

if TYPE_CHECKING:
    import tensorflow as tf

_NUM_FILES = 64  # a piece of a folder
_NUM_IMAGES = 1024  # a piece of an array or a split, at least
_DIGEST = 16  # bytes of a record's digest
_MOST_PIECES_OF_AN_ARRAY = 64  # each is read from the array's beginning: an archive has no index


class Item(NamedTuple):
    """One image of a stream.

    Attributes:
      key: Identifies it within the stream.
      image: uint8 `[H, W, C]`, or None where it cannot be had.
      error: Why not, in one line, or "".
      record: Digest of the record that it came in, where that came from a file of records.
    """

    key: str
    image: np.ndarray | None
    error: str = ""
    record: str = ""

    @property
    def identity(self) -> str:
        """Text that is this item's, whatever is added, removed or renamed around it.

        That of a record is its contents: files of records may be renamed, and keys be in several of them.
        """
        return self.record or self.key


# Function of an item's `identity`: whether to leave the item out. It is asked once for each item, in order.
Skip = Callable[[str], bool]


def _none(identity: str) -> bool:
    return False


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
    skip: Skip = _none,
    piece: Piece | None = None,
    preparation: Preparation | None = None,
) -> Iterator[Item]:
    """The images of a source, always in the same order.

    An image that cannot be read, or has another shape, is an item with an `error`; the stream goes on. So
    it does behind a file of records that is damaged, is empty or is none, and behind an array without
    images: each is an item with an `error`. Of a folder it is one too what a name says to be a picture, and
    what has no suffix, and is none; other files are left alone (`left_alone`).

    Args:
      name: The source, as above.
      image_shape: (H, W, C) that every image must have.
      data_dir: Folder of TFDS sets.
      split: Of a source that has splits by name.
      skip: Items to leave out; they are not decoded.
      piece: One of `pieces`, or None for the whole stream.
      preparation: How pictures become what a model takes, for a name without operations of its own.

    Yields:
      `Item`.

    Raises:
      DataError: If there is no such source at all.
    """
    height, width, channels = image_shape
    source, own = _parse(name)
    chain = Preparation(own, (height, width, channels))
    if preparation is not None and takes_operations(name):
        chain = dataclasses.replace(preparation, image_shape=chain.image_shape)
    chain.check_means()
    with meant(source, name):
        if source.kind == "tfds":
            items = _tfds(source.argument, piece, skip, data_dir, split)
        elif source.kind in _OPEN:
            items = _OPEN[source.kind](source.argument, piece, skip, chain.operations)
        else:
            items = _of_set(_made_here(source, split, chain.image_shape), piece, skip)
        for item in items:
            yield finished(item, chain)


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
        files = pictures_of(argument)
        yield from (Piece(tuple(files[i : i + _NUM_FILES])) for i in range(0, len(files), _NUM_FILES))
    elif kind == "tfrecord":
        yield from (Piece((file,)) for file in files_of(argument))
    elif kind == "npz":
        yield from _npz_pieces(argument)
    elif kind != "tfds":
        yield Piece()
    else:
        options = _tfds_options(data_dir)
        with meant(source, name):
            count = tfds.count_if_one_file(argument, split, options)
        yield from [Piece()] if count is None else _ranges((), count, _NUM_IMAGES)


def contents(source: Source) -> str:
    """Checksums of an archive's arrays, whose images have no keys of their own; "" of other sources.

    Raises:
      DataError: If there is no such archive.
    """
    if source.kind != "npz":
        return ""
    with open_rows(source.argument) as archive:
        return "".join(f" {array}={checksum:08x}" for array, checksum in archive.checksums.items())


def left_alone(name: str) -> str:
    """Says how many files of a folder are no pictures; "" where there are none, and of other sources.

    Raises:
      DataError: If there is no such folder.
    """
    source, _ = _parse(name)
    return others_text(listing.list_folder(source.argument).others) if source.kind == "folder" else ""


def decode(key: str, encoded: bytes, operations: Sequence[Operation] = ()) -> Item:
    """The `Item` of an encoded picture, before its operations."""
    try:
        return Item(key, decoded(encoded, operations))
    except DataError as error:
        return Item(key, None, str(error))


def with_shape(item: Item, image_shape: tuple[int, ...]) -> Item:
    """The item, or one with an `error` in its place if its image has another shape or dtype."""
    if item.image is None or (item.image.shape == image_shape and item.image.dtype == np.uint8):
        return item
    if item.image.dtype != np.uint8:
        return item._replace(image=None, error=f"is {item.image.dtype}, but uint8 is wanted")
    had, wanted = ("x".join(map(str, shape)) for shape in (item.image.shape, image_shape))
    return item._replace(image=None, error=f"is {had}, but {wanted} is wanted")


def decode_record(record: bytes | None, place: str, error: str, operations: Sequence[Operation]) -> Item:
    """The `Item` of a record, before its operations; its key is its place where it has none."""
    return Item(place, None, error) if record is None else _example(record, place, operations)


def _parse(name: str) -> tuple[Source, tuple[Operation, ...]]:
    """The source and the operations."""
    source, operations = parse_name(name)
    if any(operation.kind == "contrast" for operation in operations):
        raise DataError(
            f"'{name}': @contrast needs the mean of a training set; scoring treats each image alone"
        )
    return source, operations


def check_split(source: Source, split: str) -> None:
    """Raises `DataError` where a set that needs no files has no such split."""
    if split not in SPLITS:
        raise DataError(f"{source.text}: has no split '{split}': choose from {', '.join(SPLITS)}")
    if source.kind in SYNTHETIC_KINDS and split != "test":
        raise DataError(f"{source.text}: has only a test split, no {split} split")


def _made_here(source: Source, split: str, image_shape: tuple[int, int, int]) -> ImageSet:
    """A split of a set that needs no files."""
    check_split(source, split)
    if source.kind in embedded.OWN_SPLITS:
        return embedded.own_split(source.kind, split)
    if source.kind == "digits":
        whole = embedded.digit_images("test" if split == "test" else "train")
        if split == "test":
            return whole
        return whole.select(divide(whole.keys, ("validation", "calibration"), source.text)[split], split)
    if source.kind == "noise":
        return synthetic.noise_images(image_shape)
    return synthetic.constant_images(source.argument, image_shape)


def _of_set(image_set: ImageSet, piece: Piece | None, skip: Skip) -> Iterator[Item]:
    start, stop = piece[1:] if piece else (0, None)
    for key, image in zip(image_set.keys[start:stop], image_set.images[start:stop], strict=True):
        if not skip(key):
            yield Item(key, image)


def finished(item: Item, chain: Preparation) -> Item:
    """The item with the operations applied and its shape checked."""
    if item.image is None:
        return item
    if item.image.dtype != np.uint8:
        return with_shape(item, chain.image_shape)
    try:
        return item._replace(image=chain.finished(item.image))
    except DataError as error:
        return item._replace(image=None, error=str(error))


def _ranges(files: tuple[str, ...], count: int, size: int) -> Iterator[Piece]:
    return (Piece(files, start, min(start + size, count)) for start in range(0, count, size))


def _folder(path: str, piece: Piece | None, skip: Skip, operations: Sequence[Operation]) -> Iterator[Item]:
    root = listing.root_of(path)
    for file in piece.files if piece else pictures_of(path):
        if not skip(file):
            yield _read_file(os.path.join(root, file), file, operations)


def pictures_of(path: str) -> list[str]:
    """The pictures of a folder, and what would be one but cannot be had."""
    found = listing.list_folder(path)
    files = sorted([*found.images, *found.unknown, *(file for file, _ in found.skipped)])
    return files or list(folder.with_images(path, found).images)


def _read_file(path: str, key: str, operations: Sequence[Operation]) -> Item:
    why_not = listing.why_not_there(path)
    if why_not:
        return Item(key, None, why_not)
    try:
        return Item(key, decoded(path, operations))
    except DataError as error:
        return Item(key, None, str(error))


def _npz(path: str, piece: Piece | None, skip: Skip, operations: Sequence[Operation]) -> Iterator[Item]:
    del operations  # an archive's arrays are decoded
    with open_rows(path) as archive:
        for name in piece.files if piece else archive.shapes:
            start, stop = piece[1:] if piece else (0, None)
            yield from _array(archive, name, start, stop, skip)


def _array(archive: ArchiveRows, name: str, start: int, stop: int | None, skip: Skip) -> Iterator[Item]:
    fault = archive.fault(name)
    if fault:
        if not skip(f"{name}:0"):
            yield Item(f"{name}:0", None, fault)
        return
    index = start
    try:
        for row in archive.rows(name, start, archive.shapes[name][0] if stop is None else stop):
            if not skip(f"{name}:{index}"):
                yield Item(f"{name}:{index}", row)
            index += 1
    except Unreadable as error:
        if not skip(f"{name}:{index}"):
            yield Item(f"{name}:{index}", None, str(error))


def _npz_pieces(path: str) -> Iterator[Piece]:
    with open_rows(path) as archive:
        for name, shape in archive.shapes.items():
            if archive.fault(name):
                yield Piece((name,))
            else:
                size = max(_NUM_IMAGES, -(-shape[0] // _MOST_PIECES_OF_AN_ARRAY))
                yield from _ranges((name,), shape[0], size)


def _tfrecord(
    pattern: str, piece: Piece | None, skip: Skip, operations: Sequence[Operation]
) -> Iterator[Item]:
    for file in piece.files if piece else files_of(pattern):
        index = 0
        try:
            for record in read_records(file):
                digest = hashlib.blake2b(record, digest_size=_DIGEST).hexdigest()
                if not skip(digest):
                    yield _example(record, f"{file}:{index}", operations)._replace(record=digest)
                index += 1
        except DataError as error:
            if not skip(f"{file}:{index}"):
                yield Item(f"{file}:{index}", None, str(error))


def _example(record: bytes, place: str, operations: Sequence[Operation]) -> Item:
    import tensorflow as tf  # here, so that what cannot be scored is told at once

    try:
        features = tf.train.Example.FromString(record).features.feature
    except message.DecodeError:
        return Item(place, None, "is no tf.train.Example with a feature 'image'")
    key = os.fsdecode(_first(features, "key", "id")) or place
    encoded = _first(features, "image", "image/encoded")
    if not encoded:
        return Item(key, None, "has no feature 'image' with an encoded picture")
    return decode(key, encoded, operations)


def _first(features: Mapping[str, "tf.train.Feature"], *names: str) -> bytes:
    """The first bytes of the first of these features that has any, or none."""
    values = (features[name].bytes_list.value for name in names if name in features)
    return next((value[0] for value in values if value and value[0]), b"")


def _tfds(
    name: str, piece: Piece | None, skip: Skip, data_dir: str | os.PathLike | None, split: str
) -> Iterator[Item]:
    start, stop = piece[1:] if piece else (0, None)
    index = start
    try:
        for key, image in tfds.stream_tfds(name, split, _tfds_options(data_dir), start, stop):
            if not skip(key):
                yield Item(key, image)
            index += 1
    except DataError as error:
        if index == start:
            raise  # there is no such set, or no image of it can be read
        if not skip(f"{split}:{index}"):
            yield Item(f"{split}:{index}", None, str(error).splitlines()[0])


def _tfds_options(data_dir: str | os.PathLike | None) -> tfds.TfdsOptions:
    return tfds.TfdsOptions("" if data_dir is None else os.fspath(data_dir))


_OPEN = {"folder": _folder, "npz": _npz, "tfrecord": _tfrecord}
