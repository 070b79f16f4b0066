"""How the images of a source are divided into splits."""

import numpy as np
import pytest

from tests.data.images import error_of, grey_images, write_npz
from tfp_flows import data
from tfp_flows.data import splits


@pytest.mark.parametrize("n", [3, 4, 39, 40, 41, 1000, 120_000])
def test_training_images_are_divided_without_overlap_or_loss(n):
    parts = splits.divide_training_images(n, "x")
    held_out = max(1, min(5000, n // 20))
    assert len(parts["validation"]) == len(parts["calibration"]) == held_out
    together = np.concatenate([parts["train"], parts["validation"], parts["calibration"]])
    np.testing.assert_array_equal(np.sort(together), np.arange(n))


def test_division_is_the_same_in_every_version():
    parts = splits.divide_training_images(10, "x")
    assert parts["validation"].tolist() == [2]
    assert parts["calibration"].tolist() == [8]
    assert parts["train"].tolist() == [4, 9, 1, 6, 7, 3, 0, 5]


def test_splits_of_a_source_cover_it(tmp_path, rng):
    train, test = grey_images(rng, 50), grey_images(rng, 7)
    labels = np.arange(50)
    name = write_npz(tmp_path / "a.npz", x_train=train, x_test=test, y_train=labels)
    loaded = {split: data.load(name, split) for split in data.SPLITS}
    np.testing.assert_array_equal(loaded["test"].images, test)
    assert loaded["test"].labels is None
    seen = []
    for split in ("train", "validation", "calibration"):
        part = loaded[split]
        assert part.split == split and part.name == name
        np.testing.assert_array_equal(part.images, train[part.labels])
        assert part.keys == tuple(f"x_train:{label}" for label in part.labels)
        seen += part.labels.tolist()
    assert sorted(seen) == list(range(50))
    assert [len(loaded[s]) for s in data.SPLITS] == [46, 2, 2, 7]


def test_max_images_takes_the_first_of_the_split(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 50), test=grey_images(rng, 7))
    for split in data.SPLITS:
        whole = data.load(name, split)
        part = data.load(name, split, max_images=2)
        assert len(part) == 2 and part.keys == whole.keys[:2]
        np.testing.assert_array_equal(part.images, whole.images[:2])
    assert len(data.load(name, "test", max_images=1000)) == 7


def test_too_few_training_images(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 2), test=grey_images(rng, 2))
    assert "2 training image(s)" in error_of(name, "train")
    assert "at least 3" in error_of(name, "validation")


def test_unknown_split():
    message = error_of("digits", "valid")
    assert "unknown split 'valid'" in message and ", ".join(data.SPLITS) in message


@pytest.mark.parametrize("bad", [0, -1, 1.5, "3"])
def test_max_images_must_be_positive(bad):
    assert "`max_images` must be a positive integer" in error_of("digits", max_images=bad)
