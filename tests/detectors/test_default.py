"""The detector to begin with: what it finds, for every kind of model, and what it is made of."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tensorflow_probability import distributions as tfd

from tests.detectors.models import DIGITS, HELD_OUT, SHAPE, gaussian, small_glow, small_vae
from tfp_flows import detectors, runs
from tfp_flows.detectors import image_statistics, mixture, tail_tests, tails


def _auroc(detector, foreign):
    scores = np.concatenate([detector.score(HELD_OUT), detector.score(foreign)])
    return roc_auc_score(np.arange(len(scores)) >= len(HELD_OUT), scores)


def _fitted(model):
    return detectors.Default(model).fit(DIGITS)


class FlatIsLikely:
    """A density that prefers what is flat, as those of the paper do."""

    dtype, event_shape = tf.float32, tf.TensorShape(SHAPE)

    def log_prob(self, x):
        steps = x[:, :, 1:] - x[:, :, :-1]
        return -tf.reduce_sum(tf.abs(steps), axis=[1, 2, 3])


@pytest.mark.parametrize("model", [small_glow, small_vae, lambda: gaussian(shape=SHAPE), FlatIsLikely])
def test_any_model_finds_what_it_finds_likely(model):
    """Flat images, faint ones, noise, and digits out of place, whatever the likelihood says."""
    detector = _fitted(model())
    rng = np.random.RandomState(0)
    foreign = {
        "flat": np.full([50, *SHAPE], 3, np.uint8) + np.arange(50, dtype=np.uint8).reshape(-1, 1, 1, 1),
        "faint": HELD_OUT // 4,
        "noise": rng.randint(0, 256, [50, *SHAPE]).astype(np.uint8),
        "moved": np.roll(HELD_OUT, (SHAPE[0] // 2, SHAPE[1] // 2), axis=(1, 2)),
    }
    found = {name: _auroc(detector, images) for name, images in foreign.items()}
    assert min(found.values()) > 0.9, found


def test_the_likelihood_alone_prefers_what_the_default_finds():
    flat = np.full([20, *SHAPE], 9, np.uint8)
    likelihood = detectors.Likelihood(FlatIsLikely())
    assert likelihood.score(flat).max() < likelihood.score(HELD_OUT).min()
    detector = _fitted(FlatIsLikely())
    assert detector.score(flat).min() > np.quantile(detector.score(HELD_OUT), 0.95)


def test_the_score_is_the_harmonic_mean_of_the_tests():
    detector = _fitted(small_glow())
    found = np.stack(list(detector.tests(HELD_OUT).values()))
    assert list(detector.tests(HELD_OUT)) == ["likelihood", "texture", "layout"]
    weights = np.array([detector.fitted[f"{name}_weight"] for name in detector.TESTS])
    expected = np.log((weights[:, np.newaxis] / found).sum(axis=0) / weights.sum())
    np.testing.assert_allclose(detector.score(HELD_OUT), expected, rtol=1e-5, atol=1e-6)
    assert (found > 0).all() and (found <= 1).all()


def test_own_images_are_called_foreign_as_often_as_said():
    """Fitted, calibrated and tried on a third each of what is drawn alike."""
    rng = np.random.RandomState(1)
    images = rng.poisson(40.0, [900, 6, 6, 1]).clip(0, 255).astype(np.uint8)
    detector = detectors.Default(tfd.Independent(tfd.Poisson(tf.fill([6, 6, 1], 40.0)), 3))
    detector.fit(images[:300]).calibrate(images[300:600])
    assert abs(detector.predict(images[600:], 0.1).mean() - 0.1) < 3 * np.sqrt(0.09 / 300 + 0.09 / 300)


def test_held_out_rows_look_as_strange_as_new_ones():
    """A mixture of many components is too sure of the rows it was fitted to; the tail must not be theirs."""
    rng = np.random.RandomState(2)
    rows, new = rng.normal(size=[200, 12]), rng.normal(size=[2000, 12])

    def fit(some):
        return mixture.fit_mixture(some, 5)

    arrays = {name: tf.constant(value) for name, value in fit(rows).items()}
    surprise = mixture.surprise(tf.constant(new), arrays)

    def share_called_strange(reference):
        tail = {
            name: tf.constant(value) for name, value in tails.fit_tails(reference[:, np.newaxis]).items()
        }
        return float(np.mean(tails.log_tails(surprise[:, tf.newaxis], tail).numpy() < np.log(0.05)))

    own = mixture.surprise(tf.constant(rows), arrays).numpy()
    assert share_called_strange(own) > 0.2
    assert share_called_strange(tail_tests._held_out(rows, fit)) < 0.09


@pytest.mark.parametrize("count", [2, 3, 7, 24])
def test_few_images_do(count):
    detector = detectors.Default(gaussian(shape=SHAPE)).fit(DIGITS[:count])
    assert np.isfinite(detector.score(HELD_OUT[:9])).all()


def test_one_image_is_refused():
    with pytest.raises(detectors.DetectorError, match="fit needs at least two images, got 1"):
        detectors.Default(gaussian(shape=SHAPE)).fit(DIGITS[:1])


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 9, 1), (4, 4, 5)])
def test_images_of_any_shape(shape):
    rng = np.random.RandomState(0)
    images = rng.randint(0, 128, [30, *shape]).astype(np.uint8)
    detector = detectors.Default(tfd.Independent(tfd.Normal(tf.fill(shape, 64.0), 40.0), 3)).fit(images)
    assert np.isfinite(detector.score(images)).all()
    assert detector.score(images + 120).min() > detector.score(images).mean()


def test_a_test_counts_by_what_it_knows():
    """Columns that depend on each other can be told from shuffled ones, independent ones cannot."""
    rng = np.random.RandomState(0)
    independent = rng.normal(size=[400, 6])
    dependent = independent @ rng.normal(size=[6, 6]) + 3.0 * independent[:, :1]
    weights = [float(tail_tests.fit(rows, "texture")["weight"]) for rows in (independent, dependent)]
    assert weights[0] < 0.02 and weights[1] > 0.5, weights


def test_an_explanation_says_which_test_found_it():
    detector = _fitted(gaussian(shape=SHAPE)).calibrate(HELD_OUT)
    found = detector.explain(np.full(SHAPE, 200, np.uint8))
    assert found.tests == {name: float(p[0]) for name, p in detector.tests(found.image[None]).items()}
    strictest = min(found.tests, key=found.tests.get)
    assert found.tests[strictest] < 1e-4 and f"of its own kind, less than 0.01 % by {strictest}" in str(
        found
    )
    assert "e+" not in str(detector.explain(HELD_OUT[0]))
    assert f"% by {strictest}" in found._repr_html_()
    plain = detectors.Likelihood(gaussian(shape=SHAPE)).fit(DIGITS).calibrate(HELD_OUT)
    assert plain.tests(HELD_OUT) == {} and " % by " not in str(plain.explain(HELD_OUT[0]))


def test_an_image_that_the_model_gives_no_number_is_foreign():
    class Overflows(FlatIsLikely):
        def log_prob(self, x):
            black = tf.reduce_all(x == 0.0, axis=[1, 2, 3])
            return tf.where(black, -np.inf, super().log_prob(x))

    detector = _fitted(Overflows())
    tests = detector.tests(np.zeros([2, *SHAPE], np.uint8))
    assert (tests["likelihood"] == 0.0).all() and (tests["layout"] > 0.0).all()
    assert np.isposinf(detector.score(np.zeros([2, *SHAPE], np.uint8))).all()


@pytest.mark.parametrize("count", [60, 100, 150, 300])
def test_new_own_images_are_ordinary_to_every_test(count):
    """Also where images are so few that a fold of them might have fewer principal components."""
    rng = np.random.RandomState(3)
    images = rng.poisson(60.0, [count + 200, 8, 8, 3]).clip(0, 255).astype(np.uint8)
    detector = detectors.Default(gaussian(shape=(8, 8, 3))).fit(images[:count])
    medians = {name: np.median(p) for name, p in detector.tests(images[count:]).items()}
    assert min(medians.values()) > 0.2, medians


def test_no_images_have_no_tests():
    found = _fitted(gaussian(shape=SHAPE)).tests(HELD_OUT[:0])
    assert {name: p.shape for name, p in found.items()} == dict.fromkeys(detectors.Default.TESTS, (0,))


def test_what_asks_no_model_is_fitted_to_training_images_if_they_are_more():
    few, many = DIGITS[:60], DIGITS
    of_few, of_many = (detectors.Default(gaussian(shape=SHAPE)).fit(images).fitted for images in (few, many))
    both = detectors.Default(gaussian(shape=SHAPE)).fit(few, training_images=many).fitted
    fewer = detectors.Default(gaussian(shape=SHAPE)).fit(many, training_images=few).fitted
    for name in ("likelihood", "texture", "layout"):
        expected = of_few if name == "likelihood" else of_many
        for key in ("means", "precisions", "weight"):
            np.testing.assert_allclose(
                both[f"{name}_{key}"], expected[f"{name}_{key}"], rtol=1e-6, atol=1e-9
            )
            np.testing.assert_array_equal(fewer[f"{name}_{key}"], of_many[f"{name}_{key}"])


def test_training_images_are_told_of_where_they_are_looked_at():
    spec = runs.RunSpec("glow", None, {}, "digits", SHAPE)
    for most in (None, 40):
        detector = detectors.Default(gaussian(shape=SHAPE))
        used = detectors.fit_and_calibrate(detector, spec, max_images=most)
        seen = len(detector.fitted["texture_ascending"])
        assert used.training == (0 if seen == used.fit else seen)
        assert (used.training > 1_000) == (most is None)


def test_detectors_whose_texture_held_the_terms_of_the_likelihood_score_as_they_did():
    detector = _fitted(small_glow())
    statistics = detector.statistics(DIGITS)
    earlier = tail_tests.fit(statistics[:, : -image_statistics.NUM_LAYOUT], "texture")
    detector.fitted = detector.fitted | {f"texture_{key}": value for key, value in earlier.items()}
    held_out = tf.constant(detector.statistics(HELD_OUT))[:, : -image_statistics.NUM_LAYOUT]
    tail = tail_tests.log_tail(held_out, {key: tf.constant(value) for key, value in earlier.items()})
    np.testing.assert_allclose(detector.tests(HELD_OUT)["texture"], np.exp(tail), rtol=1e-9)


@pytest.mark.parametrize(("rows", "components"), [(2399, 1), (2400, 2), (20_000, 8)])
def test_a_texture_has_as_many_components_as_there_are_images_for(rows, components):
    fit = tail_tests._fit_of("texture", rows)
    assert len(fit(np.random.RandomState(0).standard_normal([200, 3]))["means"]) == components


def test_a_texture_of_a_few_odd_images_is_no_spike():
    """Grey images among colour ones lie in a plane: their component keeps a width, in units of all."""
    rows = np.random.RandomState(0).normal(size=[2400, 6])
    rows[:200, 3:] = -9.0
    arrays = tail_tests.fit(rows, "texture")
    widths = 1.0 / np.linalg.svd(arrays["precisions"], compute_uv=False)
    assert len(widths) == 2 and 0.05**0.5 * 0.999 < widths.min() < 0.3
