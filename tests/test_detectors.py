"""Every detector keeps one contract, and is right where the score is known in closed form."""

import functools
import json
import pathlib
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import scipy.stats
import sklearn.svm
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flows
from analysis import decomposition
from tfp_flows import checkpoint, data, detect, detectors, families, parts, testing, training
from tfp_flows.detectors import calibration, gradients, input_complexity, typicality
from tfp_flows.detectors.detector import Detector

tfb, tfd = tfp.bijectors, tfp.distributions
ROOT = pathlib.Path(__file__).resolve().parents[1]
SHAPE = (8, 8, 1)
DIGITS = data.load("digits", "train").images
HELD_OUT = data.load("digits", "calibration").images


@functools.cache
def _glow(seed=0):
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=2, hidden_channels=4)
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow.bijector, seed, 0.05)
    return tfp_flows.Dequantized(flow)


@functools.cache
def _vae():
    family = families.family("vae")
    config = family.config_class(architecture="small", latent_size=3, likelihood="logistic")
    return family.build(config, SHAPE, family.protocol_class(num_importance_samples=4))


# A new detector, for each name of the registry.
CASES = {
    "likelihood": lambda: detectors.Likelihood(_glow()),
    "typicality": lambda: detectors.Typicality(_glow()),
    "density_of_states": lambda: detectors.DensityOfStates(_glow()),
    "input_complexity": lambda: detectors.InputComplexity(_glow()),
    "likelihood_ratio": lambda: detectors.LikelihoodRatio(_glow(), [_glow(1), _glow(2)]),
    "waic": lambda: detectors.WAIC([_glow(), _glow(1)]),
    "critics": lambda: detectors.Critics(SHAPE, num_members=2, num_steps=2, width=4, batch_images=8),
    "outlier_exposure": lambda: detectors.OutlierExposure(_glow()),
    "likelihood_regret": lambda: detectors.LikelihoodRegret(_vae(), num_steps=3),
    "gradient_norms": lambda: detectors.GradientNorms(_glow()),
    "score_test": lambda: detectors.ScoreTest(_glow(), num_fisher_images=8),
    "local_intrinsic_dimension": lambda: detectors.LocalIntrinsicDimension(_glow()),
    "second_order": lambda: detectors.SecondOrder(_glow()),
}


def test_registry_holds_every_detector():
    assert set(CASES) == set(detectors.DETECTORS)
    public = [getattr(detectors, name) for name in detectors.__all__]
    kinds = {k for k in public if isinstance(k, type) and issubclass(k, Detector) and k is not Detector}
    assert kinds == set(detectors.DETECTORS.values())


@pytest.mark.parametrize("name", CASES)
def test_contract(name, tmp_path):
    images = HELD_OUT[:6]
    unfitted = CASES[name]()
    assert unfitted.name == name
    if unfitted._needed():
        with pytest.raises(detectors.DetectorError, match="call fit first"):
            unfitted.save(tmp_path / "unfitted")
    detector = testing.check_detector(CASES[name], DIGITS[:24], HELD_OUT[6:36], images)
    assert detector.compiled_statistics().experimental_get_tracing_count() == 1
    detector.save(tmp_path / "saved")
    again = detectors.load(tmp_path / "saved")
    np.testing.assert_allclose(again.score(images), detector.score(images), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(again.calibration_scores, detector.calibration_scores)
    assert again.predict(images, 0.5).dtype == bool


def test_density_of_states_evaluates_each_network_once():
    def convolutions(detector):
        graph = detector.compiled_statistics().get_concrete_function().graph
        return sum(operation.type == "Conv2D" for operation in graph.get_operations())

    model = _glow()
    assert convolutions(detectors.DensityOfStates(model)) == convolutions(detectors.Likelihood(model)) > 0


def test_statistics_in_parts(monkeypatch):
    whole = detectors.InputComplexity(_glow()).statistics(DIGITS[:20])
    monkeypatch.setattr(parts, "at_once", lambda: 2)
    found = detectors.InputComplexity(_glow()).statistics(DIGITS[:20])
    np.testing.assert_allclose(found, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, s, x: s + np.arange(len(s)), "depends on the"),
        (lambda d, s, x: s / len(x), "depends on the batch size"),
        (lambda d, s, x: s * np.nan, "the scores are"),
        (lambda d, s, x: s.astype(np.float64), "float64"),
    ],
)
def test_the_contract_finds_what_is_wrong(change, message):
    class Wrong(detectors.Likelihood):
        def score(self, images, progress=None):
            return change(self, super().score(images), np.asarray(images)).astype(
                np.float64 if message == "float64" else np.float32
            )

    with pytest.raises(AssertionError, match=message):
        testing.check_detector(lambda: Wrong(_glow()), DIGITS[:24], HELD_OUT[6:36], HELD_OUT[:6])


