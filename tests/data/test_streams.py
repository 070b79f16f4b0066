"""Streams of images to be scored: every kind of source, its pieces, and what is wrong with a file."""

import io
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data
from tfp_flows.data import DataError, streams

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test").images


def _keys(name, **settings):
    return [item.key for item in streams.stream(name, SHAPE, **settings)]


def test_streams_of_every_kind_and_their_skip(tmp_path, digits, shared_images, damaged_folder):
    folder = damaged_folder(tmp_path / "images", digits)
    np.savez(tmp_path / "a.npz", test=digits[:3], train=digits[3:5, ..., 0], labels=np.arange(3))
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for i in range(4):
            writer.write(_example(digits[i], f"key{i}" if i < 2 else ""))
        writer.write(b"no example")
    for name in (f"folder:{folder}", f"npz:{tmp_path / 'a.npz'}", f"tfrecord:{tmp_path / '*.tfrecord'}"):
        whole = list(streams.stream(name, SHAPE))
        first = {item.identity for item in whole[:2]}
        assert _keys(name, skip=first.__contains__) == [item.key for item in whole[2:]]
        assert all((item.image is None) == bool(item.error) for item in whole)
    items = list(streams.stream(f"npz:{tmp_path / 'a.npz'}", SHAPE))
    assert [item.key for item in items] == ["test:0", "test:1", "test:2", "train:0", "train:1"]
    np.testing.assert_array_equal([item.image for item in items], digits[:5])
    records = list(streams.stream(f"tfrecord:{tmp_path / 'a.tfrecord'}", SHAPE))
    assert [r.key for r in records[:2]] == ["key0", "key1"] and records[2].key.endswith("a.tfrecord:2")
    np.testing.assert_array_equal([r.image for r in records[:4]], digits[:4])
    assert "no tf.train.Example" in records[4].error
    name = "tfds:mnist@resize=8"
    skipped = iter([True, True, True, False])
    first = next(streams.stream(name, SHAPE, data_dir=shared_images, skip=lambda key: next(skipped)))
    loaded = data.load("mnist@resize=8", "test", data_dir=shared_images)
    np.testing.assert_array_equal(first.image, loaded.images[3])
    assert first.key == loaded.keys[3]


def test_pieces_of_a_stream_hold_its_items(tmp_path, digits, shared_images, monkeypatch, damaged_folder):
    monkeypatch.setattr(streams, "_NUM_FILES", 2)
    monkeypatch.setattr(streams, "_NUM_IMAGES", 2)
    folder = damaged_folder(tmp_path / "images", digits)
    np.savez(tmp_path / "a.npz", test=digits[:5], train=digits[5:7, ..., 0])
    _truncated_archive(tmp_path / "short.npz", digits[:7], 3)
    for i in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"{i}.tfrecord")) as writer:
            for image in digits[4 * i : 4 * i + 4]:
                writer.write(_example(image, ""))
    names = {f"folder:{folder}": 5, f"npz:{tmp_path / 'a.npz'}": 4, f"npz:{tmp_path / 'short.npz'}": 4}
    for name, count in {**names, f"tfrecord:{tmp_path / '*.tfrecord'}": 3}.items():
        _check_pieces_of(name, SHAPE, None, count)
    monkeypatch.setattr(streams, "_NUM_IMAGES", 3000)
    _check_pieces_of("tfds:mnist", (28, 28, 1), shared_images, 4)


def _check_pieces_of(name, shape, data_dir, count):
    whole = list(streams.stream(name, shape, data_dir))
    pieces = list(streams.pieces(name, data_dir))
    assert len(pieces) == count
    items = [item for piece in pieces for item in streams.stream(name, shape, data_dir, piece=piece)]
    assert [(item.key, item.error) for item in items] == [(item.key, item.error) for item in whole]
    for found, item in zip(items, whole, strict=True):
        assert (found.image is None) == (item.image is None)
        assert found.image is None or (found.image == item.image).all()


def _truncated_archive(path, images, count):
    """An array whose header promises all of the images, and which holds `count` of them."""
    text = io.BytesIO()
    np.save(text, images)
    missing = (len(images) - count) * images[0].size
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", text.getvalue()[:-missing])


def _example(image, key):
    png = tf.io.encode_png(image).numpy()
    feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))}
    if key:
        feature["key"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[key.encode()]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def test_damaged_archives_become_errors_and_bad_names_one_line(tmp_path, digits):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for i in range(4):
            writer.write(_example(digits[i], f"key{i}"))
    data_bytes = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "a.tfrecord").write_bytes(data_bytes[:-10])
    items = list(streams.stream(f"tfrecord:{tmp_path / 'a.tfrecord'}", SHAPE))
    assert [item.key for item in items[:3]] == ["key0", "key1", "key2"]
    assert items[3].error == "the file is damaged from here on" and len(items) == 4
    with zipfile.ZipFile(tmp_path / "evil.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00\x10\x00not a header at all")
    for name, message in (
        (f"npz:{tmp_path / 'evil.npz'}", "cannot be read"),
        ("npz:nowhere.npz", "no such file"),
        ("folder:nowhere", "no such folder"),
        ("tfrecord:nowhere*", "no such file"),
        ("tfds:", "'tfds:' names no set: write tfds:NAME"),
        ("tfrecord:", "'tfrecord:' names no file: write tfrecord:GLOB"),
        ("folder:x@contrast=0.5", "@contrast needs the mean of a training set"),
    ):
        with pytest.raises(DataError, match=message) as error:
            list(streams.stream(name, SHAPE))
        assert "\n" not in str(error.value)
