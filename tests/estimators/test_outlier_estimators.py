"""Detectors in scikit-learn: signs, thresholds, pipelines, searches, copies."""

import copy
import pickle

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tensorflow_probability import distributions as tfd

import tfp_flows
from tfp_flows import detectors

RNG = np.random.default_rng(0)
OWN = (RNG.normal(size=[300, 2]) @ [[2.0, 1.0], [0.0, 0.5]] + [10.0, -3.0]).astype(np.float32)
FOREIGN = OWN[:40] + np.float32([0.0, 6.0])
NORMAL = tfd.MultivariateNormalDiag([10.0, -3.0], [2.0, 1.0])
SMALL = dict(num_steps=1, hidden_units=4, max_iter=0)


class Bright:
    """Of images: the brighter, the likelier, in 40 steps, so that there are ties."""

    event_shape = (8, 8, 1)

    def log_prob(self, images):
        return tf.floor(tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3]) / 5)


IMAGES = np.repeat(np.arange(200, dtype=np.uint8), 64).reshape(200, 8, 8, 1)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.5])
def test_the_sign_of_a_decision_is_that_of_p_and_alpha_ties_too(alpha):
    estimator = detectors.as_sklearn(detectors.Likelihood(Bright()), alpha).fit(IMAGES)
    scores = estimator.detector_.score(IMAGES)
    held_out = estimator.detector_.calibration_scores
    p_values = np.array([(1 + np.sum(held_out >= score)) / (len(held_out) + 1) for score in scores])
    np.testing.assert_allclose(estimator.p_values(IMAGES), p_values, rtol=1e-6)
    found = estimator.predict(IMAGES)
    np.testing.assert_array_equal(found, np.where(p_values <= alpha, -1, 1))
    assert set(found) == {-1, 1}
    decision = estimator.decision_function(IMAGES)
    np.testing.assert_array_equal(decision < 0, found == -1)
    assert (decision == 0).any(), "0 is the threshold itself, and own"
    np.testing.assert_array_equal(estimator.score_samples(IMAGES), -scores)
    np.testing.assert_array_equal(estimator.score_samples(IMAGES) - estimator.offset_, decision)
    assert len(held_out) == 100 and decision[0] < decision[-1]


def test_what_is_infinitely_strange_is_an_outlier_unless_the_calibration_is_too():
    infinite = tfd.Independent(tfd.Uniform([0.0, 0.0], [1.0, 1.0]), 1)  # log p is minus infinity outside
    rows = np.random.default_rng(1).uniform(size=[80, 2]).astype(np.float32)
    inside = detectors.as_sklearn(detectors.Likelihood(infinite)).fit(rows)
    np.testing.assert_array_equal(inside.predict([[0.5, 0.5], [2.0, 2.0]]), [1, -1])
    assert inside.decision_function([[2.0, 2.0]]) == [-np.inf]
    half = detectors.as_sklearn(detectors.Likelihood(infinite)).fit(rows * 2)
    np.testing.assert_array_equal(half.predict([[0.5, 0.5], [3.0, 3.0]]), [1, 1])
    np.testing.assert_array_equal(half.decision_function([[0.5, 0.5], [3.0, 3.0]]), [np.inf, 0.0])


def test_too_few_rows_raise_the_level_and_say_so():
    with pytest.warns(UserWarning, match="10 rows .* 0.05 or less: the level is 0.0909. At least 19 are"):
        estimator = detectors.as_sklearn(detectors.Likelihood(NORMAL)).fit(OWN[:20])
    assert estimator.alpha_ == 1 / 11 and estimator.alpha == 0.05
    held_out = -estimator.detector_.calibration_scores
    assert estimator.offset_ == held_out.min(), "stranger than every one of them"


