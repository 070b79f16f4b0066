"""What is said of a folder that was read, its labels, and the names of sets that take a run's operations."""

import json

import numpy as np
import pytest

from tests.data.images import grey_images, write_png
from tests.data.pictures import write_photos
from tfp_flows import data
from tfp_flows.data.layout import labels_of


def test_a_reading_is_json_and_follows_its_images(tmp_path):
    name = write_photos(tmp_path / "good", 40, (".png",))
    sets = [data.load(f"{name}@resize=8", split) for split in data.SPLITS]
    for one in sets:
        summary = one.reading.summary()
        assert json.loads(json.dumps(summary)) == summary
        assert summary["pictures"] == len(one) and summary["modes"] == {"RGB": len(one)}
        assert summary["image_shape"] == [8, 8, 3] and summary["resized"] == len(one)
    few = data.load(f"{name}@resize=8", "all", max_images=3)
    assert few.reading.summary()["pictures"] == 3 and few.total == 40
    whole = data.load(f"{name}@resize=8", "all")
    areas = sorted(fact.height * fact.width for fact in whole.reading.facts)
    sizes = whole.reading.summary()["sizes"]
    found = [sizes[key][0] * sizes[key][1] for key in ("smallest", "median", "largest")]
    assert found == [areas[0], areas[19], areas[-1]]


@pytest.mark.parametrize(
    "files, expected",
    [
        (
            ["cats/1.png", "dogs/2.png", "cats/deep/3.png"],
            {"cats/1.png": 0, "dogs/2.png": 1, "cats/deep/3.png": 0},
        ),
        (["train/b/1.png", "train/a/2.png", "test/c/3.png"], {"train/b/1.png": 1, "train/a/2.png": 0}),
        (["train/1.png", "test/2.png"], None),
        (["cats/1.png", "dogs/2.png", "3.png"], None),
        (["cats/1.png", "cats/2.png"], None),
        (["1.png"], None),
    ],
)
def test_classes_are_the_first_subfolders_that_are_no_split(files, expected):
    asked = list(expected or files)
    found = labels_of(asked, files)
    assert (found is None) == (expected is None)
    if expected is not None:
        np.testing.assert_array_equal(found[0], list(expected.values()))


def test_labels_go_with_their_images(tmp_path, rng):
    for index in range(60):
        write_png(tmp_path / "train" / "abc"[index % 3] / f"{index}.png", grey_images(rng, 1)[0, ..., 0])
    sets = [data.load(f"folder:{tmp_path}", split) for split in data.SPLITS]
    for one in sets:
        assert one.label_names == ("a", "b", "c") and one.labels.dtype == np.int64
        assert [one.label_names[label] for label in one.labels] == [key.split("/")[1] for key in one.keys]


def test_pictures_with_grey_in_the_majority_are_told_of_luminance(tmp_path, rng):
    for index in range(9):
        channels = 3 if index == 4 else 1
        write_png(tmp_path / f"{index}.png", grey_images(rng, 1, channels=channels)[0].squeeze())
    with pytest.raises(data.DataError, match=r"1 is RGB among grey \(4.png\): add @luminance; or skip it"):
        data.load(f"folder:{tmp_path}", "all")


@pytest.mark.parametrize(
    "name, expected",
    [
        ("folder:x", "folder:x@resize=8"),
        ("a=folder:x@rgb/", "a=folder:x@rgb/@resize=8"),
        ("mnist", "mnist@resize=8"),
        ("folder:x@rgb", "folder:x@rgb"),
        ("noise", "noise"),
        ("constant=7", "constant=7"),
    ],
)
def test_a_name_without_operations_takes_those_of_a_run(name, expected):
    assert data.names.with_operations(name, "@resize=8") == expected
    assert data.names.with_operations(name, "") == name


def test_contrast_with_a_preparation_has_the_means_of_the_run(tmp_path, rng):
    """Not those of the set's own training split, which the name alone would take."""
    np.savez(tmp_path / "x.npz", train=grey_images(rng, 60, high=50), test=grey_images(rng, 5))
    name = f"npz:{tmp_path / 'x.npz'}"
    operations = data.names.take_apart("mnist@contrast=0.5").operations
    preparation = data.Preparation(operations, (6, 5, 1), ((200.0,),))
    found = data.load(name, preparation=preparation)
    assert found.name == f"{name}@contrast=0.5"
    plain = data.load(name).images.astype(float)
    np.testing.assert_array_equal(found.images, np.rint(200 + 0.5 * (plain - 200)))
    means = data.contrast_means(f"{name}@contrast=0.5")
    assert means[0][0] == data.load(name, "train").images.mean()
    own = data.load(name, preparation=data.Preparation(operations, (6, 5, 1), means))
    np.testing.assert_array_equal(own.images, data.load(f"{name}@contrast=0.5").images)
