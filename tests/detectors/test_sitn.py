"""SITN: its statistics against SciPy and NumPy, its level, and planted faults that it finds."""

import warnings

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tests.detectors.models import DIGITS, HELD_OUT, gaussian, linear_flow, small_glow
from tfp_flows import detectors
from tfp_flows.detectors import goodness_of_fit
from tfp_flows.serving import stablehlo

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (16, 16, 3)
CHANNELS = np.broadcast_to(np.arange(3), SHAPE)
LEVELS = np.zeros(SHAPE, int)


def _latents(count, seed=0):
    return np.random.default_rng(seed).standard_normal([count, *SHAPE])


def _statistics(z):
    """What SITN computes of latents, in its order."""
    z = tf.constant(z)
    first = [
        goodness_of_fit.anderson_darling(z),
        goodness_of_fit.spectrum_variation(z),
        goodness_of_fit.autocorrelation(z),
        goodness_of_fit.group_means(z, CHANNELS),
        goodness_of_fit.excess_kurtosis(z),
    ]
    return np.concatenate([np.stack(first, axis=-1), goodness_of_fit.group_powers(z, LEVELS)], axis=1)


def _detector(tests="all", count=400):
    kind = detectors.SITN
    return kind.without_models({"tests": tests}).fit_statistics(_statistics(_latents(count, seed=1)))


def test_statistics_against_scipy():
    z = _latents(4) * [[[[0.7, 1.0, 1.6]]]] + 0.2
    z[1] = np.random.default_rng(2).standard_t(3, SHAPE)
    z[2, 0, 0, 0] = 90.0  # so far out that its probability is 0 in float64
    flat = z.reshape(4, -1)
    darling, variation, correlation, means, kurtosis, power = _statistics(z).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of SciPy: p-values will need another argument
        expected = [scipy.stats.anderson(row).statistic for row in flat]
    np.testing.assert_allclose(darling, expected, rtol=1e-9)
    powers = np.abs(np.fft.rfft(flat)) ** 2
    np.testing.assert_allclose(variation, powers.std(1, ddof=1) / powers.mean(1), rtol=1e-6)
    np.testing.assert_allclose(kurtosis, scipy.stats.kurtosis(flat, axis=1) * (768 / 24) ** 0.5, rtol=1e-9)
    np.testing.assert_allclose(means, (256 * z.mean(axis=(1, 2)) ** 2).sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(power, ((z**2).sum((1, 2, 3)) - 768) / 1536**0.5, rtol=1e-9)
    products = [z[:, k:] * z[:, :-k] for k in (1, 2, 4)] + [z[:, :, k:] * z[:, :, :-k] for k in (1, 2, 4)]
    products.append(z[..., 1:] * z[..., :-1])
    sums = sum(p.sum((1, 2, 3)) ** 2 / p[0].size for p in products)
    np.testing.assert_allclose(correlation, sums / (z**2).mean((1, 2, 3)) ** 2, rtol=1e-9)


def test_statistics_of_normal_latents_have_the_distributions_that_they_are_said_to_have():
    darling, variation, correlation, means, kurtosis, power = _statistics(_latents(2000)).T
    assert np.mean(darling) == pytest.approx(0.386, abs=0.02)  # Stephens 1974, mean and variance unknown
    assert np.mean(darling > 0.752) == pytest.approx(0.05, abs=0.015)
    assert np.mean(variation) == pytest.approx(1.0, abs=0.05)
    assert np.mean(correlation) == pytest.approx(7, abs=0.4)
    assert scipy.stats.kstest(means, scipy.stats.chi2(3).cdf).pvalue > 0.01
    assert np.mean(kurtosis) == pytest.approx(0, abs=0.15) and np.std(kurtosis) == pytest.approx(1, abs=0.15)
    assert np.mean(power) == pytest.approx(0, abs=0.1) and np.std(power) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("tests", ["paper", "all"])
def test_the_level_holds(tests):
    """p-values of latents that are exactly normal are uniform."""
    detector = _detector(tests, count=1000)
    detector.conformal.calibrate(detector.score_statistics(_statistics(_latents(1000, seed=2))))
    p = detector.p_value_of_scores(detector.score_statistics(_statistics(_latents(1000, seed=3))))
    assert scipy.stats.ks_2samp(p, np.arange(1, 1001) / 1000).pvalue > 0.01
    for alpha in (0.01, 0.05, 0.2):
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=0.01 + alpha / 3)


