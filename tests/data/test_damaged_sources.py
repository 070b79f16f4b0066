"""Files that are cut, empty, or no files: each is an item with an error, and none is waited for."""

import io
import os
import re
import shutil
import socket
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows.data import DataError, records, streams

SHAPE = (4, 4, 1)


def _image(number):
    return np.random.default_rng(number).integers(0, 256, SHAPE).astype(np.uint8)


def _example(number):
    value = tf.io.encode_png(_image(number)).numpy()
    feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The bytes of a file of three records, and where each begins and ends."""
    path = tmp_path_factory.mktemp("records") / "three.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(3):
            writer.write(_example(number))
    ends = np.cumsum([0, *(len(_example(number)) + 16 for number in range(3))]).tolist()
    return path.read_bytes(), ends


def _good(items):
    return [item for item in items if item.image is not None]


def _check(tmp_path, content, count):
    """`count` records are whole, one error names the file and the record, and the next file is read."""
    (tmp_path / "a.tfrecord").write_bytes(content)
    with tf.io.TFRecordWriter(str(tmp_path / "b.tfrecord")) as writer:
        writer.write(_example(7))
    items = list(streams.stream(f"tfrecord:{tmp_path}/*.tfrecord", SHAPE))
    bad = [item for item in items if item.image is None]
    assert [item.key for item in bad] == [f"{tmp_path}/a.tfrecord:{count}"]
    assert re.search("the file is (damaged from here on|empty)", bad[0].error)
    found = [item.image for item in _good(items)]
    np.testing.assert_array_equal(found, [_image(n) for n in [*range(count), 7]])


@pytest.mark.parametrize("record", [0, 1, 2])
@pytest.mark.parametrize("length", [*range(1, 13), 15, 50, -5, -4, -1])
def test_a_file_of_records_that_is_cut(tmp_path, three, record, length):
    content, ends = three
    _check(tmp_path, content[: ends[record if length > 0 else record + 1] + length], record)


def test_a_file_of_records_without_any(tmp_path):
    _check(tmp_path, b"", 0)


@pytest.mark.parametrize("record", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 7, 8, 11, 12, 40, -4, -1])
def test_a_bit_that_is_flipped(tmp_path, three, record, place):
    content, ends = three
    flipped = bytearray(content)
    flipped[ends[record if place >= 0 else record + 1] + place] ^= 1
    _check(tmp_path, bytes(flipped), record)


@pytest.mark.parametrize("count", [1, 11, 12, 16, 160, 100_000])
def test_zeros_at_the_end(tmp_path, three, count):
    _check(tmp_path, three[0] + bytes(count), 3)
    content, ends = three
    _check(tmp_path, content[: ends[2]] + bytes(len(content) - ends[2]), 2)


def test_a_length_that_no_memory_holds_is_not_believed(tmp_path, three):
    """With the right checksum of it, so that TensorFlow would make room."""
    length = (1 << 62).to_bytes(8, "little")
    _check(tmp_path, three[0] + length + _masked_crc(length) + bytes(100), 3)


def _masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def test_records_without_data_are_records(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for _ in range(3):
            writer.write(b"")
    assert list(records.read_records(str(tmp_path / "a"))) == [b""] * 3
    assert records._HEADER_OF_NONE == bytes(8) + _masked_crc(bytes(8))


def _special(path, kind):
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as bound:
            here = os.getcwd()
            os.chdir(path.parent)  # such names are short
            try:
                bound.bind(path.name)
            finally:
                os.chdir(here)
    elif kind == "No such file":
        path.symlink_to(path.parent / "nowhere")
    else:
        path.symlink_to(path)


KINDS = ["a FIFO", "a directory", "a device", "a socket", "No such file", "symbolic links"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    _special(tmp_path / "a.tfrecord", kind)
    with tf.io.TFRecordWriter(str(tmp_path / "b.tfrecord")) as writer:
        writer.write(_example(7))
    bad, good = streams.stream(f"tfrecord:{tmp_path}/*.tfrecord", SHAPE)
    assert bad.key == f"{tmp_path}/a.tfrecord:0" and kind in bad.error and good.image is not None
    (alone,) = streams.stream(f"tfrecord:{tmp_path}/a.tfrecord", SHAPE)
    assert alone.error == bad.error
    _special(tmp_path / "a.npz", kind)
    with pytest.raises(DataError, match=f"npz:.*a.npz: .*{kind}") as error:
        list(streams.stream(f"npz:{tmp_path}/a.npz", SHAPE))
    assert "\n" not in str(error.value)
    _special(tmp_path / "a.png", kind)
    piece = streams.Piece(("a.png",))
    (item,) = streams.stream(f"folder:{tmp_path}", SHAPE, piece=piece)
    assert item.image is None and kind in item.error


def test_a_tfds_set_that_is_cut_ends_in_an_error(tmp_path, shared_images):
    shutil.copytree(os.path.join(shared_images, "mnist"), tmp_path / "mnist")
    (file,) = tmp_path.glob("mnist/*/mnist-test.tfrecord-*")
    os.truncate(file, file.stat().st_size - 5)
    items = list(streams.stream("mnist@resize=4", SHAPE, data_dir=tmp_path))
    *good, bad = items
    assert all(item.image is not None for item in good) and len(good) == 9999
    assert bad.key == f"test:{len(good)}" and "cannot be read" in bad.error and "\n" not in bad.error
    os.truncate(file, 5)
    with pytest.raises(DataError, match="cannot be read"):
        list(streams.stream("mnist@resize=4", SHAPE, data_dir=tmp_path))


def test_a_name_with_brackets_is_the_file_of_that_name(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a[1]*.tfrecord")) as writer:
        writer.write(_example(7))
    (item,) = streams.stream(f"tfrecord:{tmp_path}/a[1]*.tfrecord", SHAPE)
    assert item.key == f"{tmp_path}/a[1]*.tfrecord:0" and item.image is not None


def test_a_file_name_that_is_not_utf_8_is_read(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"\xff\n.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(_example(7))
    (item,) = streams.stream(f"tfrecord:{tmp_path}/*.tfrecord", SHAPE)
    assert item.image is not None and os.fsencode(item.key) == path + b":0"


def _npy(shape, data=b"", version=1, descr="|u1", order="False"):
    header = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    text = header.encode().ljust(117) + b"\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + len(text).to_bytes(2 if version == 1 else 4, "little")
        + text
        + data
    )


def _archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


SHAPES = [
    "(0, 4, 4, 1)",
    "(-6, 4, 4, 1)",
    "(2, 0, 4, 1)",
    "(2, 4, -4, 1)",
    "(1000000000000, 0, 4, 1)",
    "(0, 4, 4)",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_without_images_is_an_error_in_words(tmp_path, shape):
    _archive(tmp_path / "a.npz", test=_npy(shape), train=_npy("(1, 4, 4, 1)", _image(7).tobytes()))
    name = f"npz:{tmp_path / 'a.npz'}"
    bad, good = streams.stream(name, SHAPE)
    assert bad.key == "test:0" and "there is no image in it" in bad.error
    np.testing.assert_array_equal(good.image, _image(7))
    items = [item for piece in streams.pieces(name) for item in streams.stream(name, SHAPE, piece=piece)]
    assert [(item.key, item.error) for item in items] == [(bad.key, bad.error), ("train:0", "")]


@pytest.mark.parametrize("shape", ["(3, 100000, 100000, 3)", "(1000000000000, 100000, 100000, 3)"])
def test_images_that_no_memory_holds_are_one_error(tmp_path, shape):
    _archive(tmp_path / "a.npz", test=_npy(shape, bytes(1000)))
    (item,) = streams.stream(f"npz:{tmp_path / 'a.npz'}", SHAPE)
    assert item.key == "test:0" and "images of" in item.error


def test_an_archive_that_is_shorter_than_it_says(tmp_path):
    _archive(tmp_path / "a.npz", test=_npy("(1000000000000, 4, 4, 1)", bytes(40)))
    items = list(streams.stream(f"npz:{tmp_path / 'a.npz'}", SHAPE))
    assert [item.error for item in items] == ["", "", "the archive ends before it"]


def test_an_archive_whose_bytes_are_damaged(tmp_path):
    path = tmp_path / "a.npz"
    noise = np.random.default_rng(0).integers(0, 256, 16 * 5000).astype(np.uint8).tobytes()
    _archive(path, test=_npy("(5000, 4, 4, 1)", noise), train=_npy("(1, 4, 4, 1)", bytes(16)))
    content = bytearray(path.read_bytes())
    content[40_000:40_100] = b"\xff" * 100
    path.write_bytes(content)
    items = list(streams.stream(f"npz:{path}", SHAPE))
    errors = [item for item in items if item.error]
    assert len(errors) == 1 and "the archive is damaged from here on" in errors[0].error
    assert items[-1].key == "train:0" and items[-1].image is not None
    assert [item.key for item in items[:-1]] == [f"test:{i}" for i in range(len(items) - 1)]


@pytest.mark.parametrize(
    "content, message",
    [
        (_npy("(2, 4, 4, 1)", bytes(32), version=3), "cannot be read"),
        (_npy("(2, 4, 4, 1)", bytes(32), version=9), "cannot be read"),
        (_npy("(2, 4, 4, 1)", bytes(128), descr="<f4"), "'images' must be uint8"),
        (_npy("(2, 4, 4, 1)", bytes(32), order="True"), "order"),
        (_npy("(4,)", bytes(4)), "'images' must be uint8"),
        (_npy("(" * 50 + ")" * 50), "'images' must be uint8"),
        (b"\x93NUMPY\x02\x00" + (100_000).to_bytes(4, "little") + b"(" * 100_000, "cannot be read"),
        (b"no array", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_an_archive_that_holds_something_else_is_one_line(tmp_path, content, message):
    _archive(tmp_path / "a.npz", images=content)
    with pytest.raises(DataError, match=f"npz:.*a.npz: .*{message}") as error:
        list(streams.stream(f"npz:{tmp_path / 'a.npz'}", SHAPE))
    assert "\n" not in str(error.value)


def _encrypted(path):
    _archive(path, images=_npy("(1, 4, 4, 1)", bytes(16)))
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + place] |= 1
    path.write_bytes(content)


def _of_unknown_method(path):
    _archive(path, images=_npy("(1, 4, 4, 1)", bytes(16)))
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.index(signature) + place] = 97
    path.write_bytes(content)


def _damaged_lzma(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", _npy("(1, 4, 4, 1)", bytes(16)))
    content = bytearray(path.read_bytes())
    content[50:60] = b"\xff" * 10
    path.write_bytes(content)


@pytest.mark.parametrize("make", [_encrypted, _of_unknown_method, _damaged_lzma])
def test_an_archive_that_cannot_be_unpacked_is_one_line(tmp_path, make):
    make(tmp_path / "a.npz")
    with pytest.raises(DataError, match="npz:.*a.npz: cannot be read") as error:
        list(streams.stream(f"npz:{tmp_path / 'a.npz'}", SHAPE))
    assert "\n" not in str(error.value)


def test_cut_archives_end_in_items_or_one_line(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, images=np.stack([_image(n) for n in range(5)]))
    for length in range(0, len(whole.getvalue()), 7):
        (tmp_path / "a.npz").write_bytes(whole.getvalue()[:length])
        with pytest.raises(DataError, match="cannot be read"):
            list(streams.stream(f"npz:{tmp_path / 'a.npz'}", SHAPE))
