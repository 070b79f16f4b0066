"""Kind 4: a run knows its data: held out stays held out."""

import numpy as np
import pytest
from PIL import Image

from tfp_flows import data


def write_folder(root, names, seed=0):
    """Tiny images of noise, one of each name."""
    rng = np.random.default_rng(seed)
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(file)
    return f"folder:{root}"


def split_of(name):
    """The split of each key."""
    return {key: split for split in data.SPLITS for key in data.load(name, split).keys}


def test_case_15_a_files_split_depends_on_the_file_alone(tmp_path):
    name = write_folder(tmp_path, [f"{i:03d}.png" for i in range(120)])
    before = split_of(name)
    assert len(before) == 120
    write_folder(tmp_path, [f"new{i}.png" for i in range(3)], seed=1)
    after = split_of(name)
    assert len(after) == 123 and {key: after[key] for key in before} == before
    for i in range(50):
        (tmp_path / f"{2 * i:03d}.png").unlink()
    assert split_of(name).items() <= after.items()


@pytest.mark.parametrize("train, validation", [("train", "val"), ("Training", "DEV")])
def test_case_17_train_and_val_without_test(tmp_path, train, validation):
    """The validation images are the user's, test and calibration are taken off the training images."""
    files = [f"{train}/{i}.png" for i in range(100)] + [f"{validation}/{i}.png" for i in range(9)]
    splits = split_of(write_folder(tmp_path, files))
    assert set(splits) == set(files)
    of_the_user = {key for key, split in splits.items() if split == "validation"}
    assert of_the_user == {key for key in files if key.startswith(validation)}
    assert {splits[key] for key in files if key.startswith(train)} == {"train", "calibration", "test"}


def test_case_17_train_and_test_in_any_case(tmp_path):
    """The user's test images are not trained on."""
    files = [f"Train/{i}.png" for i in range(60)] + [f"Test/{i}.png" for i in range(20)]
    splits = split_of(write_folder(tmp_path, files))
    assert {key for key, split in splits.items() if split == "test"} == set(files[60:])


@pytest.mark.parametrize("other", ["cats/1.png", "1.png", "Train/1.png", "tests/1.png", "val_images/1.png"])
def test_case_17_what_nearly_fits_is_refused_with_what_was_found(tmp_path, other):
    name = write_folder(tmp_path, [*(f"train/{i}.png" for i in range(60)), other])
    for split in data.SPLITS:
        with pytest.raises(data.DataError, match=r"looks divided.* found .*train/ \(60\)") as error:
            data.load(name, split)
        assert "\n" not in str(error.value)


@pytest.fixture
def sorted_archive(tmp_path):
    """2,000 images in the order of their grey level."""
    levels = np.sort(np.random.default_rng(0).integers(0, 256, 2000)).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (2000, 8, 8, 1))
    np.savez(tmp_path / "sorted.npz", test=images, train=images[:3])
    return f"npz:{tmp_path / 'sorted.npz'}"


def test_case_19_max_images_is_a_fixed_sample_of_a_sorted_set(sorted_archive):
    whole = data.load(sorted_archive, "test")
    sample = data.load(sorted_archive, "test", max_images=500)
    assert sample.count == "500 of 2,000"
    means = [image_set.images[:, 0, 0, 0].astype(float).mean() for image_set in (whole, sample)]
    error = whole.images[:, 0, 0, 0].std() * np.sqrt(1 / 500 - 1 / 2000)
    assert abs(means[1] - means[0]) < 3 * error  # the first 500 are 20 such errors off
    smaller = data.load(sorted_archive, "test", max_images=100)
    assert smaller.keys == sample.keys[:100]
    again = data.load(sorted_archive, "test", max_images=500)
    np.testing.assert_array_equal(again.images, sample.images)


@pytest.mark.parametrize("channels", [1, 3])
def test_case_20_keys_of_medmnist_are_understood(tmp_path, channels):
    """`train_images`, `val_images`, `test_images`, and labels [N, 1]; grey images are [N, H, W]."""
    rng = np.random.default_rng(0)
    counts, arrays = {"train": 40, "val": 7, "test": 9}, {}
    for name, count in counts.items():
        images = rng.integers(0, 256, [count, 6, 5, channels], np.uint8)
        arrays[f"{name}_images"] = images[..., 0] if channels == 1 else images
        arrays[f"{name}_labels"] = rng.integers(0, 9, [count, 1], np.uint8)
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    name = f"npz:{tmp_path / 'bloodmnist.npz'}"
    test, validation = data.load(name), data.load(name, "validation")
    np.testing.assert_array_equal(test.images, arrays["test_images"].reshape(9, 6, 5, channels))
    np.testing.assert_array_equal(test.labels, arrays["test_labels"][:, 0])
    order = np.argsort([int(key.split(":")[1]) for key in validation.keys])
    np.testing.assert_array_equal(validation.labels[order], arrays["val_labels"][:, 0])
    train, calibration = data.load(name, "train"), data.load(name, "calibration")
    assert len(validation) == 7 and len(train) + len(calibration) == 40
    assert all(key.startswith("train_images:") for key in (*train.keys, *calibration.keys))