def _correlated(z):
    return (z + np.roll(z, 1, axis=2)) / 2**0.5


def _shifted(z):
    return z + [[[[0.0, 0.4, 0.0]]]]


def _heavy(z):
    return scipy.stats.t(4).ppf(scipy.special.ndtr(z)) / 2**0.5  # of variance 1


def _two_humps(z):
    return np.sign(z) * 0.95 + z * (1 - 0.95**2) ** 0.5


@pytest.mark.parametrize(
    ("fault", "statistic", "by_paper"),
    [
        # The length of z, which log p(z) sees and the paper's tests do not.
        (lambda z: z * 1.2**0.5, 5, False),
        (lambda z: z * 0.8**0.5, 5, False),
        (_correlated, 2, True),
        (_shifted, 3, True),
        (_heavy, 4, True),
        (_two_humps, 0, True),
    ],
)
def test_planted_faults_are_found(fault, statistic, by_paper):
    own, foreign = _statistics(_latents(300, seed=5)), _statistics(fault(_latents(300, seed=6)))

    def power(detector):
        detector.conformal.calibrate(detector.score_statistics(own))
        return np.mean(detector.p_value_of_scores(detector.score_statistics(foreign)) <= 0.05)

    assert power(_detector("all")) > 0.7
    found = power(_detector("paper"))
    assert found > 0.7 if by_paper else found < 0.2
    spread = np.abs(foreign.mean(axis=0) - own.mean(axis=0)) / own.std(axis=0)
    assert spread[statistic] > 1.5, "the statistic that is made for it"


def test_the_score_is_the_papers_largest_quantile_and_goes_on():
    """As the maximum over statistics of their quantiles in those of `fit`; the upper tenth is smoothed."""
    fit, own = _statistics(_latents(50, seed=1)), _statistics(_latents(80, seed=2))
    score = _detector("paper", count=50).score_statistics(own)
    quantiles = [np.searchsorted(np.sort(fit[:, s]), own[:, s], side="left") / 50 for s in (0, 1)]
    largest = np.max(quantiles, axis=0)
    inside = largest < 0.8
    assert 0.4 < inside.mean() < 0.8
    assert score[~inside].min() > score[inside].max()
    np.testing.assert_allclose(score[inside], -np.log(51 / 51 - largest[inside] * 50 / 51), rtol=1e-5)
    far = np.repeat(own[:1], 3, axis=0)
    far[:, 0] = [50.0, 100.0, np.nan]
    score = _detector("paper", count=50).score_statistics(far)
    assert np.log(51) < score[0] < score[1] < np.inf and score[2] == np.inf


def test_latents_are_those_of_the_flow_standardised_by_the_prior():
    model = linear_flow(np.linspace(0.1, 0.5, 16))  # y = 0.5 + scale z
    images = np.random.default_rng(0).integers(0, 256, [5, 4, 4, 1]).astype(np.uint8)
    z = ((images + model.evaluation_noise()[0].numpy()) / 256 - 0.5) / np.linspace(0.1, 0.5, 16).reshape(
        4, 4, 1
    )
    found = detectors.SITN(model).statistics(images)
    expected = goodness_of_fit.anderson_darling(tf.constant(z)).numpy()
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9)
    powers = ((z**2).sum(axis=(1, 2, 3)) - 16) / 32**0.5
    np.testing.assert_allclose(found[:, 5], powers, rtol=1e-9)


