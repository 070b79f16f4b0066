"""Draws the small sets of the package from the whole ones, the same ones whenever it is asked to.

    python -m tools.small_sets --data_dir=DIR --out=tfp_flows/data/small

DIR holds `fashion_mnist` and `mnist` in TFDS layout. The images are a random draw of seed 0, without any
that is there twice. Keys are those of the TFDS sets in DIR: where TFDS itself prepared them, their order,
and so the draw, may be another one.
"""

import argparse
import pathlib
from collections.abc import Iterator

import numpy as np

from tfp_flows.checks.atomic import write_atomically
from tfp_flows.data import small_sets
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.tfds import TfdsOptions, read_tfds

SEED = 0
SIZES = {"train": 6000, "validation": 1000, "calibration": 500, "test": 1000}
NUM_MNIST = 1000
FASHION_MNIST = {
    "origin": "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist",
    "licence": "MIT, Copyright (c) 2017 Zalando SE",
    "classes": ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
    + ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
}
MNIST = {
    "origin": "MNIST, Yann LeCun, Corinna Cortes, http://yann.lecun.com/exdb/mnist/",
    "licence": "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/",
    "classes": [str(digit) for digit in range(10)],
}


def sheets(data_dir: str) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of each split of each set."""
    options = TfdsOptions(data_dir)
    train, test, digits = (
        read_tfds(name, split, options)
        for name, split in (("fashion_mnist", "train"), ("fashion_mnist", "test"), ("mnist", "test"))
    )
    taken: set[bytes] = set()
    held = _drawn(train, sum(SIZES[split] for split in SIZES if split != "test"), taken)
    start = 0
    for split in ("train", "validation", "calibration"):
        part = held[start : start + SIZES[split]]
        start += SIZES[split]
        yield f"fashion_mnist_small-{split}.png", _sheet(train, part, FASHION_MNIST)
    yield "fashion_mnist_small-test.png", _sheet(test, _drawn(test, SIZES["test"], taken), FASHION_MNIST)
    yield "mnist_small-test.png", _sheet(digits, _drawn(digits, NUM_MNIST, taken), MNIST)


def _drawn(whole: ImageSet, count: int, taken: set[bytes]) -> np.ndarray:
    """Indices of `count` images that are not among those `taken`, to which they are added."""
    images, chosen = np.asarray(whole.images), []
    for index in np.random.RandomState(SEED).permutation(len(images)):
        content = images[index].tobytes()
        if content not in taken:
            taken.add(content)
            chosen.append(index)
        if len(chosen) == count:
            break
    return np.array(chosen)


def _sheet(whole: ImageSet, chosen: np.ndarray, about: dict) -> bytes:
    part = whole.select(chosen)
    labels = [] if part.labels is None else part.labels.tolist()
    return small_sets.pack(np.asarray(part.images), {**about, "keys": list(part.keys), "labels": labels})


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    for name, content in sheets(flags.data_dir):
        write_atomically(flags.out / name, content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
