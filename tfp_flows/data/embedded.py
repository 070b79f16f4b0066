"""The sets that come with the package or with scikit-learn: they need neither a download nor a folder.

`photos`: 32x32x3 crops of two photographs (427x640: a temple and a flower). Each picture is cut
into 16 vertical strips, every second one for training, the others for validation, calibration and
test in turn. A crop lies wholly within one strip, so no pixel belongs to crops of two splits;
and as the strips interleave across the picture, the splits look alike. No flips. These four splits are the
set's own, whatever the division of other sets. So are those of the package's own two (`small_sets`).

`digits`: 1797 handwritten digits of 8x8x1, a fifth of them (stratified by class) for testing. The
file's values 0..16 are scaled to grey levels, round(x * 255 / 16).
"""

import functools
from pathlib import Path

import numpy as np

from tfp_flows.data.image_set import ALL, SPLITS, ImageSet, joined
from tfp_flows.data.small_sets import SMALL_SPLITS, small_set

OWN_SPLITS = {"photos": SPLITS, **SMALL_SPLITS}  # sets that no rule divides
CROP = 32
_NUM_CROPS = {"train": 8000, "validation": 500, "calibration": 500, "test": 1000}
_STRIP_WIDTHS = {"train": 44, "validation": 36, "calibration": 36, "test": 36}
_HELD_OUT_STRIPS = (
    (
        "test",
        "validation",
        "calibration",
        "test",
        "validation",
        "calibration",
        "test",
        "calibration",
    ),
    (
        "calibration",
        "validation",
        "test",
        "calibration",
        "validation",
        "test",
        "calibration",
        "test",
    ),
)
_NUM_TEST_DIGITS = 360


def own_split(kind: str, split: str) -> ImageSet:
    """A split of one of `OWN_SPLITS`; all of them for "all".

    Raises:
      DataError: If it has no such split.
    """
    if split == ALL:
        return joined([own_split(kind, each) for each in OWN_SPLITS[kind]], ALL)
    return photo_crops(split) if kind == "photos" else small_set(kind, split)


def photo_strips(picture: int) -> list[tuple[str, int, int]]:
    """The strips of picture 0 or 1, from left to right: (split, first column, end column)."""
    strips, column = [], 0
    for held_out in _HELD_OUT_STRIPS[picture]:
        for split in ("train", held_out):
            end = column + _STRIP_WIDTHS[split]
            strips.append((split, column, end))
            column = end
    return strips


@functools.lru_cache(maxsize=1)
def photographs() -> tuple[tuple[str, np.ndarray], ...]:
    """The two photographs: file name and `uint8 [427, 640, 3]`."""
    from sklearn.datasets import load_sample_images  # here, as it is slow to import

    bunch = load_sample_images()
    names = [Path(filename).name for filename in bunch.filenames]
    return tuple(zip(names, map(np.asarray, bunch.images), strict=True))


def photo_crops(split: str) -> ImageSet:
    """Crops of the photographs at distinct places, drawn once and for all.

    Args:
      split: One of `SPLITS`: 8000 crops for train, 500 for validation and for calibration, 1000
        for test.

    Returns:
      The crops, `uint8 [N, 32, 32, 3]`; a key is "FILE:ROW,COLUMN" of the upper left pixel.
    """
    pictures = photographs()
    places = [
        (number, row, column)
        for number, (_, picture) in enumerate(pictures)
        for owner, first, end in photo_strips(number)
        if owner == split
        for row in range(picture.shape[0] - CROP + 1)
        for column in range(first, end - CROP + 1)
    ]
    order = np.random.RandomState(0).permutation(len(places))[: _NUM_CROPS[split]]
    chosen = [places[index] for index in order]
    images = np.stack(
        [pictures[n][1][row : row + CROP, column : column + CROP] for n, row, column in chosen]
    )
    keys = tuple(f"{pictures[n][0]}:{row},{column}" for n, row, column in chosen)
    return ImageSet("photos", split, images, None, keys)


def digit_images(split: str) -> ImageSet:
    """The handwritten digits.

    Args:
      split: "train" (1437 images, to be divided further) or "test" (360).

    Returns:
      The images, `uint8 [N, 8, 8, 1]`, with labels 0..9; the keys are indices into the file.
    """
    from sklearn.datasets import load_digits  # here, as they are slow to import
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    indices = np.arange(len(digits.images))
    train, test = train_test_split(
        indices, test_size=_NUM_TEST_DIGITS, stratify=digits.target, random_state=0
    )
    chosen = np.sort(test if split == "test" else train)
    images = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    return ImageSet("digits", split, images, digits.target[chosen], tuple(map(str, chosen)))
