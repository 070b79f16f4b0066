"""Names of sets: one grammar, what a name means, and what a set is called."""

import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data
from tfp_flows.data import DataError, Labels, names, streams
from tfp_flows.data.operations import Operation


@pytest.mark.parametrize(
    ("name", "alias", "kind", "argument", "pieces"),
    [
        ("mnist@resize=32@rgb", "", "tfds", "mnist", ("resize=32", "rgb")),
        ("tfds:mnist", "", "tfds", "mnist", ()),
        ("tfds:photos", "", "tfds", "photos", ()),
        ("photos", "", "photos", "", ()),
        ("constant=128", "", "constant", "128", ()),
        ("grey=constant=128@rgb", "grey", "constant", "128", ("rgb",)),
        ("Street numbers=svhn", "Street numbers", "tfds", "svhn", ()),
        ("a=folder:b=c/d@resize=8x9", "a", "folder", "b=c/d", ("resize=8x9",)),
        ("folder:b=c@d@rgb/", "", "folder", "b=c@d@rgb/", ()),
        ("mnist@contrast=0.5", "", "tfds", "mnist", ("contrast=0.5",)),
        ("tfrecord:x/*@home.tfr@rgb", "", "tfrecord", "x/*@home.tfr", ("rgb",)),
        ("=mnist", "", "tfds", "=mnist", ()),
    ],
)
def test_names_are_taken_apart(name, alias, kind, argument, pieces):
    found = names.take_apart(name)
    assert (found.alias, found.source.kind, found.source.argument, found.pieces) == (
        alias,
        kind,
        argument,
        pieces,
    )
    assert names.take_apart(found.text).identity == found.identity


def test_with_another_path_all_else_stays():
    assert names.take_apart("a=folder:x@rgb/@resize=8").with_path("/y") == "a=folder:/y/@resize=8"
    assert names.take_apart("npz:x.npz@rgb").with_path("/y/x.npz") == "npz:/y/x.npz@rgb"


def test_identity_is_what_a_name_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").touch()
    (tmp_path / "link.npz").symlink_to("a.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    same = [
        "npz:a.npz",
        "npz:./a.npz",
        f"npz:{tmp_path}/a.npz",
        "npz:link.npz",
        "npz:~/a.npz",
        "b=npz:a.npz",
    ]
    assert len({names.identity(f"{name}@resize=8") for name in same}) == 1
    assert names.identity("npz:a.npz@resize=8") == names.identity("npz:a.npz@resize=8x8")
    assert names.identity("npz:a.npz@resize=8")[2] == (Operation("resize", size=(8, 8)),)
    assert names.identity("npz:a.npz@rgb@resize=8") != names.identity("npz:a.npz@resize=8@rgb")
    assert names.identity("npz:a.npz") != names.identity("folder:a.npz")
    assert names.identity("tfds:mnist") == names.identity("mnist") != names.identity("digits")
    assert names.same_source("x=tfds:mnist@rgb", "mnist")


def test_labels_are_short_and_tell_sets_apart():
    paths = ["folder:/a/b/birds@resize=8", "npz:/a/c/birds", "npz:/d/c/birds", "tfrecord:/x/y/*.tfr"]
    labels = Labels([*paths, "streets=folder:/q", "tfds:mnist@rgb", "constant=128", "folder:/"])
    found = [labels(name) for name in paths]
    assert found == ["birds@resize=8", "a/c/birds", "d/c/birds", "*.tfr"]
    assert labels("folder:/q/") == "streets" and labels("mnist@rgb") == "mnist@rgb"
    assert labels("constant=128") == "constant=128" and labels("folder:/") == "folder:/"
    labels = Labels(["folder:/a/b/x", "folder:/a/x", "x=folder:/c", "npz:/a/b/x"])
    assert len({labels(name) for name in ("folder:/a/b/x", "folder:/a/x", "folder:/c", "npz:/a/b/x")}) == 4
    assert labels("folder:/c") == "x"
    assert {Labels(["photos", "tfds:photos"])(name) for name in ("photos", "tfds:photos")} == {
        "photos",
        "tfds:photos",
    }
    with pytest.raises(DataError, match="two sets are called 'x'.*alias"):
        Labels(["x=mnist", "x=svhn"])
    with pytest.raises(DataError, match="'noise'"):
        Labels(["noise=mnist", "noise"])


def test_labels_stand_on_one_line():
    name = os.fsdecode(b"folder:/a/b\nc\xff\x1b[31m")
    assert data.short(name) == r"b\nc\xff\x1b[31m"
    assert data.short("") == ""


def _write_records(path, images, keys):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image, key in zip(images, keys, strict=True):
            values = {"image": tf.io.encode_png(image).numpy(), **({"key": key.encode()} if key else {})}
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def test_tfrecords_are_read_whole(tmp_path, monkeypatch):
    digits = data.load("digits", "test").images[:60]
    (tmp_path / "moved").mkdir()
    _write_records(tmp_path / "a.tfr", digits[:30], [""] * 30)
    _write_records(tmp_path / "b.tfr", digits[30:], [f"k{i}" for i in range(30)])
    sets = [data.load(f"tfrecord:{tmp_path}/*.tfr", split) for split in data.SPLITS]
    assert sum(map(len, sets)) == 60 and all(len(one) for one in sets)
    keys = [key for one in sets for key in one.keys]
    places = {**{f"a.tfr:{i}": i for i in range(30)}, **{f"k{i}": 30 + i for i in range(30)}}
    assert sorted(keys) == sorted(places)
    for one in sets:
        np.testing.assert_array_equal(one.images, digits[[places[key] for key in one.keys]])
    for name in ("a.tfr", "b.tfr"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    monkeypatch.chdir(tmp_path)
    moved = data.load("tfrecord:m*/*.tfr@resize=8", "test")  # its folder is a part of the pattern
    assert {key.removeprefix("moved/") for key in moved.keys} <= set(places)
    assert data.load("tfrecord:moved/*.tfr", "test").keys == sets[3].keys
    _write_records(tmp_path / "moved" / "c.tfr", digits[:5, :4], ["x1", "x2", "x3", "x4", "x5"])
    with pytest.raises(DataError, match=r"x\d has shape 4x8x1, but a.tfr:\d+ has 8x8x1"):
        data.load("tfrecord:moved/*.tfr", "train")


@pytest.mark.parametrize("name", ["photos", "digits", "noise", "constant=3", "tfds:mnist@resize=8", "mnist"])
@pytest.mark.parametrize("split", ["test", "calibration"])
def test_what_can_be_loaded_can_be_streamed(name, split, shared_images):
    if "mnist" in name and split != "test":
        return  # a stream reads official splits of a TFDS set
    shape = {"photos": (32, 32, 3), "mnist": (28, 28, 1)}.get(name, (8, 8, 1))
    kwargs = dict(image_shape=shape, data_dir=shared_images)
    if split != "test" and names.is_synthetic(name):
        with pytest.raises(DataError, match="has only a test split"):
            list(streams.stream(name, split=split, **kwargs))
        return
    loaded = data.load(name, split, **kwargs)
    found = list(itertools.islice(streams.stream(name, split=split, **kwargs), 5))
    assert tuple(item.key for item in found) == loaded.keys[: len(found)]
    np.testing.assert_array_equal([item.image for item in found], loaded.images[: len(found)])