def _gaussian(loc=100.0, scale=40.0, shape=(4, 4, 1)):
    """A plain TFP distribution: not ours, and continuous."""
    return tfd.Independent(tfd.Normal(tf.fill(shape, loc), tf.fill(shape, scale)), 3)


def _images(n=50, shape=(4, 4, 1), seed=0):
    return np.random.default_rng(seed).integers(0, 256, [n, *shape]).astype(np.uint8)


def _log_normal(images, loc, scale):
    return scipy.stats.norm.logpdf(images.astype(np.float64), loc, scale).sum(axis=(1, 2, 3))


def test_likelihood_and_typicality_of_a_model_that_is_not_ours():
    images = _images()
    expected = _log_normal(images, 100, 40)
    detector = detectors.Likelihood(_gaussian()).fit(images)
    np.testing.assert_allclose(detector.score(images), -expected, rtol=1e-5)
    detector = detectors.Typicality(_gaussian()).fit(images)
    np.testing.assert_allclose(detector.score(images), np.abs(-expected + expected.mean()), atol=2e-4)


def test_typicality_of_groups():
    log_probs = np.arange(7.0)
    np.testing.assert_allclose(typicality.group_scores(log_probs, -2.0, 3), [1.0, 2.0])  # a seventh is left
    with pytest.raises(detectors.DetectorError, match="no group of 8"):
        typicality.group_scores(log_probs, 0.0, 8)
    rng = np.random.default_rng(0)
    held_out, own, far = rng.normal(0, 1, 5000), rng.normal(0, 1, 20_000), rng.normal(1, 1, 20_000)
    for group_size in (1, 2, 10):
        rate = typicality.rejection_rate(own, held_out, 0.0, group_size, alpha=0.05)
        assert abs(rate - 0.05) < 0.015, "own images are rejected at the level of the test"
        power = typicality.rejection_rate(far, held_out, 0.0, group_size, alpha=0.05)
        z = scipy.stats.norm.ppf(0.975)
        expected = scipy.stats.norm.sf(z - group_size**0.5) + scipy.stats.norm.cdf(-z - group_size**0.5)
        assert abs(power - expected) < 0.03


def test_waic_of_gaussians():
    images = _images()
    first, second = _log_normal(images, 100, 40), _log_normal(images, 130, 50)
    detector = detectors.WAIC([_gaussian(), _gaussian(130.0, 50.0)]).fit(images)
    expected = (first - second) ** 2 / 4 - (first + second) / 2
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-4)
    model = _gaussian()
    for members in ([model], [model, model]):
        with pytest.raises(detectors.DetectorError, match="at least two different models"):
            detectors.WAIC(members)


def test_likelihood_ratio_chooses_its_background_by_own_images_alone():
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(100, 40, [200, 4, 4, 1]), 0, 255).astype(np.uint8)
    model, near, far = _gaussian(), _gaussian(100.0, 41.0), _gaussian(100.0, 80.0)
    detector = detectors.LikelihoodRatio(model, [near, far]).fit(images)
    ratios = [_log_normal(images, 100, 40) - _log_normal(images, 100, s) for s in (41, 80)]
    distance = [r.mean() / r.std() for r in ratios]
    np.testing.assert_allclose(detector.fitted["distance"], distance, rtol=1e-2)
    assert detector.fitted["chosen"] == np.argmax(distance)
    np.testing.assert_allclose(detector.score(images), -ratios[np.argmax(distance)], atol=1e-3)


