"""Density of states, against SciPy's and scikit-learn's densities."""

import numpy as np
import pytest
import scipy.stats
import sklearn.svm
import tensorflow as tf
import tensorflow_probability as tfp

from analysis import decomposition
from tests.detectors.models import DIGITS, HELD_OUT, gaussian, random_images, small_glow, small_vae
from tfp_flows import detectors

tfd = tfp.distributions


def test_density_of_states_evaluates_each_network_once():
    def convolutions(detector):
        graph = detector.statistics.compiled().get_concrete_function().graph
        return sum(operation.type == "Conv2D" for operation in graph.get_operations())

    model = small_glow()
    assert convolutions(detectors.DensityOfStates(model)) == convolutions(detectors.Likelihood(model)) > 0


@pytest.mark.parametrize("density", ["kde", "svm"])
def test_density_of_states_against_scipy_and_scikit_learn(density):
    detector = detectors.DensityOfStates(small_glow(), density).fit(DIGITS[:60])
    fit, images = detector.statistics(DIGITS[:60]), HELD_OUT[:20]
    statistics = detector.statistics(images)
    assert statistics.shape == (20, 3)
    if density == "kde":
        each = [scipy.stats.gaussian_kde(t).logpdf(s) for t, s in zip(fit.T, statistics.T, strict=True)]
        expected = -np.sum(each, axis=0)
    else:
        loc, scale = fit.mean(axis=0), fit.std(axis=0, ddof=1)
        svm = sklearn.svm.OneClassSVM(nu=0.1, gamma="scale").fit((fit - loc) / scale)
        expected = -svm.decision_function((statistics - loc) / scale)
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-4, atol=1e-4)


def test_scores_are_computed_in_blocks(monkeypatch):
    """So that memory does not grow with images times images given to `fit`."""
    detector = detectors.DensityOfStates(gaussian(), batch_size=8).fit(random_images(30))
    sizes, formula = [], detector._formula
    monkeypatch.setattr(detector, "_formula", lambda s, f: sizes.append(len(s)) or formula(s, f))
    scores = detector.score(random_images(20))
    assert sizes == [8, 8, 4]
    whole = detectors.DensityOfStates(gaussian(), batch_size=64).fit(random_images(30))
    np.testing.assert_allclose(scores, whole.score(random_images(20)), rtol=1e-6)


def test_states_are_the_terms_of_the_change_of_variables_and_of_the_bound():
    images = HELD_OUT[:5]
    found = detectors.DensityOfStates(small_glow()).statistics(images)
    terms = decomposition.decompose_images(small_glow(), images)
    expected = np.stack([terms.log_prob, terms.log_prob_z, terms.log_det], axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    log_prob, reconstruction, kl = detectors.DensityOfStates(small_vae()).statistics(images).T
    np.testing.assert_allclose(log_prob, small_vae().log_prob(images), rtol=1e-4)
    posterior = small_vae().encode(images).distribution
    normal = tfd.Normal(0.0, 1.0)
    np.testing.assert_allclose(kl, tf.reduce_sum(tfd.kl_divergence(posterior, normal), -1), rtol=1e-4)
    elbo = np.mean([small_vae().elbo(images, seed).elbo for seed in range(200)], axis=0)
    assert (np.abs(reconstruction - kl - elbo) < 0.05 * np.abs(elbo)).all()
