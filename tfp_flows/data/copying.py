"""Sources that are too large for memory, in copies on the disk.

What decides is what the whole source would take in memory, decoded: all its splits, before or after the
operations that treat each image alone, whichever is more. Those operations are applied on the way.
"""

import functools
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tqdm

from tfp_flows.data.decoded_copy import Rows, decoded_copy
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source
from tfp_flows.data.one_by_one import Decoded, OneByOne, of_source, parts_of
from tfp_flows.data.operations import Operation, apply_operation
from tfp_flows.data.storage import Copying, Storage
from tfp_flows.data.stored import Array, Stored, chunks
from tfp_flows.data.tfds import TfdsOptions

_NUM_CACHED = 64
_CHUNK_BYTES, _CHUNK_IMAGES = 2**22, 1024  # of decoded pictures at once


@functools.lru_cache(maxsize=_NUM_CACHED)
def num_bytes(
    source: Source, operations: tuple[Operation, ...], options: TfdsOptions, fingerprint: str
) -> int:
    """What all images of a source would take in memory, decoded; 0 of one that needs no files.

    The fingerprint is for the cache's key alone.

    Raises:
      DataError: If there is no such source, or its first image cannot be decoded.
    """
    del fingerprint
    parts = (of_source(source, part, options) for part in parts_of(source))
    return sum(_num_bytes(part, operations, source.text) for part in parts)


def read_copy(source: Source, part: str, split: str, options: TfdsOptions, copying: Copying) -> ImageSet:
    """One of `one_by_one.parts_of`, from its copy on the disk, which is made if it is not there.

    Args:
      source: The source.
      part: Which of its parts.
      split: What the set is called.
      options: Where TFDS looks.
      copying: What is copied where.

    Returns:
      The images, with the operations applied to them, as `Stored`; in the order of the source.

    Raises:
      DataError: If an image cannot be had or differs in shape, or the disk has no room.
    """
    images = of_source(source, part, options)
    is_path = source.kind != "tfds"
    what = {
        "kind": source.kind,
        "source": os.path.realpath(os.path.expanduser(source.argument)) if is_path else source.argument,
        "part": part,
        "operations": copying.text,
        "files": copying.fingerprint + images.files,
    }
    size = _num_bytes(images, copying.operations, source.text)

    def rows() -> Iterator[Rows]:
        return _rows(images, copying.operations, source.text)

    copy = decoded_copy(what, source.text, size, rows, copying.storage)
    return ImageSet(source.text, split, Stored([copy.images]), copy.labels, copy.keys)


def derived_copy(
    images: Array, operations: Sequence[tuple[Operation, np.ndarray | None]], name: str, storage: Storage
) -> Stored:
    """What operations make of images, in chunks, from its copy on the disk.

    Args:
      images: uint8 `[N, H, W, C]`.
      operations: Each with its means, or None.
      name: The set.
      storage: Where copies lie.

    Raises:
      DataError: As `apply_operation`, or if the disk has no room.
    """

    def applied(chunk: np.ndarray) -> np.ndarray:
        for operation, means in operations:
            chunk = apply_operation(operation, chunk, name, means)
        return chunk

    def rows() -> Iterator[Rows]:
        return (Rows([], applied(chunk)) for chunk in chunks(images, min(_CHUNK_BYTES, step)))

    digest = hashlib.sha256(str(list(images.shape)).encode())
    for chunk in chunks(images):
        digest.update(np.ascontiguousarray(chunk).data)
    texts = [f"{op} {None if means is None else means.tolist()}" for op, means in operations]
    what = {"kind": "derived", "source": name, "of": digest.hexdigest(), "operations": "\n".join(texts)}
    one = applied(images[:1])
    step = max(1, _CHUNK_BYTES // one.size) * images[:1].size  # of which no more than a chunk is made
    return Stored([decoded_copy(what, name, len(images) * one.size, rows, storage).images])


def _num_bytes(images: OneByOne, operations: Sequence[Operation], name: str) -> int:
    """At most, of all images, decoded or prepared."""
    first = images.first()
    if first is None:
        return 0
    prepared = _prepared([first.image], operations, name)[0]
    return images.count * max(math.prod(first.image.shape), math.prod(prepared.shape))


def _rows(pictures: OneByOne, operations: Sequence[Operation], name: str) -> Iterator[Rows]:
    """The images, prepared, in chunks."""
    first: Decoded | None = None
    shape: tuple[int, ...] = ()
    with tqdm.tqdm(total=pictures.count, unit="image", desc=f"decoding {name}", disable=None) as bar:
        for some in _chunked(pictures):
            images = _prepared([each.image for each in some], operations, name)
            first, shape = first or some[0], shape or images[0].shape
            for each, image in zip(some, images, strict=True):
                if image.shape != shape:
                    had, wanted = ("x".join(map(str, found)) for found in (image.shape, shape))
                    raise DataError(
                        f"{name}: {each.key} has shape {had}, but {first.key} has {wanted}: all images must "
                        f"have the same shape"
                    )
            labels = [each.label for each in some if each.label is not None]
            yield Rows([each.key for each in some], np.stack(images), labels or None)
            bar.update(len(some))


def _chunked(decoded: Iterable[Decoded]) -> Iterator[list[Decoded]]:
    some: list[Decoded] = []
    held = 0
    for each in decoded:
        some.append(each)
        held += each.image.size
        if held >= _CHUNK_BYTES or len(some) >= _CHUNK_IMAGES:
            yield some
            some, held = [], 0
    if some:
        yield some


def _prepared(images: list[np.ndarray], operations: Sequence[Operation], name: str) -> Sequence[np.ndarray]:
    """Together where their shapes are equal, which is faster; else one by one."""
    if not operations:
        return images
    together = len({image.shape for image in images}) == 1
    batches = [np.stack(images)] if together else [image[np.newaxis] for image in images]
    for operation in operations:
        batches = [apply_operation(operation, batch, name) for batch in batches]
    return [image for batch in batches for image in batch]