def test_the_detector_given_is_left_as_it_is_and_one_that_is_fitted_can_be_asked_at_once():
    detector = detectors.Default(NORMAL)
    estimator = detectors.as_sklearn(detector, random_state=3)
    with pytest.raises(NotFittedError):
        estimator.predict(OWN)
    estimator.fit(OWN)
    assert not detector.fitted and detector.calibration_scores is None
    assert estimator.detector_.models == [NORMAL] and estimator.detector_.settings == detector.settings
    again = clone(estimator).fit(OWN)
    np.testing.assert_array_equal(again.decision_function(OWN), estimator.decision_function(OWN))
    other = clone(estimator).set_params(random_state=4).fit(OWN)
    assert other.offset_ != estimator.offset_
    with pytest.raises(NotFittedError):
        clone(estimator).predict(OWN)

    detector.fit(OWN[:150]).calibrate(OWN[150:])
    ready = detectors.as_sklearn(detector, alpha=0.2)
    np.testing.assert_array_equal(ready.predict(OWN) == -1, detector.predict(OWN, 0.2))
    assert ready.n_features_in_ == 2 and clone(ready).detector is detector
    with pytest.raises(detectors.DetectorError, match="`alpha` must be in"):
        detectors.as_sklearn(detector, alpha=1.5)
    for fraction in (0.0, 1.0):
        with pytest.raises(detectors.DetectorError, match="must be positive and sum to 1"):
            detectors.as_sklearn(detector, calibration_fraction=fraction).fit(OWN)


def test_what_is_fitted_takes_as_many_images_at_once_as_the_detector_given():
    estimator = detectors.as_sklearn(detectors.Likelihood(NORMAL, batch_size=17)).fit(OWN)
    statistics = estimator.detector_.statistics
    assert estimator.detector_.batch_size == 17 == estimator.detector_.formula.block_size
    assert [len(batch) for batch in statistics.batches(OWN[:40])] == [17, 17, 6]


def test_calibration_rows_are_used_for_nothing_else():
    estimator = detectors.as_sklearn(detectors.Default(NORMAL), calibration_fraction=0.2).fit(OWN)
    fitted_to = estimator.detector_.fitted["neighbours_points"]
    held_out = estimator.detector_.calibration_scores
    scores = np.sort(estimator.detector_.score(OWN))
    assert len(fitted_to) == 240 and len(held_out) == 60
    assert np.isin(held_out, scores).all()


def test_images_in_a_pipeline_and_a_search():
    """The search finds the detector to which dark images are foreign; images go through as they are."""
    labels = np.where(np.arange(200) < 60, -1, 1)
    inverted = FunctionTransformer(lambda images: 255 - images)
    pipeline = make_pipeline(inverted, detectors.as_sklearn(detectors.Likelihood(Bright()), 0.1))
    pipeline.fit(IMAGES[:150])
    assert pipeline[-1].detector_.image_shape == (8, 8, 1)
    np.testing.assert_array_equal(pipeline.predict(IMAGES[[0, 199]]), [1, -1])

    own, rest = np.arange(60, 160), np.r_[0:60, 160:200]
    grid = {"detector": [detectors.Typicality(Bright()), detectors.Likelihood(Bright())]}
    estimator = detectors.as_sklearn(detectors.Typicality(Bright()))
    search = GridSearchCV(estimator, grid, scoring="roc_auc", cv=[(own, rest)], refit=False)
    search.fit(IMAGES, labels)
    assert search.best_params_["detector"].name == "likelihood" and search.best_score_ == 1.0
    decisions = cross_val_predict(estimator.set_params(**search.best_params_), IMAGES, cv=4)
    assert decisions.shape == (200,) and set(decisions) <= {-1, 1}


@pytest.fixture(scope="module")
def fitted():
    return tfp_flows.FlowOutlierDetector(num_steps=2, hidden_units=8, max_iter=60).fit(OWN)


def test_a_flow_is_trained_in_fit(fitted):
    assert fitted.n_iter_ == 60 and fitted.n_features_in_ == 2
    assert fitted.flow_.dtype == tf.float64
    log_probs = fitted.flow_.log_prob(OWN.astype(np.float64)).numpy()
    assert fitted.score(OWN) == pytest.approx(log_probs.mean())
    loc, covariance = OWN.mean(0), np.cov(OWN.T)
    normal = tfd.MultivariateNormalTriL(loc, np.linalg.cholesky(covariance).astype(np.float32))
    assert fitted.score(OWN) == pytest.approx(np.mean(normal.log_prob(OWN)), abs=0.2)
    assert roc_auc_score([1] * 300 + [0] * 40, fitted.decision_function(np.r_[OWN, FOREIGN])) > 0.99
    assert np.mean(fitted.predict(FOREIGN) == -1) > 0.95 and np.mean(fitted.predict(OWN) == -1) < 0.1


