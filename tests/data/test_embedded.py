"""The sets that come with scikit-learn: photos and digits."""

import collections
import re

import numpy as np
from sklearn.datasets import load_digits

from tfp_flows import data
from tfp_flows.data import embedded


def test_photo_crops_of_held_out_splits_touch_no_pixel_of_train_or_of_each_other():
    pictures = dict(embedded.photographs())
    covered = {}
    for split in data.SPLITS:
        crops = data.load("photos", split)
        masks = {file: np.zeros(picture.shape[:2], bool) for file, picture in pictures.items()}
        for key, image in zip(crops.keys, crops.images, strict=True):
            file, row, column = re.fullmatch(r"(.+):(\d+),(\d+)", key).groups()
            place = np.s_[int(row) : int(row) + 32, int(column) : int(column) + 32]
            np.testing.assert_array_equal(image, pictures[file][place])
            masks[file][place] = True
        assert len(set(crops.keys)) == len(crops) == embedded._NUM_CROPS[split]
        covered[split] = masks
    for file in pictures:
        times = sum(covered[split][file].astype(int) for split in data.SPLITS)
        assert times.max() == 1
        assert times.mean() > 0.95  # hardly a pixel is wasted


def test_photo_splits_look_alike():
    train = data.load("photos", "train").images
    for split in ("validation", "calibration", "test"):
        other = data.load("photos", split).images
        assert abs(train.mean() - other.mean()) < 12
        assert abs(train.std() - other.std()) < 12


def test_digits_are_scaled_and_stratified():
    source = load_digits()
    seen = []
    for split in data.SPLITS:
        digits = data.load("digits", split)
        indices = [int(key) for key in digits.keys]
        expected = [
            [[int(x * 255 / 16 + 0.5)] for x in image] for image in source.images[indices].reshape(-1, 64)
        ]
        np.testing.assert_array_equal(digits.images.reshape(-1, 64, 1), expected)
        np.testing.assert_array_equal(digits.labels, source.target[indices])
        seen += indices
    assert sorted(seen) == list(range(1797))
    counts = collections.Counter(data.load("digits", "test").labels.tolist())
    assert sum(counts.values()) == 360 and min(counts.values()) >= 34
