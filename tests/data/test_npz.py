"""NumPy archives."""

import numpy as np
import pytest

from tests.data.images import error_of, grey_images, write_npz
from tfp_flows import data
from tfp_flows.data import splits, streams


def test_npz_of_rank_3_has_one_channel(tmp_path, rng):
    images = grey_images(rng, 5)
    name = write_npz(tmp_path / "a.npz", train=images[..., 0], test=images, test_labels=range(5))
    loaded = data.load(name)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels.dtype == np.int64 and loaded.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.load(name, "train").image_shape == (6, 5, 1)


def test_npz_of_images_is_divided(tmp_path, rng):
    images = grey_images(rng, 50)
    name = write_npz(tmp_path / "a.npz", images=images, labels=np.arange(50, dtype=np.uint8))
    for division, num_test in ((1, 5), (2, sum(splits.is_test(str(index)) for index in range(50)))):
        parts = [data.load(name, split, division=division) for split in data.SPLITS]
        labels = np.concatenate([part.labels for part in parts])
        assert sorted(labels) == list(range(50)) and len(parts[-1]) == num_test
        for part in parts:
            np.testing.assert_array_equal(part.images, images[part.labels])
    whole = data.load(name, "all")
    np.testing.assert_array_equal(whole.images, images)
    assert whole.split == "all" and whole.labels.tolist() == list(range(50))


def test_npz_with_validation_images_of_its_own(tmp_path, rng):
    images = grey_images(rng, 90)
    name = write_npz(tmp_path / "a.npz", x_train=images[:60], x_val=images[60:80], x_test=images[80:])
    loaded = {split: data.load(name, split) for split in data.SPLITS}
    assert sorted(loaded["validation"].keys) == sorted(f"x_val:{i}" for i in range(20))
    together = loaded["train"].keys + loaded["calibration"].keys
    assert sorted(together) == sorted(f"x_train:{i}" for i in range(60))
    assert [len(data.load(name, split, division=1)) for split in data.SPLITS] == [54, 3, 3, 10]
    assert len(data.load(name, "all")) == 90


@pytest.mark.parametrize(
    "arrays, problem",
    [
        ({"pictures": "u1"}, "found the keys pictures"),
        ({"train": "u1"}, "has no test images: it needs one of the keys test or x_test"),
        ({"test": "f4", "more": "u1"}, "'test' must be uint8 grey levels 0..255"),
        ({"test": "f4", "more": "u1"}, "got float32 [5, 6, 5, 1]; found the keys more, test"),
        ({"test": "u1", "x_test": "u1"}, "has both 'test' and 'x_test': keep one"),
        ({"test": "u1", "images": "u1"}, "has both 'images' and parts"),
        ({"test": "u1", "test_labels": "u1"}, "labels must be integers [5]"),
    ],
)
def test_unfit_archives(tmp_path, rng, arrays, problem):
    arrays = {key: grey_images(rng, 5).astype(dtype) for key, dtype in arrays.items()}
    message = error_of(write_npz(tmp_path / "a.npz", **arrays))
    assert problem in message and str(tmp_path / "a.npz") in message


def test_unfit_archive_ranks_and_files(tmp_path):
    name = write_npz(tmp_path / "flat.npz", test=np.zeros([5, 30], np.uint8))
    assert "got uint8 [5, 30]" in error_of(name)
    name = write_npz(tmp_path / "none.npz", test=np.zeros([0, 3, 3], np.uint8))
    assert "got uint8 [0, 3, 3]" in error_of(name)
    name = write_npz(tmp_path / "one.npz", images=np.zeros([1, 3, 3], np.uint8))
    assert "one image cannot be divided" in error_of(name)
    name = write_npz(tmp_path / "object.npz", test=np.array([{}, {}], dtype=object))
    assert "object.npz: cannot be read" in error_of(name)
    np.save(tmp_path / "single.npy", np.zeros([5, 3, 3], np.uint8))
    assert "a single array: write an archive" in error_of(f"npz:{tmp_path}/single.npy")
    (tmp_path / "text.npz").write_text("no archive")
    assert "text.npz: cannot be read" in error_of(f"npz:{tmp_path}/text.npz")
    assert "gone.npz: no such file" in error_of(f"npz:{tmp_path}/gone.npz", "train")
    assert "'npz:' names no path" in error_of("npz:")


def test_every_array_that_an_archive_may_have_is_scored(tmp_path, rng):
    """What is read to train on and what is scored have the same names."""
    for name in ("val", "valid", "validation", "x_val", "val_images", "x_train", "test", "images"):
        np.savez(tmp_path / "a.npz", **{name: rng.integers(0, 256, [3, 4, 4, 1]).astype(np.uint8)})
        items = list(streams.stream(f"npz:{tmp_path / 'a.npz'}", (4, 4, 1)))
        assert len(items) == 3 and not any(item.error for item in items), name
