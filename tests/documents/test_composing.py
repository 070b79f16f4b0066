"""The examples of docs/composing.md run, and do what they say."""

import numpy as np
import pytest
import tensorflow as tf

from tests.documents import pages

DOCUMENT = pages.DOCS / "composing.md"


@pytest.fixture(scope="module")
def names():
    return pages.run(DOCUMENT)


def test_conditional_density_learns_two_modes(names):
    losses = names["losses"]
    assert losses[-1] < losses[0] - 1.0
    grid = np.stack(np.meshgrid(np.linspace(-5, 5, 201), np.linspace(-5, 5, 201)), axis=-1)
    points = grid.reshape([-1, 2]).astype(np.float32)
    given = np.full([len(points), 1], 0.5, np.float32)
    density = np.exp(names["log_prob"](given, points)).reshape(grid.shape[:2])
    assert density.sum() * 0.05**2 == pytest.approx(1.0, abs=0.05), "it is a density in y"
    right = density[grid[..., 0] > 0].sum() / density.sum()
    assert 0.3 < right < 0.7, "both modes have their share"
    other = np.exp(names["log_prob"](np.full_like(given, -0.5), points)).reshape(grid.shape[:2])
    assert np.abs(density - other).max() > 0.1, "it depends on x"


def test_gradients_reach_the_keras_model_and_the_flow(names):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(names["log_prob"](names["x"], names["y"]))
    for gradient in tape.gradient(loss, names["variables"]):
        assert gradient is not None and np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_conditional_glow_is_trained_whole_and_samples_for_each_class(names):
    flow, given = names["conditional_glow"], {"condition": names["classes"]}
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow.log_prob(names["three_images"], bijector_kwargs=given))
    assert names["log_probs"].shape == [3]
    assert float(loss) == pytest.approx(float(tf.reduce_mean(names["log_probs"])), rel=1e-5)
    trained = {v.ref() for v in flow.trainable_variables}
    assert {v.ref() for v in names["glow_prior"].trainable_variables} <= trained
    assert all(g is not None for g in tape.gradient(loss, flow.trainable_variables))
    assert names["drawn"].shape == [5, 3, 8, 8, 1]


def test_joint_log_prob_is_the_sum_of_its_parts(names):
    z, x = names["draw"]
    tfd = names["tfd"]
    prior = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2]), names["prior_bijector"])
    expected = prior.log_prob(tf.identity(z)) + tfd.Normal(tf.reduce_sum(z**2, -1), 0.1).log_prob(x)
    np.testing.assert_allclose(names["log_joint"], expected, rtol=1e-4, atol=1e-4)


def test_variational_inference_finds_the_banana(names):
    losses = names["kl_losses"].numpy()
    assert losses[0] > 0.5 and losses[-20:].mean() < 0.2
    draws = names["surrogate"].sample(4000, seed=(0, 2)).numpy()
    residual = draws[:, 1] - draws[:, 0] ** 2
    assert abs(np.median(residual)) < 0.2 and 0.3 < residual.std() < 0.8
