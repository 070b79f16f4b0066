"""Statistics, formula and conformal p-values, each on its own."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.detectors.models import gaussian, random_images
from tfp_flows import detectors
from tfp_flows.checks import UserError
from tfp_flows.detectors.conformal import Conformal
from tfp_flows.detectors.formula import Formula
from tfp_flows.detectors.hooks import Hooks
from tfp_flows.detectors.statistics import Statistics


class Mean(Hooks):
    """The mean in TensorFlow, the maximum on the host, and a shift that is fitted."""

    name = "mean"
    models = ()

    def __init__(self):
        self.traced = 0

    def _graph_statistics(self, images):
        self.traced += 1
        return tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3])[:, tf.newaxis]

    def _host_statistics(self, images):
        return images.max(axis=(1, 2, 3))[:, np.newaxis]

    def _fit_statistics(self, statistics):
        return {"shift": statistics.mean(axis=0)}

    def _formula(self, statistics, fitted):
        return tf.math.log(tf.reduce_sum(statistics - fitted["shift"], axis=-1))

    def _needed(self):
        return ("shift",)


def test_statistics_in_batches_traced_once_until_forgotten():
    hooks, images = Mean(), random_images(11)
    statistics = Statistics(hooks, None, batch_size=4)
    with pytest.raises(detectors.DetectorError, match="shape of the images is not known yet"):
        statistics.compiled()
    expected = np.stack([images.mean(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=-1)
    np.testing.assert_allclose(statistics(images), expected, rtol=1e-6)
    assert statistics(images[:3]).dtype == np.float64 and statistics.image_shape == (4, 4, 1)
    assert [len(batch) for batch in statistics.batches(images)] == [4, 4, 3] and hooks.traced == 1
    _, seconds = statistics.timed(images)
    assert 0 < seconds < 1
    statistics.forget_graph()
    statistics(images)
    assert hooks.traced == 2
    with pytest.raises(detectors.DetectorError, match=r"mean: images must have shape \[N, 4, 4, 1\]"):
        statistics(images[:, 1:])


def test_a_stored_graph_stands_for_the_models():
    hooks = Mean()
    statistics = Statistics(hooks, None, 4, stored=lambda x: tf.zeros([len(x), 2], tf.float64))
    statistics.forget_graph()
    assert statistics(random_images(3)).shape == (3, 3) and hooks.traced == 0
    with pytest.raises(detectors.DetectorError, match="stored as statistics alone, so it cannot be drawn"):
        statistics.need_models("drawn")


def test_a_formula_scores_in_blocks_and_what_is_no_number_is_infinite():
    formula = Formula(Mean(), block_size=2)
    with pytest.raises(detectors.DetectorError, match="mean: call fit first"):
        formula(np.ones([3, 2]))
    formula.fit([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(formula.fitted["shift"], [1.0, 2.0])
    scores = formula(np.array([[2.0, 2.0], [3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(scores, [0.0, np.log(4.0), np.inf], rtol=1e-6)
    assert scores.dtype == np.float32 and formula(np.zeros([0, 2])).shape == (0,)


def test_conformal_p_values_and_decisions():
    conformal = Conformal("mine")
    with pytest.raises(detectors.DetectorError, match="mine: call calibrate first"):
        conformal.p_values([1.0])
    conformal.calibrate([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(conformal.scores, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(conformal.p_values([0.0, 2.0, 3.5]), [1.0, 0.75, 0.25])
    np.testing.assert_array_equal(conformal.predict([0.0, 2.0, 3.5], 0.25), [False, False, True])


def test_the_warning_of_too_few_scores_is_shown_at_the_callers_line():
    detector = detectors.Likelihood(gaussian()).calibrate(random_images(5))
    with pytest.warns(UserWarning, match="give at least 19") as found:
        detector.predict(random_images(2))
    assert found[0].filename == __file__


def test_without_models_statistics_must_come_from_elsewhere():
    whole = detectors.Typicality(gaussian()).fit(random_images(9))
    statistics = whole.statistics(random_images(9))
    found = detectors.Typicality.without_models({}).fit_statistics(statistics)
    np.testing.assert_array_equal(found.score_statistics(statistics), whole.score(random_images(9)))
    with pytest.raises(detectors.DetectorError, match="typicality: has no model"):
        found.score(random_images(2))


@pytest.mark.parametrize(
    ("package", "use", "message"),
    [
        (
            "imagecodecs",
            lambda: detectors.InputComplexity(gaussian(), "best"),
            r'other than PNG needs imagecodecs: pip install "tfp-flows\[codecs\]"',
        ),
        (
            "sklearn.svm",
            lambda: detectors.DensityOfStates(gaussian(), "svm").fit(random_images()),
            "`density` svm needs scikit-learn .*pip install scikit-learn",
        ),
    ],
)
def test_a_package_that_one_detector_needs(package, use, message, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=message) as error:
        use()
    assert "\n" not in str(error.value)
    images = random_images()
    assert detectors.InputComplexity(gaussian()).score(images).shape == (50,)
    assert detectors.DensityOfStates(gaussian()).fit(images).score(images).shape == (50,)