def test_input_complexity_is_in_bits_on_both_sides():
    """Under the uniform model an incompressible image has a score near 0: L is about 8 bits for each "
    "value."""
    shape = (32, 32, 3)
    uniform = tfd.Independent(tfd.Uniform(tf.zeros(shape), tf.fill(shape, 256.0)), 3)
    noise, constant = _images(2, shape), np.full([2, *shape], 7, np.uint8)
    for compressor in input_complexity.COMPRESSORS:
        detector = detectors.InputComplexity(uniform, compressor)
        bits = 8 * noise[0].size
        assert (np.abs(detector.score(noise)) < 0.25 * bits).all(), compressor
        assert (detector.score(constant) > 0.9 * bits).all(), compressor
        lengths = detector.statistics(noise)[:, 1:].min(axis=1)
        np.testing.assert_allclose(detector.score(noise), 8 * 3072 - lengths, rtol=1e-4, atol=0.1)
    with pytest.raises(detectors.DetectorError, match="must be one of png, jpegls"):
        detectors.InputComplexity(uniform, "gif")


@pytest.mark.parametrize("codec", input_complexity.CODECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_codecs_lose_nothing(codec, channels):
    image = _images(1, (16, 12, channels))[0].squeeze()
    function, arguments = input_complexity.CODECS[codec]
    encoded = getattr(imagecodecs, function)(image, **arguments)
    np.testing.assert_array_equal(getattr(imagecodecs, function.replace("encode", "decode"))(encoded), image)


class _LinearVAE(tf.Module):
    """x = W z + noise of scale s, W with orthogonal columns: the posterior is a diagonal normal."""

    event_shape = tf.TensorShape([2, 2, 1])
    dtype = tf.float64

    def __init__(self, shift):
        super().__init__()
        self.columns = np.array([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]).T  # [4, 2]
        self.noise, self.shift = 3.0, shift
        self.precision = 1.0 + (self.columns**2).sum(axis=0) / self.noise**2

    prior = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [2])

    def posterior(self, images):
        flat = tf.reshape(images, [-1, 4])
        return flat @ self.columns / self.noise**2 / self.precision, self.precision**-0.5

    def encode(self, images):
        loc, scale = self.posterior(images)
        return tfd.Independent(tfd.Normal(loc + self.shift, 1.5 * scale + tf.zeros_like(loc)), 1)

    def decode(self, z):
        mean = tf.reshape(tf.linalg.matvec(self.columns, z), [*z.shape[:1], -1, 2, 2, 1])
        return tfd.Independent(tfd.Normal(mean, tf.constant(self.noise, tf.float64)), 3)

    def log_prob(self, images):
        return tf.zeros(tf.shape(images)[:1], tf.float64)


def test_likelihood_regret_of_a_linear_model():
    """The regret is KL(q_encoder || posterior), whatever the image."""
    model = _LinearVAE(shift=0.7)
    detector = detectors.LikelihoodRegret(model, num_steps=300, learning_rate=0.05, num_samples=2000)
    images = _images(3, (2, 2, 1)) // 32
    scale = model.precision**-0.5
    kl = (np.log(1 / 1.5) + (1.5**2 + (0.7 / scale) ** 2) / 2 - 0.5).sum()
    np.testing.assert_allclose(detector.score(images), np.full(3, kl), rtol=0.05)
    with pytest.raises(detectors.DetectorError, match="needs a VAE"):
        detectors.LikelihoodRegret(_gaussian())


@pytest.mark.parametrize("density", ["kde", "svm"])
def test_density_of_states_against_scipy_and_scikit_learn(density):
    detector = detectors.DensityOfStates(_glow(), density).fit(DIGITS[:60])
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
    detector = detectors.DensityOfStates(_gaussian(), batch_size=8).fit(_images(30))
    sizes, formula = [], detector._formula
    monkeypatch.setattr(detector, "_formula", lambda s, f: sizes.append(len(s)) or formula(s, f))
    scores = detector.score(_images(20))
    assert sizes == [8, 8, 4]
    whole = detectors.DensityOfStates(_gaussian(), batch_size=64).fit(_images(30)).score(_images(20))
    np.testing.assert_allclose(scores, whole, rtol=1e-6)


