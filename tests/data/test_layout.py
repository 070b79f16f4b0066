"""Which subfolders of a folder are splits of its own, and which are refused."""

import numpy as np
import pytest

from tests.data.images import error_of, grey_images, write_png
from tfp_flows import data
from tfp_flows.data import layout


def make(root, counts):
    """A folder of tiny images, so many in each subfolder; "." is the folder itself."""
    pixels = grey_images(np.random.default_rng(0), max(counts.values()), 2, 2)[..., 0]
    for top, count in counts.items():
        (root / top).mkdir(exist_ok=True)
        for index in range(count):
            write_png(root / top / f"{index:03d}.png", pixels[index])
    return f"folder:{root}"


def tops(keys):
    return {key.split("/")[0] for key in keys}


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize("validation", ["val", "Valid", "validation", "DEV"])
@pytest.mark.parametrize("test", ["test", "Testing"])
def test_official_names(tmp_path, train, validation, test):
    name = make(tmp_path, {train: 80, validation: 3, test: 4})
    loaded = {split: data.load(name, split).keys for split in data.SPLITS}
    assert tops(loaded["test"]) == {test} and len(loaded["test"]) == 4
    assert tops(loaded["validation"]) == {validation} and len(loaded["validation"]) == 3
    assert tops(loaded["train"]) == tops(loaded["calibration"]) == {train}
    assert sorted(loaded["train"] + loaded["calibration"]) == [f"{train}/{i:03d}.png" for i in range(80)]


def test_a_calibration_folder_of_its_own(tmp_path):
    name = make(tmp_path, {"train": 50, "calibration": 20, "test": 2})
    assert tops(data.load(name, "calibration").keys) == {"calibration"}
    assert len(data.load(name, "train")) + len(data.load(name, "validation")) == 50


def test_train_alone_is_divided_as_its_parent_is(tmp_path):
    name = make(tmp_path, {"train": 100})
    before = {split: data.load(name, split).keys for split in data.SPLITS}
    whole = {key for keys in before.values() for key in keys}
    assert len(whole) == 100
    assert set(before["test"]) == {key for key in whole if layout_free_split(key) == "test"}


def layout_free_split(key):
    from tfp_flows.data import splits

    return "test" if splits.is_test(key) else "other"


@pytest.mark.parametrize(
    "counts, found",
    [
        ({"train": 3, "cats": 2}, "train/ (3), cats/ (2)"),
        ({"train": 3, "test": 1, "other": 2}, "test/ (1), train/ (3), other/ (2)"),
        ({"train": 3, ".": 2}, "train/ (3), 2 image(s) beside them"),
        ({"train": 3, "Train": 2}, "Train/ (2), train/ (3)"),
        ({"train": 3, "Training": 2, "test": 1}, "Training/ (2), test/ (1), train/ (3)"),
        ({"val": 3, "dev": 2, "train": 1}, "dev/ (2), train/ (1), val/ (3)"),
        ({"tests": 3, "cats": 2}, "cats/ (2), tests/ (3)"),
        ({"train": 3, "tests": 2}, "train/ (3), tests/ (2)"),
        ({"train_images": 3, "test_images": 2}, "test_images/ (2), train_images/ (3)"),
        ({"train2017": 3, "val2017": 2}, "train2017/ (3), val2017/ (2)"),
        ({"x_test": 1, "a": 1}, "a/ (1), x_test/ (1)"),
        ({"hold-out": 1, "a": 1}, "a/ (1), hold-out/ (1)"),
    ],
)
def test_what_nearly_fits_is_refused_with_what_was_found(tmp_path, counts, found):
    name = make(tmp_path, counts)
    for split in data.SPLITS:
        assert f"looks divided, but is not clearly so: found {found}; call" in error_of(name, split)
    assert len(data.load(name, "all")) == sum(counts.values())


@pytest.mark.parametrize("names", ["trains planes", "testudo valley", "developers a", "values b", "exams c"])
def test_other_words_are_no_splits(tmp_path, names):
    name = make(tmp_path, dict.fromkeys(names.split(), 30))
    assert sum(len(data.load(name, split)) for split in data.SPLITS) == 60


def test_more_folders_than_a_line_holds_are_counted(tmp_path):
    message = error_of(make(tmp_path, {"train": 1, **{f"class{i:02d}": 1 for i in range(20)}}))
    assert "train/ (1), class00/ (1)" in message and "14 more folders" in message and len(message) < 500


def test_splits_without_training_images(tmp_path):
    name = make(tmp_path, {"val": 2, "test": 3})
    assert len(data.load(name, "test")) == 3 and len(data.load(name, "validation")) == 2
    for split in ("train", "calibration"):
        assert "has no subfolder train, but test and val" in error_of(name, split)


def test_a_split_may_be_a_link(tmp_path):
    make(tmp_path, {"elsewhere": 40})
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path / "elsewhere")
    name = make(tmp_path / "set", {"test": 2})
    assert len(data.load(name, "test")) == 2 and len(data.load(name, "train")) > 20


def test_official_splits_of_no_subfolder(tmp_path):
    (tmp_path / "a").mkdir()
    assert layout.official_splits(str(tmp_path), ["a/1.png", "2.png"]) == {"train": ["a/1.png", "2.png"]}
