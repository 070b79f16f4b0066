"""The examples of docs/dequantization.md run, and do what they say."""

import numpy as np
import pytest

from tests.documents import pages

DOCUMENT = pages.DOCS / "dequantization.md"


@pytest.fixture(scope="module")
def names():
    return pages.run(DOCUMENT)


def test_the_model_was_trained_with_its_noise(names):
    assert names["history"].step == 20
    assert np.abs(names["log_q"]).max() > 1e-3, "q is no longer uniform"


def test_several_draws_are_tighter_and_say_how_sure_they_are(names):
    assert (names["standard_error"].numpy() > 0).all()
    assert np.mean(names["log_prob"] - names["mean"]) > 0


def test_terms_and_noise_agree(names):
    np.testing.assert_allclose(names["log_q"], names["noise"].log_q, rtol=1e-3, atol=1e-2)
    u, images = names["noise"].u, names["images"][:8]
    assert u.shape == (8, 8, 8, 1) and (u.numpy() > 0).all() and (u.numpy() < 1).all()
    np.testing.assert_allclose(
        names["model"].dequantizer.log_prob(u, images), names["noise"].log_q, rtol=1e-2, atol=5e-2
    )
    assert names["uniform"].dequantizer is None