def test_states_are_the_terms_of_the_change_of_variables_and_of_the_bound():
    images = HELD_OUT[:5]
    found = detectors.DensityOfStates(_glow()).statistics(images)
    terms = decomposition.decompose_images(_glow(), images)
    expected = np.stack([terms.log_prob, terms.log_prob_z, terms.log_det], axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    log_prob, reconstruction, kl = detectors.DensityOfStates(_vae()).statistics(images).T
    np.testing.assert_allclose(log_prob, _vae().log_prob(images), rtol=1e-4)
    posterior = _vae().encode(images).distribution
    normal = tfd.Normal(0.0, 1.0)
    np.testing.assert_allclose(kl, tf.reduce_sum(tfd.kl_divergence(posterior, normal), -1), rtol=1e-4)
    elbo = np.mean([_vae().elbo(images, seed).elbo for seed in range(200)], axis=0)
    assert (np.abs(reconstruction - kl - elbo) < 0.05 * np.abs(elbo)).all()


class _Mean(tf.Module):
    """N(x; theta, I): its gradient is x - theta, its Fisher information the identity."""

    event_shape = tf.TensorShape([2, 2, 1])
    dtype = tf.float64

    def __init__(self):
        super().__init__()
        self.theta = tf.Variable(np.full([2, 2, 1], 100.0))

    def log_prob(self, images):
        return tfd.Independent(tfd.Normal(self.theta, tf.constant(1.0, tf.float64)), 3).log_prob(images)


def test_gradients_of_a_gaussian():
    model, images = _Mean(), _images(40, (2, 2, 1))
    squares = ((images - 100.0) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(gradients.squared_norms(model, tf.constant(images))[:, 0], squares)
    detector = detectors.GradientNorms(model).fit(images)
    features = np.log(squares)
    expected = -scipy.stats.norm.logpdf(features, features.mean(), features.std(ddof=1))
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-5)
    test = detectors.ScoreTest(model, num_fisher_images=40).fit(images)
    fisher = ((images - 100.0) ** 2).mean(axis=0)
    fisher += 1e-3 * fisher.mean()
    score = ((images - 100.0) ** 2 / fisher).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(test.statistics(images)[:, 1], score, rtol=1e-5)
    log_prob = test.statistics(images)[:, 0]
    distance = np.abs(log_prob - log_prob.mean())
    tails = [[(1 + (t >= v).sum()) / 41 for v in t] for t in (score, distance)]
    np.testing.assert_allclose(test.score(images), -2 * np.log(tails).sum(axis=0), rtol=1e-4)
    with pytest.raises(detectors.DetectorError, match="trainable_variables"):
        detectors.ScoreTest(tf.Module.with_name_scope and _NoVariables())


class _NoVariables:
    trainable_variables = ()

    def log_prob(self, images):
        return tf.zeros(tf.shape(images)[:1])


def _linear_flow(scales, loc=0.5):
    """y = loc + scale z for each pixel, float64: the singular values of dy/dz are the scales."""
    shape = [4, 4, 1]
    prior = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), tf.ones([], tf.float64)), shape)
    scales = tf.reshape(tf.constant(scales, tf.float64), shape)
    flow = tfd.TransformedDistribution(
        prior, tfb.Chain([tfb.Shift(tf.fill(shape, tf.cast(loc, tf.float64))), tfb.Scale(scales)])
    )
    return tfp_flows.Dequantized(flow)


def test_local_intrinsic_dimension_of_a_linear_flow():
    scales = np.r_[np.full(5, 0.3), np.full(11, 1e-3)]  # a grey level is 0.0039
    model = _linear_flow(scales)
    images = _images(4)
    exact = detectors.LocalIntrinsicDimension(model)
    np.testing.assert_array_equal(exact.statistics(images)[:, 1], 5)
    np.testing.assert_allclose(exact.statistics(images)[:, 0], model.log_prob(images))
    finer = detectors.LocalIntrinsicDimension(model, threshold=1e-4)
    np.testing.assert_array_equal(finer.statistics(images)[:, 1], 16)
    glow = detectors.LocalIntrinsicDimension(_glow()).statistics(HELD_OUT[:4])[:, 1]
    estimated = detectors.LocalIntrinsicDimension(_glow(), num_probes=30, num_steps=40)
    np.testing.assert_allclose(estimated.statistics(HELD_OUT[:4])[:, 1], glow, atol=2.0)
    with pytest.raises(detectors.DetectorError, match="needs a flow"):
        detectors.LocalIntrinsicDimension(_gaussian())
    with pytest.raises(detectors.DetectorError, match="`num_probes` must be positive"):
        detectors.LocalIntrinsicDimension(model, num_probes=0)


def test_local_intrinsic_dimension_takes_the_smaller_tail():
    detector = detectors.LocalIntrinsicDimension(_linear_flow(np.full(16, 0.3)))
    fit = np.stack([np.arange(9.0), 10 + np.arange(9.0)], axis=-1)
    detector.fit_statistics(fit)
    scores = detector.score_statistics(np.array([[-1.0, 14.0], [99.0, 9.0], [4.0, 14.0]]))
    np.testing.assert_allclose(scores, -np.log([0.1, 0.1, 0.6]), rtol=1e-6)


