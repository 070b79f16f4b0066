"""The classes of a set: by name, wherever their labels count otherwise."""

import numpy as np
import pytest

from tfp_flows import data
from tfp_flows.data import tfds


def _set(labels, names=None, split="train"):
    count = len(labels)
    return data.ImageSet(
        "made",
        split,
        np.zeros([count, 2, 2, 1], np.uint8),
        np.array(labels),
        tuple(map(str, range(count))),
        label_names=names,
    )


def test_classes_are_those_of_the_labels_with_their_counts():
    classes = data.Classes.of(_set([7, 3, 7, 7]))
    assert (classes.names, classes.counts) == (("3", "7"), (1, 3))
    np.testing.assert_array_equal(classes.indices(_set([3, 7, 5])), [0, 1, data.UNKNOWN])
    assert data.Classes.from_json(classes.to_json()) == classes


def test_a_class_is_found_by_its_name_where_labels_count_otherwise():
    classes = data.Classes.of(_set([0, 1, 1], ("cat", "dog")))
    other = _set([0, 1, 2, 2], ("bird", "cat", "dog"), "test")
    np.testing.assert_array_equal(classes.indices(other), [data.UNKNOWN, 0, 1, 1])
    with pytest.warns(data.DataWarning, match="1 of 4 test images have labels that no training image has"):
        assert classes.only(other).keys == ("1", "2", "3")
    with pytest.raises(ValueError, match="none of its test images has a label of the training images"):
        classes.only(_set([0, 0], ("bird",), "test"))


def test_what_has_no_classes_is_refused():
    with pytest.raises(ValueError, match="its images have no labels"):
        data.Classes.of(data.load("photos", "test"))
    with pytest.raises(ValueError, match="all its images have one label, '4'"):
        data.Classes.of(_set([4, 4]))
    for values in (None, [], {"names": ["a"], "counts": [True]}, {"names": ["a", "a"], "counts": [1, 1]}):
        with pytest.raises(ValueError, match="classes"):
            data.Classes.from_json(values)


def test_labels_of_tfds_have_their_names_in_memory_and_in_a_copy(shared_images, tmp_path):
    names = data.load("fashion_mnist", data_dir=shared_images).label_names
    assert names is not None and names[9] == "Ankle boot"
    assert tfds.label_names("fashion_mnist", tfds.TfdsOptions(shared_images)) == names
    limited = dict(data_dir=shared_images, memory_limit_mib=1, cache_dir=tmp_path)
    assert data.load("fashion_mnist", **limited).label_names == names