def test_copies_say_the_same(fitted):
    expected = fitted.decision_function(OWN)
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(other.decision_function(OWN), expected)
        assert other.flow_ is not fitted.flow_ and other.score(OWN) == fitted.score(OWN)
        assert other.get_params() == fitted.get_params()
    text = pickle.dumps(fitted)
    assert b"tensorflow" not in text, "arrays and numbers alone"
    np.testing.assert_array_equal(fitted.decision_function(OWN), expected)


def test_a_pickle_is_what_was_fitted_whatever_was_set_since(fitted):
    changed = copy.deepcopy(fitted).set_params(prior="normal", detector="typicality", num_steps=3)
    copied = pickle.loads(pickle.dumps(changed))
    np.testing.assert_array_equal(copied.score_samples(OWN[:20]), fitted.score_samples(OWN[:20]))
    assert copied.get_params() == changed.get_params()


def test_without_a_step_the_flow_is_the_normal_distribution_of_the_rows():
    estimator = tfp_flows.FlowOutlierDetector("likelihood", prior="normal", **SMALL).fit(OWN)
    assert estimator.n_iter_ == 0
    normal = tfd.MultivariateNormalTriL(
        OWN.mean(0).astype(np.float64), np.linalg.cholesky(np.cov(OWN.T.astype(np.float64)))
    )
    log_probs = normal.log_prob(OWN.astype(np.float64))
    assert np.corrcoef(estimator.score_samples(OWN), log_probs)[0, 1] > 0.97
    first, second = (
        tfp_flows.FlowOutlierDetector("likelihood", random_state=seed, **SMALL).fit(OWN).offset_
        for seed in (0, 1)
    )
    assert first != second


def test_in_a_pipeline_and_a_search_without_labels():
    """By mean log p: rows with heavy tails want a latent with heavy tails."""
    heavy = np.random.default_rng(0).standard_t(1.5, size=[400, 2])
    estimator = tfp_flows.FlowOutlierDetector("likelihood", **SMALL)
    pipeline = make_pipeline(StandardScaler(), estimator)
    search = GridSearchCV(pipeline, {"flowoutlierdetector__prior": ["normal", "student_t"]}, cv=2)
    search.fit(heavy)
    assert search.best_params_ == {"flowoutlierdetector__prior": "student_t"}
    assert search.predict([[0.0, 0.0], [1e6, 0.0]]).tolist() == [1, -1]


def test_what_cannot_be_fitted_is_one_line():
    make = tfp_flows.FlowOutlierDetector
    for estimator, rows, message in (
        (make(**SMALL), OWN[:, :1], "at least two columns"),
        (make(**SMALL), np.c_[OWN, np.ones(300)], "columns 2.*leave them out"),
        (make("nothing", **SMALL), OWN, "`detector` must be one of default"),
        (
            make("input_complexity", **SMALL),
            OWN,
            "input_complexity is not one of a single flow over vectors",
        ),
        (make("waic", **SMALL), OWN, "waic is not one of a single flow over vectors"),
        (make("foreign_patches", **SMALL), OWN, "foreign_patches is not one of"),
        (make("likelihood_regret", **SMALL), OWN, "needs a VAE|is not one of|is for images"),
        (make(validation_fraction=0.8, **SMALL), OWN, "must be positive and sum to 1"),
        (make(calibration_fraction=0.001, validation_fraction=0.99, **SMALL), OWN[:20], "too few"),
        (make(num_steps=0, max_iter=0), OWN, "`num_steps` must be a positive integer"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            estimator.fit(rows)
        assert "\n" not in str(caught.value)
