"""Detectors take vectors `[N, D]` of a model of vectors as they take images."""

import functools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import tfp_flows
from tests.detectors.models import small_glow
from tfp_flows import detectors, testing

SIZE = 4
RNG = np.random.default_rng(0)
FACTOR = np.tril(RNG.normal(size=[SIZE, SIZE])) + 2 * np.eye(SIZE)
LOC = np.array([10.0, -200.0, 0.0, 3e4])


def _drawn(count, seed):
    draws = np.random.default_rng(seed).normal(size=[count, SIZE])
    return (LOC + draws @ FACTOR.T).astype(np.float32)


FIT, CALIBRATION, SEEN = _drawn(400, 1), _drawn(200, 2), _drawn(6, 3)
DISTANT = SEEN + np.float32([0, 0, 30, 0])


@functools.cache
def _flow(seed=0):
    flow = tfp_flows.vector_flow(SIZE, num_steps=2, hidden_units=8, seed=seed)
    tfp_flows.models.vectors.FAMILY.initialize(flow, FIT)
    testing.perturb(flow.bijector, seed, 0.02)
    return flow


@functools.cache
def _normal():
    return tfd.MultivariateNormalTriL(LOC.astype(np.float32), FACTOR.astype(np.float32))


CASES = {
    "default": lambda: detectors.Default(_flow()),
    "likelihood": lambda: detectors.Likelihood(_flow()),
    "typicality": lambda: detectors.Typicality(_flow()),
    "density_of_states": lambda: detectors.DensityOfStates(_flow()),
    "likelihood_ratio": lambda: detectors.LikelihoodRatio(_flow(), [_flow(1), _normal()]),
    "waic": lambda: detectors.WAIC([_flow(), _flow(1)]),
    "outlier_exposure": lambda: detectors.OutlierExposure(_flow()),
    "gradient_norms": lambda: detectors.GradientNorms(_flow()),
    "score_test": lambda: detectors.ScoreTest(_flow(), num_fisher_images=8),
    "local_intrinsic_dimension": lambda: detectors.LocalIntrinsicDimension(_flow(), threshold=1.0),
    "second_order": lambda: detectors.SecondOrder(_flow()),
}
OF_VAES = {"likelihood_regret", "likelihood_path"}


def test_every_detector_takes_vectors_or_says_that_it_does_not():
    taking = {name for name, kind in detectors.DETECTORS.items() if kind.takes_vectors}
    assert taking == set(CASES) | OF_VAES
    for name in ("input_complexity", "sitn"):
        with pytest.raises(
            detectors.DetectorError, match=f"{name}: this score is for images .H, W, C., and"
        ):
            detectors.DETECTORS[name](_flow())
    unknown = tf.Module()
    unknown.log_prob = lambda images: tf.reduce_sum(tf.cast(images, tf.float32))
    with pytest.raises(detectors.DetectorError, match="this score is for images"):
        detectors.InputComplexity(unknown).fit(FIT)


@pytest.mark.parametrize("name", CASES)
def test_contract(name, tmp_path):
    fitted_to = FIT[:40] if detectors.DETECTORS[name].cost != "fast" else FIT
    detector = testing.check_detector(CASES[name], fitted_to, CALIBRATION[:50], SEEN)
    assert detector.statistics.compiled().experimental_get_tracing_count() == 1
    detector.save(tmp_path / "saved")
    again = detectors.load(tmp_path / "saved")
    assert again.image_shape == (SIZE,)
    np.testing.assert_allclose(again.score(SEEN), detector.score(SEEN), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(again.predict(DISTANT, 0.05), detector.predict(DISTANT, 0.05))
    with pytest.raises(detectors.DetectorError, match=r"vectors must have shape \[N, 4\]"):
        again.score(np.zeros([2, 8, 8, 1], np.uint8))


def test_tail_fractions_of_a_normal_model_are_those_of_chi_squared():
    """Both tests of a normal model are its squared distance: p is the tail of chi^2 with D degrees."""
    detector = detectors.Default(_normal()).fit(_drawn(20_000, 4))
    draws = np.random.default_rng(5).normal(size=[500, SIZE])
    vectors = (LOC + draws @ FACTOR.T).astype(np.float32)
    expected = scipy.stats.chi2.sf((draws**2).sum(axis=1), SIZE)
    found = detector.tests(vectors)
    assert list(found) == ["likelihood", "mahalanobis"]
    np.testing.assert_allclose(found["mahalanobis"], expected, atol=0.025)
    log_prob = _normal().log_prob(vectors)
    unlikely = expected < 0.1  # where log p is high, the test of it is two-sided
    assert scipy.stats.spearmanr(found["likelihood"][unlikely], log_prob[unlikely])[0] > 0.99
    np.testing.assert_allclose(found["likelihood"][unlikely], expected[unlikely], atol=0.03)


def test_columns_are_residuals_of_a_regression_on_all_others():
    detector = detectors.Default(_normal()).fit(_drawn(20_000, 4))
    covariance = FACTOR @ FACTOR.T
    centred = DISTANT.astype(np.float64) - LOC
    expected = np.zeros_like(centred)
    for i in range(SIZE):
        others = [j for j in range(SIZE) if j != i]
        slope = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, i])
        variance = covariance[i, i] - slope @ covariance[others, i]
        expected[:, i] = (centred[:, i] - centred[:, others] @ slope) / np.sqrt(variance)
    np.testing.assert_allclose(detector.columns(DISTANT), expected, rtol=0.05, atol=0.1)
    with pytest.raises(detectors.DetectorError, match="images .* have no columns"):
        images = np.random.default_rng(0).integers(0, 256, [30, 8, 8, 1]).astype(np.uint8)
        detectors.Default(small_glow()).fit(images).columns(images)


