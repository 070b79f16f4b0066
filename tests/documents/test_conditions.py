"""The examples of docs/conditions.md run, and do what they say."""

import numpy as np
import pytest

import tfp_flows
from tests.documents import pages

DOCUMENT = pages.DOCS / "conditions.md"


@pytest.fixture(scope="module")
def names():
    return pages.run(DOCUMENT)


def test_the_label_says_much_of_an_image_and_the_image_of_its_label(names):
    assert names["accuracy"] > 0.7
    gain = tfp_flows.bits_per_dim(
        names["log_p"] - names["log_p_given"], (8, 8, 1)
    )  # = log p(y | x) - log p(y)
    assert np.mean(gain) > 0 and names["by_class"].shape == [360, 10]
    counts = np.bincount(names["train"].labels)
    at_most = np.log(counts.sum() / counts.min()) / (64 * np.log(2))  # where the posterior is sure
    assert np.max(gain) < at_most + 1e-4


def test_images_of_a_class_are_like_those_of_it(names):
    assert names["drawn"].shape == [16, 8, 8, 1] and names["sevens"].shape == [3, 8, 8, 1]
    train, found = names["train"], names["of_each"].numpy()[:, :, np.newaxis]
    means = np.stack([train.images[train.labels == y].mean(0) for y in range(10)])
    nearest = ((found - means) ** 2).sum((-3, -2, -1)).argmin(-1)  # [8, 10]
    assert (nearest == np.arange(10)).mean() > 0.4


def test_a_low_resolution_tells_images_apart(names):
    assert names["guesses"].shape == [3, 4, 8, 8, 1]
    images = names["test"].images[:4]
    other = names["finer"].log_prob(images, condition=names["given"][::-1])
    assert np.mean(names["log_p_finer"] - other) > 10
    again = names["low_resolution"](names["guesses"].numpy()[0])
    right = np.abs(again - names["given"]).mean((1, 2, 3))
    wrong = np.abs(again - names["given"][::-1]).mean((1, 2, 3))
    assert right.mean() < wrong.mean()
