"""The records of one file of TFRecords, and what is wrong with it.

A record is its length (8 bytes), a checksum of that (4), the data, a checksum of those (4); see
https://www.tensorflow.org/tutorials/load_data/tfrecord. TensorFlow verifies the checksums, but takes a file
that ends within a record's first 12 bytes for one that ends before it, and makes room for whatever length
it is told. So the lengths are followed through the file first.
"""

import glob
import os
from collections.abc import Iterator

from tfp_flows.data.errors import DataError
from tfp_flows.data.files import check_regular

DAMAGED = "the file is damaged from here on"
_LENGTH, _HEADER, _FRAME = 8, 12, 16  # bytes
# What a record without data begins with. Zeros, as a crash leaves them, are no such records.
_HEADER_OF_NONE = bytes(_LENGTH) + b"\x29\x03\x98\x07"


def files_of(pattern: str) -> list[str]:
    """The files of TFRecords that a pattern stands for, sorted. Raises `DataError` if there are none."""
    path = os.path.expanduser(pattern)
    files = [path] if os.path.lexists(path) else sorted(glob.glob(path))
    if not files:
        raise DataError(f"tfrecord:{pattern}: no such file")
    return files


def records_of(pattern: str) -> Iterator[tuple[bytes | None, str, str]]:
    """(record, place, error) of each record of TFRecords; a record is None where the file is damaged.

    Raises:
      DataError: If there is no such file.
    """
    for file in files_of(pattern):
        index = 0
        try:
            for record in read_records(file):
                yield record, f"{file}:{index}", ""
                index += 1
        except DataError as error:
            yield None, f"{file}:{index}", str(error)


def read_records(file: str) -> Iterator[bytes]:
    """The records of a file, as far as they are whole.

    Args:
      file: Its path.

    Yields:
      The data of each record.

    Raises:
      DataError: Where the file is damaged, behind the last record before that; if it is none, is empty, or
        cannot be read. The message is the reason alone.
    """
    count, is_whole = _framed(file)
    import tensorflow as tf  # here, so that a missing file is told at once

    records = tf.data.TFRecordDataset(os.fsencode(file)).take(count)
    try:
        yield from records.as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise DataError(DAMAGED) from error
    except tf.errors.OpError as error:
        raise DataError(f"cannot be read: {str(error.message).splitlines()[0]}") from error
    if not is_whole:
        raise DataError(DAMAGED)


def count_records(file: str) -> int:
    """The number of whole records of a file, and one more where it is damaged or is none."""
    try:
        count, is_whole = _framed(file)
    except DataError:
        return 1
    return count if is_whole else count + 1


def _framed(file: str) -> tuple[int, bool]:
    """The number of records whose lengths fit into the file, and whether they are all there is."""
    check_regular(file)
    try:
        with open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if not size:
                raise DataError("the file is empty")
            count = position = 0
            while position < size:
                header = stream.read(_HEADER)
                length = int.from_bytes(header[:_LENGTH], "little")
                end = position + _FRAME + length
                if end > size or (not length and header != _HEADER_OF_NONE):
                    break
                count, position = count + 1, end
                stream.seek(position)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error
    return count, position == size