def test_an_explanation_of_a_vector_names_its_strangest_columns(tmp_path):
    detector = detectors.Default(_normal()).fit(FIT).calibrate(CALIBRATION)
    one = detector.explain(DISTANT[0])
    assert one.verdict == "out" and one.map is None and "vectors, which have no pixels" in one.no_map
    assert "by mahalanobis" in str(one) and "strangest columns" in str(one)
    assert f"{abs(one.columns).argmax()} (" in str(one)
    assert "foreign" in one._repr_html_() and "<img" not in one._repr_html_() and one._repr_png_() is None
    one.save(tmp_path / "one.html")
    with pytest.raises(detectors.DetectorError, match="a vector has no picture"):
        one.save(tmp_path / "one.png")
    several = detector.explain(SEEN)
    assert [e.key for e in several] == [f"vector {i + 1}" for i in range(len(SEEN))]


def test_the_terms_of_a_flow_over_vectors_sum_to_its_log_prob():
    statistics = detectors.DensityOfStates(_flow()).statistics(SEEN)
    np.testing.assert_allclose(statistics[:, 0], _flow().log_prob(SEEN), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(statistics[:, 1] + statistics[:, 2], statistics[:, 0], rtol=1e-5, atol=1e-4)
    z = _flow().bijector.inverse(tf.identity(SEEN))
    np.testing.assert_allclose(statistics[:, 1], _flow().distribution.log_prob(z), rtol=1e-5, atol=1e-4)
    assert detectors.DensityOfStates(_normal()).statistics(SEEN).shape == (len(SEEN), 1), "constant volume"


def test_vectors_in_float64_are_judged_in_float64():
    wide = tfd.MultivariateNormalDiag(tf.fill([2], tf.constant(1e9, tf.float64)), tf.ones([2], tf.float64))
    detector = detectors.Likelihood(wide)
    statistics = detector.statistics(np.array([[1e9 + 0.25, 1e9], [1e9, 1e9]]))[:, 0]
    assert statistics[1] - statistics[0] == pytest.approx(0.5 * 0.25**2)


def test_a_detector_of_vectors_runs_in_a_saved_model(tmp_path):
    detector = detectors.Default(_flow()).fit(FIT).calibrate(CALIBRATION)
    module = tf.Module()
    module.score = tf.function(
        detector.graph_score, input_signature=[tf.TensorSpec([None, SIZE], tf.float32)]
    )
    module.score.get_concrete_function()
    module.kept = list(_flow().variables)
    tf.saved_model.save(module, str(tmp_path / "export"))
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(loaded.score(SEEN), detector.score(SEEN), rtol=1e-5)


def test_no_pictures_are_taken_for_vectors():
    detector = detectors.Likelihood(_flow()).fit(FIT)
    with pytest.raises(detectors.DetectorError, match=r"takes vectors \[4\], and no pictures"):
        detector.score(["a.png"])


def test_features_of_a_fixed_network_are_judged_as_images(tmp_path):
    """log p(h(x)) of images uint8; the terms are those of the flow, and the network is stored with it."""
    weights = tf.Variable(np.random.default_rng(0).normal(size=[64, SIZE]).astype(np.float32))

    def network(images):
        return tf.reshape(images, [-1, 64]) @ weights / 255.0

    images = np.random.default_rng(1).integers(0, 256, [60, 8, 8, 1]).astype(np.uint8)
    features = network(tf.cast(images, tf.float32))
    flow = tfp_flows.vector_flow(SIZE, num_steps=1, hidden_units=4)
    tfp_flows.models.vectors.FAMILY.initialize(flow, features)
    testing.perturb(flow.bijector, 0, 0.02)
    model = tfp_flows.distributions.Features(network, flow, (8, 8, 1))
    assert len(model.trainable_variables) == len(flow.trainable_variables)
    detector = testing.check_detector(
        lambda: detectors.DensityOfStates(model), images[:30], images[30:50], images[50:]
    )
    np.testing.assert_allclose(detector.statistics(images)[:, 0], flow.log_prob(features), rtol=1e-4)
    assert detector.statistics(images).shape == (60, 3)
    detector.save(tmp_path / "detector")
    again = detectors.load(tmp_path / "detector")
    np.testing.assert_allclose(again.score(images), detector.score(images), rtol=1e-5)
    with pytest.raises(ValueError, match="makes .2, 4. of a batch of 2"):
        tfp_flows.distributions.Features(network, tfp_flows.vector_flow(3, 1), (8, 8, 1))
