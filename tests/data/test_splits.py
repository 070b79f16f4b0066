"""How the images of a source are divided into splits."""

import hashlib

import numpy as np
import pytest

from tests.data.images import error_of, grey_images, write_npz, write_png
from tfp_flows import data
from tfp_flows.data import first_division, splits

ALL_MISSING = ("test", "validation", "calibration")
HELD_OUT = ("validation", "calibration")


@pytest.mark.parametrize("n", [3, 4, 39, 40, 41, 1000, 120_000])
def test_training_images_are_divided_without_overlap_or_loss(n):
    parts = first_division.divide_training_images(n, "x")
    held_out = max(1, min(5000, n // 20))
    assert len(parts["validation"]) == len(parts["calibration"]) == held_out
    together = np.concatenate([parts["train"], parts["validation"], parts["calibration"]])
    np.testing.assert_array_equal(np.sort(together), np.arange(n))


def test_first_division_is_the_same_in_every_version():
    parts = first_division.divide_training_images(10, "x")
    assert parts["validation"].tolist() == [2]
    assert parts["calibration"].tolist() == [8]
    assert parts["train"].tolist() == [4, 9, 1, 6, 7, 3, 0, 5]


FIRST_DIVISION = {
    "folder": {
        "validation": ("43.png", "42.png"),
        "calibration": ("49.png", "36.png"),
        "test": ("1.png", "20.png", "21.png"),
        "train": ("2.png", "11.png", "41.png", "9.png", "31.png", "8.png"),
    },
    "npz": {
        "validation": ("images:34", "images:42"),
        "calibration": ("images:31", "images:5"),
        "test": ("images:2", "images:10", "images:11", "images:28", "images:41"),
        "train": ("images:13", "images:29", "images:32", "images:14", "images:43", "images:35"),
    },
    "digits": {
        "validation": ("63", "41", "1227", "1662", "630", "284"),
        "calibration": ("1198", "1349", "1064", "1631", "1783", "1590"),
        "test": ("21", "24", "28", "34", "35", "37"),
        "train": ("244", "518", "371", "574", "617", "1621"),
    },
}


@pytest.mark.parametrize("kind", FIRST_DIVISION)
def test_first_division_is_that_of_version_0_1(tmp_path, kind):
    """The first keys of each split, as that version printed them."""
    name = kind
    if kind == "folder":
        for index in range(60):
            write_png(tmp_path / f"{index}.png", np.full((6, 5), index, np.uint8))
        name = f"folder:{tmp_path}"
    elif kind == "npz":
        name = write_npz(tmp_path / "a.npz", images=np.zeros([50, 4, 4, 1], np.uint8))
    for split, keys in FIRST_DIVISION[kind].items():
        assert data.load(name, split, division=1).keys[: len(keys)] == keys


def by_hand(keys):
    """The rule as its docstring has it, one key after the other."""
    found = {split: [] for split in data.SPLITS}
    for key in keys:
        digest = hashlib.sha256(key.encode()).digest()
        h0, h1, h2 = (int.from_bytes(digest[i : i + 8], "big") for i in (0, 8, 16))
        split = "train"
        if h0 % 10 == 0:
            split = "test"
        elif h1 < 2**64 // 20:
            split = "validation"
        elif h1 >= 2**64 - 2**64 // 20:
            split = "calibration"
        found[split].append((h2, key))
    test = [key for _, key in found.pop("test")]
    return {"test": test, **{split: [key for _, key in sorted(of)] for split, of in found.items()}}


@pytest.mark.parametrize("keys", [[f"a/{i}.png" for i in range(3000)], [str(i) for i in range(3000)]])
def test_division_is_that_of_each_key_alone(keys):
    divided = splits.divide(keys, ALL_MISSING, "x")
    assert {split: [keys[i] for i in of] for split, of in divided.items()} == by_hand(keys)
    sizes = {split: len(of) / len(keys) for split, of in divided.items()}
    assert sizes["test"] == pytest.approx(0.1, abs=0.02)
    assert sizes["validation"] == pytest.approx(0.045, abs=0.012)
    assert sizes["calibration"] == pytest.approx(0.045, abs=0.012)


def test_images_that_come_and_go_move_no_other():
    keys = [f"{i}.png" for i in range(2000)]
    one, other = keys[:1500], keys[::-1][:1500]
    of = {}
    for chosen in (one, other):
        for split, indices in splits.divide(chosen, ALL_MISSING, "x").items():
            for index in indices:
                assert of.setdefault(chosen[index], split) == split
    assert len(of) == 2000


def test_the_first_images_of_a_split_are_a_fair_sample_of_a_sorted_set():
    labels = np.repeat(np.arange(10), 1000)
    divided = splits.divide([str(i) for i in range(10_000)], HELD_OUT, "x")
    for split, count in (("train", 1000), ("validation", 200), ("calibration", 200)):
        counts = np.bincount(labels[divided[split][:count]], minlength=10)
        chi_squared = ((counts - count / 10) ** 2 / (count / 10)).sum()
        assert chi_squared < 27.9, split  # its 99.9 % quantile, 9 degrees of freedom


@pytest.mark.parametrize("missing", [(), HELD_OUT, ALL_MISSING, ("calibration",), ("test", "calibration")])
def test_no_split_of_a_small_set_is_empty(missing):
    for trial in range(30):
        for n in range(len(missing) + 1, 12):
            divided = splits.divide([f"{trial}/{i}" for i in range(n)], missing, "x")
            assert set(divided) == {"train", *missing} and all(len(of) for of in divided.values())
            assert sorted(np.concatenate(list(divided.values()))) == list(range(n))


def test_in_a_small_set_the_nearest_is_held_out():
    keys = [f"x/{i}" for i in range(12)]
    values = [int.from_bytes(hashlib.sha256(key.encode()).digest()[8:16], "big") / 2**64 for key in keys]
    assert min(values) > 1 / 20 and max(values) < 19 / 20  # else this is no test of it
    divided = splits.divide(keys, HELD_OUT, "x")
    assert divided["validation"].tolist() == [np.argmin(values)]
    assert divided["calibration"].tolist() == [np.argmax(values)]


def test_splits_of_a_source_cover_it(tmp_path, rng):
    train, test = grey_images(rng, 50), grey_images(rng, 7)
    labels = np.arange(50)
    name = write_npz(tmp_path / "a.npz", x_train=train, x_test=test, y_train=labels)
    for division, sizes in ((1, [46, 2, 2, 7]), (2, [44, 1, 5, 7])):
        loaded = {split: data.load(name, split, division=division) for split in data.SPLITS}
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
        assert [len(loaded[s]) for s in data.SPLITS] == sizes


def test_a_longer_array_has_the_same_splits_and_so_has_another_key(tmp_path, rng):
    images = grey_images(rng, 300)
    short = write_npz(tmp_path / "short.npz", images=images[:200])
    long = write_npz(tmp_path / "long.npz", images=images)
    renamed = write_npz(tmp_path / "renamed.npz", train=images[:200], test=images[:1])
    other = write_npz(tmp_path / "other.npz", x_train=images[:200], x_test=images[:1])
    for split in data.SPLITS:
        keys = [set(data.load(name, split).keys) for name in (short, long)]
        assert keys[0] == {key for key in keys[1] if int(key.removeprefix("images:")) < 200}
        if split != "test":
            keys = [data.load(name, split).keys for name in (renamed, other)]
            assert [f"x_{key}" for key in keys[0]] == list(keys[1])


def test_max_images_takes_a_fixed_sample_of_the_split(tmp_path, rng):
    images = grey_images(rng, 157)
    name = write_npz(tmp_path / "a.npz", train=images[:150], test=images[150:])
    for split in (*data.SPLITS, "all"):
        whole = data.load(name, split)
        part = data.load(name, split, max_images=2)
        assert len(part) == 2 and part.total == len(whole) == whole.total
        assert part.count == f"2 of {len(whole)}" and whole.count == str(len(whole))
        places = [whole.keys.index(key) for key in part.keys]
        np.testing.assert_array_equal(part.images, whole.images[places])
        assert part.keys[:1] == data.load(name, split, max_images=1).keys
    assert len(data.load(name, "test", max_images=1000)) == 7


def test_too_few_training_images(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 2), test=grey_images(rng, 2))
    assert "2 training image(s)" in error_of(name, "train")
    assert "at least 3" in error_of(name, "validation")


def test_unknown_split():
    message = error_of("digits", "valid")
    assert "unknown split 'valid'" in message and ", ".join(data.SPLITS) in message


@pytest.mark.parametrize("bad", [0, 3, "2", None])
def test_unknown_division(bad):
    assert f"`division` must be 1 or 2, got {bad!r}" in error_of("digits", division=bad)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "3"])
def test_max_images_must_be_positive(bad):
    assert "`max_images` must be a positive integer" in error_of("digits", max_images=bad)


@pytest.mark.parametrize("name, count", [("digits", 1797), ("photos", 10_000), ("noise", 1000)])
def test_all_images_of_an_embedded_set(name, count):
    whole = data.load(name, "all", image_shape=None if name != "noise" else (4, 4, 1))
    assert len(set(whole.keys)) == len(whole) == count
