"""Sets that are larger than a limit are decoded into copies on the disk, and are the same images."""

import functools
import io
import json
import os
import signal
import threading
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import forked
from tests.data.images import write_png
from tfp_flows import data
from tfp_flows.checks import atomic
from tfp_flows.data import copying, decoded_copy

LIMIT = 0.001  # MiB, which is 1,048 bytes


@pytest.fixture(autouse=True)
def no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


def write_folder(path, images, names="{:03}.png"):
    for index, image in enumerate(images):
        write_png(path / names.format(index), image[..., 0] if image.shape[-1] == 1 else image)


def write_records(path, images, first=0):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index, image in enumerate(images, first):
            feature = {"image": _bytes(tf.io.encode_png(image).numpy())}
            if index % 2:
                feature["key"] = _bytes(f"key {index}".encode())
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def _bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The name of a source of each kind."""
    root = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (120, 6, 5, 3), np.uint8)
    write_folder(root / "plain", images)
    write_folder(root / "divided" / "train", images[:70])
    write_folder(root / "divided" / "test", images[70:])
    os.makedirs(root / "records")
    write_records(root / "records" / "a.tfrecord", images[:50])
    write_records(root / "records" / "b.tfrecord", images[50:], 50)
    np.savez(root / "whole.npz", images=images, labels=np.arange(120) % 7)
    np.savez_compressed(root / "grey.npz", x_train=images[:70, ..., 0], x_test=images[70:, ..., 0])
    np.savez(root / "fortran.npz", train=np.asfortranarray(images[:70]), test=images[70:])
    return {
        "plain": f"folder:{root}/plain",
        "divided": f"folder:{root}/divided",
        "tfrecord": f"tfrecord:{root}/records/*.tfrecord",
        "npz": f"npz:{root}/whole.npz",
        "grey npz": f"npz:{root}/grey.npz",
        "fortran npz": f"npz:{root}/fortran.npz",
    }


def check_same(name, split, tmp_path, **where):
    """Compares a split in memory with the one on the disk, and returns the latter."""
    here = data.load(name, split, **where)
    assert isinstance(here.images, np.ndarray)
    data.clear_cache()
    there = data.load(name, split, memory_limit_mib=LIMIT, cache_dir=tmp_path / "cache", **where)
    assert isinstance(there.images, data.Stored)
    np.testing.assert_array_equal(there.images, here.images)
    assert there.keys == here.keys and (there.name, there.split) == (here.name, here.split)
    assert there.total == here.total
    assert (there.labels is None) == (here.labels is None)
    if here.labels is not None:
        np.testing.assert_array_equal(there.labels, here.labels)
    return there


@pytest.mark.parametrize("split", [*data.SPLITS, data.ALL])
@pytest.mark.parametrize("kind", ["plain", "divided", "tfrecord", "npz", "grey npz"])
def test_every_split_is_that_in_memory(sources, kind, split, tmp_path, capfd):
    check_same(sources[kind], split, tmp_path)
    said = capfd.readouterr().err
    assert f"{sources[kind]}: decoded " in said and f"images once to {tmp_path / 'cache'}" in said
    copies = len(list((tmp_path / "cache").glob("*/copy.json")))
    for other in data.SPLITS:  # all of one copy, but what a source has in several arrays
        data.load(sources[kind], other, memory_limit_mib=LIMIT, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*/copy.json"))) <= (2 if kind == "grey npz" else 1) >= copies
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("kind, operations", [
    ("plain", "@resize=7x4@luminance"),
    ("tfrecord", "@pad=9@binarize"),
    ("grey npz", "@rgb"),
    ("plain", "@contrast=0.4"),
    ("npz", "@crop=4@contrast=1.7@resize=3@contrast=0.5"),
])  # fmt: skip
@pytest.mark.parametrize("split", ["train", "test"])
def test_operations_give_what_they_give_in_memory(sources, kind, operations, split, tmp_path):
    check_same(sources[kind] + operations, split, tmp_path)
    check_same(sources[kind] + operations, split, tmp_path, max_images=5)


def test_the_first_division_too(sources, tmp_path):
    for kind in ("plain", "divided", "tfrecord", "npz"):
        for split in data.SPLITS:
            check_same(sources[kind], split, tmp_path, division=1)


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_a_folder_of_mixed_pictures(tmp_path, rng, split):
    for index in range(60):
        shape = (8 + index % 3, 9, 3) if index % 4 else (8, 12 + index)
        write_png(
            tmp_path / "mine" / f"class {index % 2}" / f"{index:02}.png", rng.integers(0, 256, shape, "u1")
        )
    for name in ("class 0/04.png", "class 1/31.png"):
        (tmp_path / "mine" / name).write_bytes(b"none")
    name = f"folder:{tmp_path}/mine@resize=7@rgb@contrast=0.5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = check_same(name, split, tmp_path, skip_unreadable=True)
    here = data.load(name, split, skip_unreadable=True)
    assert there.label_names == here.label_names == ("class 0", "class 1") and there.labels is not None
    assert there.reading == here.reading
    if split == "all":
        assert len(there) == 58 and [path for path, _ in there.reading.skipped] == [
            "class 0/04.png",
            "class 1/31.png",
        ]
        with pytest.warns(data.DataWarning, match="2 of 60 images are left out"):  # of the copy, too
            data.load(
                name, "all", memory_limit_mib=LIMIT, cache_dir=tmp_path / "cache", skip_unreadable=True
            )
    with pytest.raises(data.DataError, match="cannot be taken"):
        load(name, tmp_path, split)


def test_sets_without_files_are_made_larger_on_the_disk(tmp_path):
    there = check_same("digits@resize=20@rgb", "validation", tmp_path)
    assert there.image_shape == (20, 20, 3) and there.labels is not None


def test_an_array_that_cannot_be_read_in_rows_stays_in_memory(sources, tmp_path):
    where = dict(memory_limit_mib=LIMIT, cache_dir=tmp_path / "cache")
    whole = data.load(sources["fortran npz"], "all", **where)
    np.testing.assert_array_equal(whole.images, data.load(sources["fortran npz"], "all").images)
    assert isinstance(data.load(sources["fortran npz"], "train", **where).images, np.ndarray)
    for split in data.SPLITS:
        name = sources["fortran npz"] + "@luminance@crop=4@contrast=0.5"
        data.clear_cache()
        there = data.load(name, split, **where).images
        np.testing.assert_array_equal(there, data.load(name, split).images)


def test_sets_of_tfds(shared_images, tmp_path):
    there = check_same("svhn_cropped@luminance", "train", tmp_path, data_dir=shared_images)
    assert there.labels is not None and there.image_shape == (32, 32, 1)
    check_same("svhn_cropped", "test", tmp_path, data_dir=shared_images, max_images=100)


def test_the_limit_decides(sources, tmp_path):
    size = 120 * 6 * 5 * 3 / 2**20
    for limit, is_stored in ((size, False), (size * 0.999, True)):
        data.clear_cache()
        images = data.load(sources["plain"], memory_limit_mib=limit, cache_dir=tmp_path).images
        assert isinstance(images, data.Stored) == is_stored
    grown = data.load(sources["plain"] + "@resize=60", memory_limit_mib=size * 10, cache_dir=tmp_path)
    assert isinstance(grown.images, data.Stored)
    for wrong in (0, -1, float("nan"), float("inf"), "2"):
        with pytest.raises(data.DataError, match="`memory_limit_mib` must be a positive number"):
            data.load(sources["plain"], memory_limit_mib=wrong)


def test_settings_of_the_process(sources, tmp_path):
    data.storage.choose(LIMIT, tmp_path / "there")
    try:
        assert isinstance(data.load(sources["plain"]).images, data.Stored)
        assert list((tmp_path / "there").glob("plain-*"))
        assert isinstance(data.load(sources["plain"], memory_limit_mib=100).images, np.ndarray)
    finally:
        data.storage.choose()
    data.clear_cache()
    assert isinstance(data.load(sources["plain"]).images, np.ndarray)
    data.load(sources["plain"], memory_limit_mib=LIMIT)
    assert list((tmp_path / "home" / "tfp_flows").glob("plain-*"))


def copies(tmp_path):
    return sorted(path.parent for path in (tmp_path / "cache").glob("*/copy.json"))


def load(name, tmp_path, split="train"):
    data.clear_cache()
    return data.load(name, split, memory_limit_mib=LIMIT, cache_dir=tmp_path / "cache")


def test_a_changed_file_makes_a_new_copy(tmp_path, rng):
    write_folder(tmp_path / "mine", rng.integers(0, 256, (30, 8, 8, 1), np.uint8))
    name = f"folder:{tmp_path}/mine"
    load(name, tmp_path)
    assert len(copies(tmp_path)) == 1
    other = rng.integers(0, 256, (8, 8), np.uint8)
    write_png(tmp_path / "mine" / "007.png", other)
    found = load(name, tmp_path, "all")
    np.testing.assert_array_equal(found.images[found.keys.index("007.png")], other[..., None])
    assert len(copies(tmp_path)) == 2
    load(name, tmp_path)
    load(f"folder:{tmp_path}/../{tmp_path.name}/mine", tmp_path)
    assert len(copies(tmp_path)) == 2
    load(name + "@resize=7", tmp_path)
    assert len(copies(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["images.npy", "contents.json", "copy.json", "no images.npy"])
def test_a_damaged_copy_is_made_again(sources, tmp_path, damage):
    load(sources["npz"], tmp_path)
    (copy,) = copies(tmp_path)
    if damage.startswith("no "):
        (copy / damage[3:]).unlink()
    else:
        os.truncate(copy / damage, 100)
    np.testing.assert_array_equal(
        load(sources["npz"], tmp_path, "all").images, data.load(sources["npz"], "all").images
    )
    assert np.load(copy / "images.npy", mmap_mode="r").shape == (120, 6, 5, 3)


def kill_when(step):
    """Has this process killed at a step of making a copy."""
    owner, name = {
        "written": (copying.RowFileWriter, "close"),
        "described": (decoded_copy.np, "save"),
        "whole": (atomic, "sync_folder"),
        "renamed": (os, "replace"),
    }[step]
    setattr(owner, name, lambda *arguments, **keywords: os.kill(os.getpid(), signal.SIGKILL))


LOADER = "tests.data.loader"


@pytest.mark.parametrize("step", ["written", "described", "whole", "renamed"])
def test_a_writer_that_is_killed_leaves_nothing_that_is_taken_for_whole(sources, tmp_path, step):
    arguments = (sources["npz"], str(LIMIT), str(tmp_path / "cache"))
    killed = forked.command(LOADER, *arguments, before=functools.partial(kill_when, step))
    assert killed.returncode == -signal.SIGKILL
    assert not copies(tmp_path)
    left = [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]
    assert left
    found = load(sources["npz"], tmp_path, "all")
    np.testing.assert_array_equal(found.images, data.load(sources["npz"], "all").images)
    assert not any(path.exists() for path in left)


def test_two_processes_at_once_decode_once(sources, tmp_path):
    arguments = (sources["plain"], str(LIMIT), str(tmp_path / "cache"))
    both = [forked.start(LOADER, *arguments) for _ in range(2)]
    ends = [process.wait() for process in both]
    assert [end.returncode for end in ends] == [0, 0], ends
    assert ends[0].stdout == ends[1].stdout
    assert sum("decoded 120 images once" in end.stderr for end in ends) == 1
    assert len(copies(tmp_path)) == 1


def test_a_second_process_waits_for_the_first(sources, tmp_path, capfd):
    load(sources["plain"], tmp_path)
    (copy,) = copies(tmp_path)
    with open(f"{copy}.lock") as lock:
        decoded_copy.fcntl.flock(lock, decoded_copy.fcntl.LOCK_EX)
        os.rename(copy, tmp_path / "aside")
        timer = threading.Timer(0.5, lambda: (os.rename(tmp_path / "aside", copy), lock.close()))
        timer.start()
        capfd.readouterr()
        load(sources["plain"], tmp_path)
        timer.join()
    said = capfd.readouterr().err
    assert "another process decodes it" in said and "images once" not in said


def test_a_full_disk_is_said_before_anything_is_decoded(sources, tmp_path, monkeypatch):
    usage = decoded_copy.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(decoded_copy.shutil, "disk_usage", lambda path: usage._replace(free=5000))
    with pytest.raises(data.DataError) as caught:
        load(sources["plain"], tmp_path)
    message = str(caught.value)
    assert (
        f"plain: its decoded images take 0.0 MiB on a disk, and {tmp_path / 'cache'} has 0.0 MiB" in message
    )
    assert "choose another `cache_dir`" in message and "\n" not in message
    assert not copies(tmp_path)


def test_a_disk_that_becomes_full(sources, tmp_path, monkeypatch):
    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying.RowFileWriter, "add", full)
    with pytest.raises(data.DataError, match="choose another `cache_dir`"):
        load(sources["plain"], tmp_path)
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_folder_that_cannot_be_written(sources, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(data.DataError, match="^`cache_dir`: .*cache cannot be written: "):
        load(sources["plain"], tmp_path)


@pytest.mark.parametrize("kind", ["plain", "tfrecord"])
def test_faults_are_said_as_in_memory(tmp_path, rng, kind):
    images = list(rng.integers(0, 256, (20, 8, 8, 3), np.uint8))
    images[11] = images[11][:5]
    if kind == "plain":
        write_folder(tmp_path / "mine", images)
        name, faulty = f"folder:{tmp_path}/mine", "011.png"
    else:
        write_records(tmp_path / "mine.tfrecord", images)
        name, faulty = f"tfrecord:{tmp_path}/mine.tfrecord", "key 11"
    with pytest.raises(data.DataError) as caught:
        load(name, tmp_path)
    message = str(caught.value)
    assert faulty in message and "5x8x3" in message and "8x8x3" in message
    assert "all images must have the same shape" in message
    if kind == "plain":
        (tmp_path / "mine" / "011.png").write_bytes(b"none")
        with pytest.raises(data.DataError, match="1 of 20 images cannot be taken") as here:
            data.load(name, "all")
        with pytest.raises(data.DataError) as there:
            load(name, tmp_path)
        assert str(there.value) == str(here.value)
    assert not copies(tmp_path)


def test_reading_takes_little_memory(tmp_path):
    """A set of 200 MiB with a limit of 20: made twice, averaged and read, in a process of its own."""
    path = tmp_path / "big.tfrecord"
    tile = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(1070):
            picture = io.BytesIO()
            Image.fromarray(np.roll(tile, index, axis=1)).save(picture, "PNG", compress_level=0)
            feature = {"image": _bytes(picture.getvalue())}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    arguments = (f"tfrecord:{path}@contrast=0.5", "20", str(tmp_path / "cache"), "measure")
    result = forked.command(LOADER, *arguments)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["bytes"] > 130 * 2**20
    assert found["RssAnon"] < 60 * 2**20, found
