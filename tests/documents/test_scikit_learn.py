"""The examples of docs/scikit_learn.md run, and do what they say."""

import numpy as np
import pytest

from tests.documents import pages


@pytest.fixture(scope="module")
def names():
    found = {}
    for code in pages.blocks(pages.DOCS / "scikit_learn.md", "python"):
        exec(code, found)
    return found


def test_malignant_rows_are_foreign_and_benign_ones_are_not(names):
    estimator = names["estimator"]
    assert np.mean(estimator.predict(names["malignant"]) == -1) > 0.6
    assert np.mean(estimator.predict(names["held_out"]) == -1) < 0.3
    assert np.mean(names["verdicts"] == -1) > 0.4


def test_searches_end_with_one_that_was_asked_for(names):
    assert names["search"].best_params_["flowoutlierdetector__max_iter"] in (0, 100)
    scores = names["by_labels"].cv_results_["mean_test_score"]
    assert scores.max() > 0.9 and names["best"] == ["default", "typicality"][scores.argmax()]


def test_a_share_of_alpha_of_own_rows_is_called_foreign(names):
    assert np.mean(names["own_verdicts"] == -1) < 0.25
    assert names["of_images"].detector_.image_shape == (8, 8, 1)
    assert np.mean(names["of_images"].predict(names["digits"]["test"]) == -1) < 0.15
