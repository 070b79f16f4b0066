"""The data of a reproduction: which images stand for which set of the paper, and how many there are."""

import glob
import json
import os
import pathlib
from typing import Any, NamedTuple

from analysis.published_bits import IMAGENET32
from tfp_flows import data

TITLES = {
    "fashion_mnist": "FashionMNIST",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn_cropped": "SVHN",
    "celeb_a": "CelebA",
    IMAGENET32: "ImageNet32",
    "constant": "constant images",
    "constant=128": "constant 128",
    "noise": "noise",
}
OFFICIAL = {  # (training, test) images
    "fashion_mnist": (60_000, 10_000),
    "mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "svhn_cropped": (73_257, 26_032),
    "celeb_a": (162_770, 19_962),
    IMAGENET32: (1_281_149, 49_999),
}
# CelebA as it is usually cut to 32 x 32: the paper does not say how; ImageNet32 comes so.
PREPARED = {"celeb_a": "CelebA=celeb_a@crop=148@resize=32", IMAGENET32: f"ImageNet32={IMAGENET32}"}
EMBEDDED = {  # what stands for a set in the smoke scale: (to train on, to judge on)
    "fashion_mnist": ("fashion_mnist_small", "fashion_mnist_small"),
    "mnist": ("digits@resize=28", "mnist_small"),
    "cifar10": ("photos", "photos"),
    "svhn_cropped": ("digits@resize=32@rgb", "digits@resize=32@rgb"),
}
SPLITS = ("train", "validation", "calibration")


class Named(NamedTuple):
    """A set of the paper and the images that stand for it.

    Attributes:
      key: Its TFDS name, or "constant", "constant=128", "noise".
      name: Of the images, as in `tfp_flows.data`.
    """

    key: str
    name: str


def to_train_on(key: str, smoke: bool) -> Named:
    """The images that a model learns."""
    return Named(key, EMBEDDED[key][0] if smoke and key in EMBEDDED else PREPARED.get(key, key))


def to_judge_on(key: str, smoke: bool) -> Named:
    """The images that models are judged on."""
    return Named(key, EMBEDDED[key][1] if smoke and key in EMBEDDED else PREPARED.get(key, key))


def why_missing(name: str, split: str, where: dict[str, Any]) -> str:
    """Why a split is not to be had here, in a line, or ""."""
    try:
        data.load(name, split, max_images=2, **where)
    except data.DataError as error:
        return str(error)
    return ""


def data_note(named: Named, where: dict[str, Any]) -> str:
    """What the images are: how many of the official ones, or what stands for them; "" of those we make.

    Such as "25,000 of 50,000 train, 9,966 of 10,000 test", or "complete".

    Raises:
      DataError: If they are not here.
    """
    if named.key not in OFFICIAL:
        return ""
    if named.name not in (named.key, PREPARED.get(named.key)):
        return f"for it: {named.name}"
    official_train, official_test = OFFICIAL[named.key]
    train = sum(len(data.load(named.name, split, **where)) for split in SPLITS)
    test = len(data.load(named.name, "test", **where))
    few = [
        f"{count:,} of {official:,} {which}"
        for count, official, which in ((train, official_train, "train"), (test, official_test, "test"))
        if count != official
    ]
    return ", ".join(few) or "complete"


def remark(named: Named, data_dir: str | None) -> str:
    """What a prepared set says of itself where it was not prepared by TFDS; "" of others."""
    if named.key not in OFFICIAL or data_dir is None:
        return ""
    folder = pathlib.Path(data_dir) / named.key
    for file in sorted(
        glob.glob(os.path.join(glob.escape(str(folder)), "**", "dataset_info.json"), recursive=True)
    ):
        values = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        if str(values.get("moduleName", "")).endswith("adhoc_builder"):
            return " ".join(str(values.get("description", "")).split())
    return ""