def test_second_order_of_a_gaussian_flow():
    scales = np.linspace(0.1, 0.5, 16)
    detector = detectors.SecondOrder(_linear_flow(scales))
    images = _images(30)
    detector.fit(images)
    y = (images + 0.5) / 256
    excess = (y - y.mean(axis=0)) ** 2 - y.var(axis=0)
    terms = -0.5 * excess / scales.reshape([4, 4, 1]) ** 2
    expected = np.abs(terms.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-5)
    np.testing.assert_allclose(detector.score_map(images).sum(axis=(1, 2)), expected, rtol=1e-4)


def test_critics_tell_digits_from_noise_and_repeat_themselves():
    small = dict(num_members=2, num_steps=40, width=8, batch_images=32)
    detector = detectors.Critics(SHAPE, **small).fit(DIGITS)
    own, noise = detector.score(HELD_OUT), detector.score(_images(60, SHAPE))
    assert np.mean(own[:, np.newaxis] < noise) > 0.8
    again = detectors.Critics(SHAPE, **small).fit(DIGITS)
    np.testing.assert_array_equal(again.score(HELD_OUT), own)
    other = detectors.Critics(SHAPE, **small, seed=1).fit(DIGITS)
    assert (other.score(HELD_OUT) != own).any()
    statistics = detector.statistics(HELD_OUT)
    standardised = (statistics - detector.fitted["loc"]) / detector.fitted["scale"]
    np.testing.assert_allclose(
        own, standardised.var(axis=1) - standardised.mean(axis=1), rtol=1e-4, atol=1e-5
    )


class _PixelModel(tf.Module):
    """log p and its parts by pixel."""

    dtype = tf.float32
    event_shape = tf.TensorShape([4, 4, 1])

    def __init__(self, loc):
        super().__init__()
        self.loc = loc

    def pixel_log_probs(self, images):
        return tfd.Normal(self.loc, 40.0).log_prob(images)[..., 0]

    def log_prob(self, images):
        return tf.reduce_sum(self.pixel_log_probs(images), axis=[1, 2])


def test_maps_sum_to_the_score():
    images = _images(5)
    one, two = _PixelModel(90.0), _PixelModel(150.0)
    for detector in (detectors.Likelihood(one), detectors.LikelihoodRatio(one, [two])):
        maps = detector.fit(images).score_map(images)
        assert maps.shape == (5, 4, 4) and maps.dtype == np.float32
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), detector.score(images), rtol=1e-4)
    assert detectors.WAIC([one, two]).score_map(images).shape == (5, 4, 4)
    with pytest.raises(detectors.DetectorError, match="no map of pixels for Independent"):
        detectors.Likelihood(_gaussian()).score_map(images)
    with pytest.raises(detectors.DetectorError, match="no map of pixels"):
        detectors.Typicality(one).fit(images).score_map(images)


@pytest.mark.parametrize("n", [9, 30])
@pytest.mark.parametrize("draw", ["normal", "heavy-tailed", "ties"])
def test_conformal_p_values_hold_both_sides(n, draw):
    """P(p <= alpha) <= alpha, and >= alpha - 1 / (n + 1) without ties; over 20,000 calibration sets."""
    rng = np.random.default_rng(0)
    scores = {
        "normal": lambda size: rng.standard_normal(size),
        "heavy-tailed": lambda size: rng.standard_cauchy(size),
        "ties": lambda size: rng.integers(0, 3, size).astype(float),
    }[draw]([20_000, n + 1])
    reference = tf.constant(np.sort(scores[:, 1:], axis=1))
    p = tf.vectorized_map(lambda s: calibration.p_value(s[0], s[1]), (tf.constant(scores[:, :1]), reference))
    for alpha in (0.05, 0.1, 0.2, 0.5, 0.77):
        rate = float(np.mean(p <= alpha + 1e-12))
        error = 4 * (alpha * (1 - alpha) / len(scores)) ** 0.5
        assert rate <= alpha + error, (alpha, rate)
        if draw != "ties":
            assert rate >= alpha - 1 / (n + 1) - error, (alpha, rate)


