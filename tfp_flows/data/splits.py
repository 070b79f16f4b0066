"""How images are divided into train, validation, calibration and test: each by a hash of its own key.

An image's split depends on its key alone: the path of a file relative to its folder, the key of a TFDS
record, the index in an array. Images that are added or removed move no other.

    h = SHA-256(key) = h0 h1 h2 ...,        each h_i an unsigned 64-bit integer, big-endian

    test         h0 = 0 mod 10      about 1/10, where the source has no test split of its own
    validation   h1 <  2^64 / 20    about 1/20 of the others
    calibration  h1 >= 2^64 - 2^64 / c, rounded: about 1/c of the others
    train        all the rest

c is 20 for the large sets that are published, and 6 for a user's own files: a p-value of 0.01 takes 99
calibration images, which are there from about 700 on.

Train, validation and calibration are in ascending order of h2, so that the first images of a split are a
fair sample of it, even where the source is sorted by class.

No split is empty: where no h0 is divisible by ten, the image of smallest h0 is the test split; where no h1
is small (large) enough, the image of smallest (largest) h1 is the validation (calibration) split. In such a
small set, and there alone, a further image can take that place.
"""

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from tfp_flows.data.errors import DataError

DIVISION = 2  # of this module; 1 is `first_division`, that of runs that do not name theirs
DIVISIONS = (1, DIVISION)
HELD_OUT = ("test", "validation", "calibration")
_TEST_FRACTION = 10
VALIDATION_FRACTION = 20
CALIBRATION_FRACTION, CALIBRATION_FRACTION_OF_FILES = 20, 6
_LARGEST = np.uint64(2**64 - 1)


def divide(
    keys: Sequence[str],
    missing: Collection[str],
    name: str,
    calibration_fraction: int = CALIBRATION_FRACTION,
    validation_fraction: int = VALIDATION_FRACTION,
) -> dict[str, np.ndarray]:
    """Divides training images by their keys.

    Args:
      keys: One of each image.
      missing: Which of `HELD_OUT` to take from them: those that the source does not have of its own.
      name: The source, for the message.
      calibration_fraction: c, of which calibration gets one.
      validation_fraction: Likewise of validation.

    Returns:
      The int64 indices of "train" and of each of `missing`: disjoint, together 0..n-1, none empty. Those of
      "test" are in the order of the keys, the others in the order of their hashes.

    Raises:
      DataError: If there are fewer images than splits.
    """
    num_images = len(keys)
    if num_images <= len(missing):
        wanted = ", ".join(["train", *(split for split in HELD_OUT[1:] if split in missing)])
        wanted += " and test" if "test" in missing else ""
        count = "one image" if num_images == 1 else f"{num_images} training image(s)"
        raise DataError(f"{name}: {count} cannot be divided into {wanted}: give at least {len(missing) + 1}")
    hashes = _hashes(keys)
    divided, rest = {}, np.arange(num_images)
    if "test" in missing:
        divided["test"], rest = _test(hashes[:, 0], most=num_images - len(missing))
    rest = rest[np.argsort(hashes[rest, 1], kind="stable")]
    first, last = 0, len(rest)
    if "validation" in missing:
        found = np.count_nonzero(hashes[rest, 1] < np.uint64(2**64 // validation_fraction))
        first = int(np.clip(found, 1, last - 1 - ("calibration" in missing)))
    if "calibration" in missing:
        found = np.count_nonzero(hashes[rest, 1] > _LARGEST - np.uint64(2**64 // calibration_fraction))
        last -= int(np.clip(found, 1, last - first - 1))
    ranges = {"validation": slice(0, first), "calibration": slice(last, None), "train": slice(first, last)}
    for split, chosen in ranges.items():
        if split == "train" or split in missing:
            divided[split] = rest[chosen][np.argsort(hashes[rest[chosen], 2], kind="stable")]
    return divided


def in_order_of_chance(keys: Sequence[str]) -> np.ndarray:
    """The indices of the keys in ascending order of h2: the first n of them are a fixed random sample.

    It hardly depends on how many there are: a key that is among the first n of a set is so in every smaller
    set that holds it.
    """
    return np.argsort(_hashes(keys)[:, 2], kind="stable")


def is_test(key: str) -> bool:
    """Whether a key belongs to the test split, where the source has none of its own."""
    return int(_hashes([key])[0, 0]) % _TEST_FRACTION == 0


def _test(hashes: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the test split, 1 to `most` of them, and of the rest; both ascending."""
    outside = hashes % np.uint64(_TEST_FRACTION) != 0
    order = np.lexsort([hashes, outside])
    count = int(np.clip(np.count_nonzero(~outside), 1, most))
    return np.sort(order[:count]), np.sort(order[count:])


def _hashes(keys: Sequence[str]) -> np.ndarray:
    """h0, h1 and h2 of each key, uint64 `[N, 3]`."""
    digests = [hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:24] for key in keys]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64).reshape(-1, 3)
