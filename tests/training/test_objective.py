"""Training on mutated images and beside outliers."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, runs, training
from tfp_flows.training import mutation, objective

SHAPE = (8, 8, 1)
CONFIG = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)


def test_mutation_replaces_a_fraction_by_uniform_levels():
    images = tf.fill([200, 8, 8, 3], tf.constant(7, tf.uint8))
    mutated = mutation.mutate(images, 0.3, seed=0).numpy()
    assert mutated.dtype == np.uint8 and mutated.shape == images.shape
    changed = mutated[mutated != 7]
    expected = 0.3 * 255 / 256  # a level may be drawn that was there
    assert abs(changed.size / mutated.size - expected) < 4 * (0.3 * 0.7 / mutated.size) ** 0.5
    counts = np.bincount(changed, minlength=256)
    assert counts[7] == 0 and counts[np.arange(256) != 7].min() > 0
    chi_square = ((np.delete(counts, 7) - changed.size / 255) ** 2).sum() / (changed.size / 255)
    assert chi_square < 360  # the 0.99999 quantile of 254 degrees of freedom
    np.testing.assert_array_equal(mutation.mutate(images, 0.3, seed=0), mutated)
    assert (mutation.mutate(images, 0.3, seed=1).numpy() != mutated).any()
    np.testing.assert_array_equal(mutation.mutate(images, 0.0, seed=0), images)


def _linear(calls, shape):
    """log p(x) = -sum(x) ln 2, so that bits per dimension are the mean of x."""

    def training_log_prob(images, seed):
        calls.append(images)
        return -tf.reduce_sum(tf.cast(images, tf.float32), axis=[1, 2, 3]) * np.log(2.0)

    unit = training.BITS_PER_DIM
    return training.Subject(None, shape, tf.float32, unit, training_log_prob, initialize=None, log_prob=None)


def test_margin_ranking_loss():
    config = training.TrainingConfig(steps=1, outlier_margin=2.0, outlier_weight=0.5)
    loss = objective.make_loss(_linear([], (2, 2, 1)), config)
    images = tf.constant(np.full([3, 2, 2, 1], 5), tf.uint8)
    outliers = tf.constant(np.array([4, 6, 9]).reshape([3, 1, 1, 1]) * np.ones([3, 2, 2, 1]), tf.uint8)
    total, bits = loss(images, outliers, tf.constant([0, 1]))
    violations = [max(0, 2 + 5 - o) for o in (4, 6, 9)]
    np.testing.assert_allclose([total, bits], [5 + 0.5 * np.mean(violations), 5], rtol=1e-6)
    np.testing.assert_allclose(loss(images, None, tf.constant([0, 1])), [5, 5], rtol=1e-6)


def test_mutations_are_fresh_at_every_step():
    calls = []
    config = training.TrainingConfig(steps=1, mutation_rate=0.5)
    loss = objective.make_loss(_linear(calls, (8, 8, 1)), config)
    images = tf.zeros([4, 8, 8, 1], tf.uint8)
    for step in (1, 2, 1):
        loss(images, None, tf.constant([0, step], tf.int64))
    first, second, again = (call.numpy() for call in calls)
    assert 0.4 < (first != 0).mean() < 0.6 and (first != second).any()
    np.testing.assert_array_equal(first, again)


def _train(folder, outliers=None, **settings):
    config = training.TrainingConfig(**{"steps": 40, "batch_size": 32, "validate_every": 0, **settings})
    spec = runs.RunSpec("glow", CONFIG, vars(config), "digits", SHAPE)
    images = data.load("digits", "train").images
    training.train(runs.Run(folder), spec, "", images, images[:32], False, outliers)
    return runs.load_model(runs.Run(folder))[0], spec


def test_outlier_exposure_starts_from_a_run_and_lowers_the_likelihood_of_outliers(tmp_path):
    before, _ = _train(tmp_path / "base", learning_rate=0.01)
    outliers = data.load("photos@luminance@resize=8", "train", max_images=500).images
    settings = dict(
        init_from=str(tmp_path / "base"), outlier_dataset="photos@luminance@resize=8", outlier_margin=9.0
    )
    untouched, _ = _train(
        tmp_path / "copy", outliers, steps=1, learning_rate=1e-12, ema_decay=0.0, **settings
    )
    digits = data.load("digits", "test").images[:50]
    np.testing.assert_allclose(untouched.log_prob(digits), before.log_prob(digits), rtol=1e-4)
    after, _ = _train(tmp_path / "exposed", outliers, learning_rate=0.003, ema_decay=0.0, **settings)

    def gap(model):
        return float(np.mean(model.log_prob(digits)) - np.mean(model.log_prob(outliers[:50])))

    assert gap(after) > gap(before) + 10


def test_init_from_another_model_is_refused(tmp_path):
    _, spec = _train(tmp_path / "base", steps=1)
    other = tfp_flows.GlowConfig(levels=2, steps_per_level=1, hidden_channels=4)
    settings = {**spec.training, "init_from": str(tmp_path / "base")}
    wrong = runs.RunSpec("glow", other, settings, "digits", SHAPE)
    images = data.load("digits", "train").images
    with pytest.raises(runs.RunError, match="is no glow of the same settings") as error:
        training.train(runs.Run(tmp_path / "new"), wrong, "", images, images, False)
    assert "\n" not in str(error.value)


def test_a_run_from_before_these_settings_goes_on(tmp_path):
    _, spec = _train(tmp_path / "run", steps=2)
    run = runs.Run(tmp_path / "run")
    new = ("init_from", "mutation_rate", "outlier_dataset", "outlier_margin", "outlier_weight")
    old = {k: v for k, v in spec.training.items() if k not in new}
    run.write(runs.RunSpec("glow", CONFIG, old, "digits", SHAPE), "")
    run.check_same(spec, {f"training.{k}": spec.training[k] for k in new})
    _train(tmp_path / "run", steps=3)
    with pytest.raises(runs.RunError, match="training.mutation_rate: 0.0 -> 0.1"):
        _train(tmp_path / "run", steps=4, mutation_rate=0.1)


def test_settings_that_make_no_sense():
    for settings, message in (
        ({"mutation_rate": 1.5}, "`mutation_rate` is a fraction 0..1, got 1.5"),
        ({"outlier_margin": -1.0}, "`outlier_margin` must be finite and not negative"),
        ({"outlier_weight": float("inf")}, "`outlier_weight` must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            training.TrainingConfig(steps=1, **settings)
