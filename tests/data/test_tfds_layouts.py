"""CelebA and ImageNet32 by their TFDS names, from small sets in the same layout."""

import numpy as np
import pytest

from tests.data import tfds_layouts
from tests.data.images import error_of
from tfp_flows import data

CELEB_A, IMAGENET32 = "celeb_a@crop=148@resize=32", "downsampled_imagenet/32x32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tfds")
    tfds_layouts.write_celeb_a(path)
    tfds_layouts.write_imagenet32(path)
    tfds_layouts.write_of_many_shapes(path)
    return path


@pytest.mark.parametrize("name", [CELEB_A, IMAGENET32])
def test_they_are_read_as_32_x_32_in_four_disjoint_splits(folder, name):
    parts = {
        split: data.load(name, split, data_dir=folder, image_shape=(32, 32, 3)) for split in data.SPLITS
    }
    assert sum(len(parts[split]) for split in ("train", "validation", "calibration")) == 60
    assert len(parts["test"]) == 24
    keys = [key for part in parts.values() for key in part.keys]
    assert len(set(keys)) == 84


def test_a_set_without_test_images_is_judged_on_its_validation_images(folder):
    test = data.load(IMAGENET32, "test", data_dir=folder)
    expected = np.random.default_rng(1).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    assert test.split == "test" and sorted(map(bytes, test.images)) == sorted(map(bytes, expected))


def test_celeb_a_is_judged_on_its_test_images_though_it_has_validation_images(folder):
    test = data.load("celeb_a", "test", data_dir=folder)
    expected = np.random.default_rng(2).integers(0, 256, (24, 218, 178, 3), dtype=np.uint8)
    assert sorted(map(bytes, test.images)) == sorted(map(bytes, expected))


def test_a_copy_on_the_disk_is_the_same(folder, tmp_path):
    for name in (CELEB_A, IMAGENET32):
        whole = data.load(name, "test", data_dir=folder)
        stored = data.load(name, "test", data_dir=folder, memory_limit_mib=0.01, cache_dir=tmp_path)
        assert data.is_on_disk(stored.images) and stored.keys == whole.keys
        np.testing.assert_array_equal(np.asarray(data.as_array(stored.images)), whole.images)


def test_images_of_several_shapes_are_refused(folder):
    message = error_of("downsampled_imagenet/64x64", "train", data_dir=folder)
    assert "differ in shape" in message


def test_the_fingerprint_is_of_the_files(tmp_path):
    for place in ("one", "other"):
        tfds_layouts.write_imagenet32(tmp_path / place)
    prints = {data.fingerprint(IMAGENET32, tmp_path / place) for place in ("one", "other")}
    assert len(prints) == 2
    assert data.fingerprint(IMAGENET32, tmp_path / "one") in prints
    file = next(path for path in (tmp_path / "one").rglob("*.tfrecord*") if path.is_file())
    file.write_bytes(file.read_bytes() + b"more")
    assert data.fingerprint(IMAGENET32, tmp_path / "one") not in prints