@pytest.mark.parametrize(
    "prior",
    [
        tfd.Sample(tfd.Normal(np.float64(1.0), np.float64(2.0)), [6]),
        tfd.Sample(tfd.Laplace(np.float64(1.0), np.float64(2.0)), [6]),
        tfd.Independent(tfd.Logistic(np.arange(6.0), np.full(6, 0.7)), 1),
        tfd.MultivariateNormalDiag(np.arange(6.0), np.arange(1.0, 7.0)),
    ],
)
def test_normal_scores(prior):
    u = np.array([[1e-12, 0.1, 0.5, 0.7, 0.999, 1 - 1e-9]])
    if prior.name.startswith("MultivariateNormal"):
        z = scipy.special.ndtri(u) * np.arange(1.0, 7.0) + np.arange(6.0)
    else:
        each = prior.distribution
        z = each.quantile(u)
    np.testing.assert_allclose(
        goodness_of_fit.normal_scores(prior, z), scipy.special.ndtri(u), rtol=1e-6, atol=1e-9
    )
    far = goodness_of_fit.normal_scores(
        prior, tf.constant([[300.0, 0, 0, 0, 0, -300.0]], tf.float64)
    ).numpy()
    assert np.isfinite(far).all() and far[0, 0] > 15 and far[0, -1] < -15


def test_levels_and_channels_of_a_glow_are_told_apart():
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=1, hidden_channels=2)
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (8, 8, 1)))
    statistics = detectors.SITN(model).statistics(DIGITS[:3])
    assert statistics.shape == (3, 5 + 2)
    z = model.flow.bijector.inverse(model.dequantized(DIGITS[:3])).numpy().astype(np.float64)
    levels = model.flow.bijector.latent_levels
    for level in (0, 1):
        own = z[:, levels == level]
        expected = ((own**2).sum(axis=1) - own.shape[1]) / (2 * own.shape[1]) ** 0.5
        np.testing.assert_allclose(statistics[:, 5 + level], expected, rtol=1e-5)
    channels = model.flow.bijector.latent_channels
    groups = [z[:, (levels == g) & (channels == c)] for g in (0, 1) for c in range(8)]
    expected = sum(g.sum(axis=1) ** 2 / g.shape[1] for g in groups if g.size)
    np.testing.assert_allclose(statistics[:, 3], expected, rtol=1e-4)


class _NoMoments(tfd.Distribution):
    """A prior that knows nothing but its density."""

    def __init__(self, shape):
        super().__init__(tf.float32, tfd.NOT_REPARAMETERIZED, False, True, name="no_moments")
        self._shape = shape

    def _event_shape(self):
        return tf.TensorShape(self._shape)

    def _event_shape_tensor(self):
        return tf.constant(self._shape)

    def _batch_shape(self):
        return tf.TensorShape([])

    def _log_prob(self, value):
        return -tf.reduce_sum(abs(value), axis=[1, 2, 3])


def test_mistakes_get_one_line():
    with pytest.raises(detectors.DetectorError, match="sitn: needs a flow"):
        detectors.SITN(gaussian())
    with pytest.raises(detectors.DetectorError, match="`tests` must be one of paper, all, got 'some'"):
        detectors.SITN(small_glow(), tests="some")
    with pytest.raises(detectors.DetectorError, match="sitn: fit needs at least two images, got 1"):
        detectors.SITN(small_glow()).fit(HELD_OUT[:1])
    flow = tfd.TransformedDistribution(_NoMoments([4, 4, 1]), tfb.Shift(tf.zeros([4, 4, 1])))
    with pytest.raises(detectors.DetectorError, match="sitn: the flow's prior, _NoMoments, has neither"):
        detectors.SITN(tfp_flows.Dequantized(flow)).statistics(np.zeros([2, 4, 4, 1], np.uint8))


def test_the_score_is_stablehlo_without_custom_calls():
    """Sorting and Fourier transforms have operations of their own there."""
    detector = detectors.SITN(small_glow(), "all").fit(DIGITS[:30])
    spec = tf.TensorSpec([2, 8, 8, 1], tf.uint8, name="images")
    text = stablehlo.lower(detector.graph_score, spec).text
    assert "stablehlo.fft" in text and "stablehlo.sort" in text and "custom_call" not in text