def test_too_small_a_calibration_set_warns_and_bad_levels_are_refused():
    detector = detectors.Likelihood(_gaussian()).calibrate(_images(10))
    with pytest.warns(UserWarning, match="10 calibration images cannot give a p-value of 0.05.*at least 19"):
        assert not detector.predict(_images(3)).any()
    assert detector.predict(_images(3), alpha=0.1).shape == (3,)
    with pytest.raises(detectors.DetectorError, match="`alpha` must be in"):
        detector.predict(_images(3), alpha=1.0)
    with pytest.raises(detectors.DetectorError, match="at least one image"):
        detector.calibrate(_images(0))


def test_a_score_that_overflows_is_foreign():
    class Overflowing(_PixelModel):
        def log_prob(self, images):
            return tf.where(images[:, 0, 0, 0] > 127, np.nan, -1.0)

    images = _images(30)
    detector = detectors.Likelihood(Overflowing(0.0)).calibrate(np.zeros([40, 4, 4, 1], np.uint8))
    assert ((detector.score(images) == np.inf) == (images[:, 0, 0, 0] > 127)).all()
    assert (detector.predict(images) == (images[:, 0, 0, 0] > 127)).all()


def test_saved_model_of_a_strangers_model_runs_in_a_process_that_does_not_know_it(tmp_path):
    network = tf_keras.Sequential(
        [tf_keras.layers.Input([4, 4, 1]), tf_keras.layers.Flatten(), tf_keras.layers.Dense(1)]
    )

    class Strange:
        """No tf.Module, float32, its network untracked."""

        def log_prob(self, images):
            return network(images / 255.0)[:, 0]

    images = _images()
    detector = detectors.Typicality(Strange()).fit(images).calibrate(_images(seed=1))
    detector.save(tmp_path / "detector")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from tfp_flows import detectors; "
        "d = detectors.load(sys.argv[1] + '/detector'); "
        "print(*d.score(np.load(sys.argv[1] + '/images.npy')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(np.array(result.stdout.split(), float), detector.score(images), rtol=1e-5)


def test_a_stored_model_is_neither_fitted_again_nor_mapped(tmp_path):
    detector = detectors.SecondOrder(_linear_flow(np.full(16, 0.3))).fit(_images())
    detector.save(tmp_path / "d")
    again = detectors.load(tmp_path / "d")
    np.testing.assert_allclose(again.score(_images(3)), detector.score(_images(3)), rtol=1e-5)
    for call in (lambda: again.fit(_images()), lambda: again.score_map(_images(3))):
        with pytest.raises(detectors.DetectorError, match="stored as statistics alone.*load it with model="):
            call()
    assert detectors.load(tmp_path / "d", model=_linear_flow(np.full(16, 0.3))).score_map(_images(3)).any()


