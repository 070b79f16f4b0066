"""Strategies of archives whose checksums are right, so that what is inside is read."""

import io
import struct
import zipfile
import zlib

import numpy as np
from hypothesis import strategies as st

from tests.fuzz import damage

_METHODS = st.sampled_from(
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
)
_KEYS = st.sampled_from(
    ["test", "train", "images", "x_test", "val", "labels", "test_labels", "test_images", "a"]
)
_SHAPES = st.one_of(
    st.sampled_from([(3, 6, 5), (3, 6, 5, 1), (3, 6, 5, 3), (3, 30), (3,), (), (3, 1)]),
    st.lists(st.one_of(st.integers(0, 9), damage.NUMBERS), max_size=5).map(tuple),
)
_KINDS = st.sampled_from(
    ["|u1", "|u1", "|u1", "<i8", "<f4", "|O", "<U3", "<U0", "|b1", "<c8", "|V0", "[('a','<f4')]", "x"]
)
_CONTENTS = st.sampled_from([b"", b"x" * 7, bytes(range(90)), bytes(270), b"\x80\x04\x95" + b"." * 90])


@st.composite
def _array_file(draw):
    """A .npy file with a header that may be a lie."""
    header = {
        "descr": draw(_KINDS),
        "fortran_order": draw(st.sampled_from([False, False, True, 1, None])),
        "shape": draw(_SHAPES),
    }
    text = repr(header).encode() + b"\n"
    if draw(st.integers(0, 5)) == 0:
        text = draw(damage.damaged([text]))
    version = draw(st.sampled_from([1, 1, 1, 2, 3, 4, 255]))
    length = struct.pack("<H" if version == 1 else "<I", len(text) % 65536)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + draw(_CONTENTS)


@st.composite
def _packed(draw):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", draw(_METHODS)) as archive:
        for key in draw(st.lists(_KEYS, min_size=1, max_size=3, unique=True)):
            archive.writestr(
                key + draw(st.sampled_from([".npy", ".npy", ".npy", "", ".txt"])), draw(_array_file())
            )
    return buffer.getvalue()


def _sound():
    found = []
    images = np.arange(90, dtype=np.uint8).reshape(3, 6, 5, 1)
    for write in (np.savez, np.savez_compressed):
        for arrays in (
            {"test": images, "train": images},
            {"images": np.asfortranarray(np.tile(images, (4, 1, 1, 1)))},
        ):
            buffer = io.BytesIO()
            write(buffer, **arrays)
            found.append(buffer.getvalue())
    return found


def cases():
    """Archives of images: made with lies in their headers, or sound ones that were damaged."""
    return st.one_of(_packed(), damage.damaged(_sound()))


@st.composite
def of_arrays(draw, arrays):
    """The arrays as an archive, some of them with other values, types or shapes, or not there."""
    changed = dict(arrays)
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), max_size=2)):
        kind = draw(st.integers(0, 4))
        if kind == 0:
            changed.pop(name, None)
        elif kind == 1:
            changed[name] = np.asarray(arrays[name]).astype(
                draw(st.sampled_from(["i4", "f4", "f8", "U9", "c8", "?"]))
            )
        elif kind == 2:
            changed[name] = np.full_like(arrays[name], draw(damage.FLOATS))
        else:
            shape = draw(st.lists(st.integers(0, 4), max_size=3))
            changed[name] = np.full(shape, draw(damage.FLOATS), np.asarray(arrays[name]).dtype)
    buffer = io.BytesIO()
    np.savez(buffer, **changed)
    return buffer.getvalue()


def with_checksums(content, wanted):
    """A PNG's bytes with the checksums of its chunks made right, if wanted: its reader goes on then."""
    if not wanted or not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    content, place = bytearray(content), 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        end = place + 8 + length
        if end + 4 > len(content):
            break
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return bytes(content)
