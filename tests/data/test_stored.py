"""Arrays on a disk are read as arrays in memory are."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data
from tfp_flows.data import row_file
from tfp_flows.runs import TrainedOn


def on_disk(path, array):
    """The array in a `RowFile`."""
    writer = row_file.RowFileWriter(path, array.shape[1:], array.dtype)
    for start in range(0, len(array), 7):
        writer.add(array[start : start + 7])
    writer.close()
    return row_file.RowFile(path)


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (50, 4, 3, 2), np.uint8)


@pytest.fixture(params=["whole", "view", "pieces"])
def pair(request, images, tmp_path):
    """(array, the same as `Stored`), with all rows in order, some in another order, or in several files."""
    if request.param == "pieces":
        pieces = [on_disk(tmp_path / "a", images[:20]), images[20:33], on_disk(tmp_path / "b", images[33:])]
        return images, data.Stored(pieces)
    stored = data.Stored([on_disk(tmp_path / "rows.npy", images)])
    if request.param == "whole":
        return images, stored
    order = np.random.default_rng(1).permutation(50)[:30]
    return images[order], stored.select(order)


KEYS = [
    3,
    -1,
    slice(None),
    slice(5, 17),
    slice(None, None, -3),
    slice(40, 2),
    [4, 4, 0, -2],
    np.array([9, 10, 11, 2], np.int32),
    np.zeros([0], int),
    (slice(2, 9), 1),
    (5, 0, slice(1)),
    ([1, 2], ..., 0),
    (..., 0),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_it_is_read_as_an_array_is(pair, key):
    array, stored = pair
    np.testing.assert_array_equal(stored[key], array[key])
    assert stored[key].dtype == np.uint8 and isinstance(stored[key], np.ndarray)


def test_it_looks_like_an_array(pair):
    array, stored = pair
    for name in ("shape", "dtype", "ndim", "size", "nbytes"):
        assert getattr(stored, name) == getattr(array, name)
    assert len(stored) == len(array)
    np.testing.assert_array_equal(np.asarray(stored), array)
    np.testing.assert_array_equal(list(stored), list(array))
    np.testing.assert_array_equal(np.concatenate(list(data.chunks(stored, 100))), array)
    mask = array[:, 0, 0, 0] > 100
    np.testing.assert_array_equal(stored[mask], array[mask])
    np.testing.assert_array_equal(stored.select(mask).select(slice(1, 4)), array[mask][1:4])


@pytest.mark.parametrize("key", [50, -51, [50], [0.5], np.ones(3, bool), np.zeros([2, 2], int), "name"])
def test_rows_that_are_not_there(images, tmp_path, key):
    stored = data.Stored([on_disk(tmp_path / "rows.npy", images)])
    with pytest.raises(IndexError):
        stored[key]


def test_arrays_one_after_the_other(pair, images):
    array, stored = pair
    whole = data.concatenated([stored.select([3, 1]), images[:2], stored])
    np.testing.assert_array_equal(whole, np.concatenate([array[[3, 1]], images[:2], array]))
    assert isinstance(data.concatenated([images, images]), np.ndarray)
    with pytest.raises(data.DataError, match="cannot follow"):
        data.concatenated([stored, images[:, :2]])


def test_the_file_is_one_of_numpy(images, tmp_path):
    on_disk(tmp_path / "rows.npy", images)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy", mmap_mode="r"), images)
    np.save(tmp_path / "saved.npy", images)
    np.testing.assert_array_equal(data.Stored([row_file.RowFile(tmp_path / "saved.npy")]), images)


def test_a_file_that_was_not_ended_has_no_rows(images, tmp_path):
    writer = row_file.RowFileWriter(tmp_path / "rows.npy", images.shape[1:], images.dtype)
    writer.add(images)
    writer.close(whole=False)
    with pytest.raises(data.DataError, match="is not what its header says"):
        row_file.RowFile(tmp_path / "rows.npy")


def test_files_that_hold_no_rows(images, tmp_path):
    (tmp_path / "text").write_text("no array")
    np.save(tmp_path / "fortran.npy", np.asfortranarray(images))
    np.save(tmp_path / "short.npy", images)
    os.truncate(tmp_path / "short.npy", 500)
    for name in ("text", "fortran.npy", "short.npy"):
        with pytest.raises(data.DataError, match=f"{name}: "):
            row_file.RowFile(tmp_path / name)


def test_batches_are_those_of_the_array(pair):
    array, stored = pair
    for args in ((8, 3), (8, 3, 5), (64, 0)):
        here, there = (data.training_batches(each, *args, num_steps=12) for each in (array, stored))
        assert here.element_spec == there.element_spec
        np.testing.assert_array_equal(list(here), list(there))
    np.testing.assert_array_equal(
        np.concatenate(list(data.evaluation_batches(stored, 7))),
        np.concatenate(list(data.evaluation_batches(array, 7))),
    )


def test_a_mapped_file_is_not_copied(images, tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", images)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = list(data.training_batches(images, 8, 3, num_steps=12))
    assert data.is_on_disk(np.asarray(mapped)[3:]) and not data.is_on_disk(images)
    monkeypatch.setattr(tf, "convert_to_tensor", None)
    np.testing.assert_array_equal(list(data.training_batches(mapped, 8, 3, num_steps=12)), expected)


def test_each_host_reads_its_share(images, tmp_path, monkeypatch):
    stored = data.Stored([on_disk(tmp_path / "rows.npy", images)])
    read, take = [], row_file.RowFile.__getitem__
    monkeypatch.setattr(
        row_file.RowFile, "__getitem__", lambda self, rows: read.append(rows.tolist()) or take(self, rows)
    )
    for host in range(2):
        read.clear()
        parts = list(
            data.training_batches(stored, 12, 0, num_steps=4, parts=range(host, host + 1), num_parts=3)
        )
        assert len(parts) == 4 and all(len(rows) == 4 for rows in read)
        assert len(read) <= 4 + 8  # those that are read ahead
        expected = data.training_batches(images, 12, 0, num_steps=4)
        wanted = [batch.numpy()[4 * host : 4 * host + 4] for batch in expected]
        np.testing.assert_array_equal(parts, wanted)


def test_a_file_that_is_cut_while_it_is_read(images, tmp_path):
    stored = data.Stored([on_disk(tmp_path / "rows.npy", images)])
    os.truncate(tmp_path / "rows.npy", 200)
    with pytest.raises(data.DataError, match=r"^\S+rows.npy: was cut short while it was in use$"):
        stored[:]
    with pytest.raises(data.DataError, match=r"^\S+rows.npy: was cut short while it was in use$"):
        with data.reading_errors():
            list(data.training_batches(stored, 8, 0, num_steps=3))


def test_a_set_of_images_on_a_disk(images, tmp_path):
    stored = data.Stored([on_disk(tmp_path / "rows.npy", images)])
    here, there = (
        data.ImageSet("x", "train", each, np.arange(50), tuple(map(str, range(50))))
        for each in (images, stored)
    )
    assert there.image_shape == (4, 3, 2) and len(there) == 50
    chosen = there.select([7, 3, 3], "test")
    assert isinstance(chosen.images, data.Stored)
    np.testing.assert_array_equal(chosen.images, here.select([7, 3, 3]).images)
    assert chosen.labels.tolist() == [7, 3, 3] and chosen.split == "test"
    with pytest.raises(data.DataError, match="2 labels|labels must be"):
        data.ImageSet("x", "train", stored, np.arange(2), there.keys)


def test_what_was_trained_on_is_the_same(pair):
    array, stored = pair
    here, there = TrainedOn.of(array), TrainedOn.of(stored)
    assert here.digest == there.digest
    np.testing.assert_array_equal(here.images, there.images)
    assert there.holds(stored.select([1, 2])).all()