def test_a_model_that_cannot_be_stored_says_why(tmp_path):
    class InPython(_PixelModel):
        def log_prob(self, images):
            return tf.ensure_shape(
                tf.numpy_function(lambda x: -x.sum(axis=(1, 2, 3)), [images], tf.float32), [None]
            )

    detector = detectors.Likelihood(InPython(0.0))
    np.testing.assert_allclose(detector.score(_images(2)), _images(2).sum(axis=(1, 2, 3)))
    with pytest.raises(detectors.DetectorError, match="runs Python .*, which no SavedModel holds"):
        detector.save(tmp_path / "detector")
    assert not list(tmp_path.iterdir()), "nothing is left behind"

    class Untraceable(_PixelModel):
        def log_prob(self, images):
            return tf.constant(-images.numpy().sum(axis=(1, 2, 3)))

    with pytest.raises(detectors.DetectorError, match="cannot be traced by TensorFlow") as error:
        detectors.Likelihood(Untraceable(0.0)).score(_images(2))
    assert "\n" not in str(error.value)
    with pytest.raises(detectors.DetectorError, match="needs a method log_prob, object has none"):
        detectors.Likelihood(object())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A Glow trained for a moment."""
    folder = tmp_path_factory.mktemp("detectors") / "run"
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    settings = training.TrainingConfig(steps=4, batch_size=32, validate_every=0)
    spec = checkpoint.RunSpec("glow", config, vars(settings), "digits", SHAPE)
    training.train(checkpoint.Run(folder), spec, "", DIGITS, DIGITS[:32], progress=False)
    return folder


def test_a_run_is_saved_by_reference(run, tmp_path):
    model, _ = checkpoint.load_model(checkpoint.Run(run))
    detector = detectors.LikelihoodRatio(model, [_with_reference(model)]).fit(DIGITS[:30])
    detector.save(tmp_path / "detector")
    assert sorted(p.name for p in (tmp_path / "detector").iterdir()) == ["arrays.npz", "detector.json"]
    again = detectors.load(tmp_path / "detector")
    np.testing.assert_array_equal(again.score(HELD_OUT[:5]), detector.score(HELD_OUT[:5]))
    description = json.loads((tmp_path / "detector" / "detector.json").read_text())
    assert not pathlib.PurePath(description["models"][0]["run"]).is_absolute()
    description["models"][0]["digest"] = "0" * 64
    (tmp_path / "detector" / "detector.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="another checkpoint than the one that was referred to"):
        detectors.load(tmp_path / "detector")
    description["models"][0]["run"] = "gone"
    (tmp_path / "detector" / "detector.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="no run in"):
        detectors.load(tmp_path / "detector")
    description["models"] = [{"run": "../x", "digest": "", "protocol": {"no_such": 1}}, {}]
    (tmp_path / "detector" / "detector.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="no run in|is damaged"):
        detectors.load(tmp_path / "detector")
    given = detectors.load(tmp_path / "detector", model=[model, _glow(1)])
    assert given.score(HELD_OUT[:5]).shape == (5,)


def _with_reference(model):
    return checkpoint.load_model(checkpoint.Run(model.run_reference.folder))[0]


def test_damaged_detectors_are_refused_in_one_line(tmp_path):
    detector = detectors.Typicality(_gaussian()).fit(_images())
    detector.save(tmp_path / "d")
    description = (tmp_path / "d" / "detector.json").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")

    def refused(message, text=None, path="d"):
        if text is not None:
            (tmp_path / "d" / "detector.json").write_text(text)
        with pytest.raises(detectors.DetectorError, match=message) as error:
            detectors.load(tmp_path / path)
        assert "\n" not in str(error.value)

    refused("no detector in", path="nowhere")
    refused("is damaged", text="{")
    refused("has format 99", text=description.replace('"format": 1', '"format": 99'))
    refused("unknown detector 'os.system'", text=description.replace('"typicality"', '"os.system"'))
    refused(
        "call fit first",
        text=description.replace('"typicality"', '"density_of_states"').replace("{}", '{"density": "kde"}'),
    )
    (tmp_path / "d" / "detector.json").write_text(description)
    np.savez(tmp_path / "d" / "arrays.npz", entropy=np.array([object()]))
    refused("is damaged: Object arrays cannot be loaded")
    with pytest.raises(detectors.DetectorError, match="is no detector"):
        detector.save(tmp_path / "other")
    assert (tmp_path / "other" / "mine.txt").exists()


def _command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_detect_command(run, tmp_path):
    out = tmp_path / "detector"
    flags = [f"--run={run}", f"--out={out}", "--noprogress", "--max_images=40"]
    result = _command("tfp_flows.detect", *flags, "--detector=density_of_states", "--set=density=svm")
    assert result.returncode == 0, result.stderr
    assert "fitted to 40 images, calibrated with 40" in result.stdout and "can be exported" in result.stdout
    detector = detectors.load(out)
    assert detector.settings == {"density": "svm"} and len(detector.calibration_scores) == 40
    validation = data.load("digits", "validation", max_images=40).images
    model, _ = checkpoint.load_model(checkpoint.Run(run))
    expected = detectors.DensityOfStates(model, "svm").fit(validation)
    np.testing.assert_allclose(detector.score(DIGITS[:9]), expected.score(DIGITS[:9]), rtol=1e-5)
    result = _command("tfp_flows.detect", *flags, "--detector=typicality", "--set=alpha=1")
    assert result.returncode == 1 and "typicality has no such setting" in result.stderr, result.stderr
    assert result.stderr.strip().count("\n") == 0


def test_a_detector_of_another_number_of_models_is_refused():
    with pytest.raises(detectors.DetectorError, match="typicality: takes one model, got 2"):
        detectors.Typicality.of_models([_glow(), _glow(1)], {})
    with pytest.raises(detectors.DetectorError, match="needs at least one background"):
        detectors.LikelihoodRatio.of_models([_glow()], {})
    with pytest.raises(detectors.DetectorError, match="differ in shape"):
        detectors.WAIC([_glow(), _gaussian()])
    with pytest.raises(detectors.DetectorError, match="'alpha' is not NAME=VALUE"):
        detect._setting("alpha")
