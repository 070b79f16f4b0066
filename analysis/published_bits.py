"""Published bits per dimension: what the paper's tables, figures and slides print, and how sure we are."""

from typing import NamedTuple

PAPER = "Nalisnick et al. 2019"
SOURCES = {
    "slides": "the paper's slides",
    "read": "a facsimile of its table",  # in a public blog
    "figure": "a histogram alone",
    "memory": "memory, not found",
}


class Bits(NamedTuple):
    """One row of the paper.

    Attributes:
      family: "glow", "vae" or "pixelcnn".
      trained_on: Data set, by its TFDS name.
      judged_on: Likewise, or "noise", "constant=128".
      split: "train" or "test".
      bits: Mean bits per dimension; None where only a histogram is published.
      source: Key of `SOURCES`.
    """

    family: str
    trained_on: str
    judged_on: str
    split: str
    bits: float | None
    source: str


IMAGENET32 = "downsampled_imagenet/32x32"

ROWS = (
    Bits("glow", "fashion_mnist", "fashion_mnist", "train", 2.902, "read"),
    Bits("glow", "fashion_mnist", "fashion_mnist", "test", 2.958, "read"),
    Bits("glow", "fashion_mnist", "mnist", "test", 1.833, "read"),
    Bits("glow", "mnist", "mnist", "test", 1.262, "read"),
    Bits("glow", "mnist", "fashion_mnist", "test", None, "figure"),
    Bits("vae", "fashion_mnist", "fashion_mnist", "test", None, "figure"),
    Bits("vae", "fashion_mnist", "mnist", "test", None, "figure"),
    Bits("pixelcnn", "fashion_mnist", "fashion_mnist", "test", None, "figure"),
    Bits("pixelcnn", "fashion_mnist", "mnist", "test", None, "figure"),
    Bits("glow", "cifar10", "cifar10", "train", 3.386, "slides"),
    Bits("glow", "cifar10", "cifar10", "test", 3.464, "slides"),
    Bits("glow", "cifar10", "svhn_cropped", "test", 2.389, "slides"),
    Bits("glow", "cifar10", "noise", "test", 15.773, "memory"),
    Bits("glow", "cifar10", "constant=128", "test", 0.589, "memory"),
    Bits("glow", "svhn_cropped", "svhn_cropped", "test", 2.057, "slides"),
    Bits("glow", "svhn_cropped", "cifar10", "test", None, "figure"),
    Bits("vae", "cifar10", "cifar10", "test", None, "figure"),
    Bits("vae", "cifar10", "svhn_cropped", "test", None, "figure"),
    Bits("glow", "celeb_a", "celeb_a", "test", None, "figure"),
    Bits("glow", "celeb_a", "svhn_cropped", "test", None, "figure"),
    Bits("glow", IMAGENET32, IMAGENET32, "test", None, "figure"),
    Bits("glow", IMAGENET32, "cifar10", "test", None, "figure"),
    Bits("glow", IMAGENET32, "cifar100", "test", None, "figure"),
    Bits("glow", IMAGENET32, "svhn_cropped", "test", None, "figure"),
)

# 1000 x the variance of [0, 1] pixels by channel, which the closed form has differences of: from memory.
VARIANCES = {"cifar10": (61.9, 59.2, 68.1), "svhn_cropped": (49.6, 52.7, 53.6)}


def bits_of(family: str, trained_on: str, judged_on: str, split: str = "test") -> Bits | None:
    """The paper's row for a model and a set, by TFDS names; None where it has none."""
    wanted = (family, trained_on, judged_on, split)
    return next((row for row in ROWS if row[:4] == wanted), None)
