"""The examples of docs/jax.md run, and do what they say."""

import sys
from contextlib import chdir

import numpy as np
import pytest
import tensorflow as tf

from tests.documents import pages
from tfp_flows import data, runs, serving

pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")


def test_examples(tmp_path, make_run, monkeypatch):
    make_run(tmp_path, "glow")
    run = runs.Run(tmp_path / "glow")
    detector = tmp_path / "glow_detector"
    serving.export(run, tmp_path / "exported", detector, export_format="stablehlo", batch_sizes=(1, 64))
    images = data.load("digits", "test").images[:3]
    np.save(tmp_path / "images.npy", images)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = {}
    with chdir(tmp_path):
        for code in pages.blocks(pages.DOCS / "jax.md", "python"):
            exec(code, names)
    model, _ = runs.load_model(run)
    np.testing.assert_allclose(names["found"]["log_prob"], model.log_prob(images), rtol=1e-5, atol=1e-3)
    assert {"score", "p_value"} < set(names["found"]) and names["drawn"].shape == (2, 8, 8, 1)
    values = tf.constant(names["values"])
    with tf.GradientTape() as tape:
        tape.watch(values)
        log_densities = model.log_density(values)
    np.testing.assert_allclose(names["log_densities"], log_densities, rtol=1e-5, atol=1e-3)
    gradients = tape.gradient(log_densities, values).numpy()
    np.testing.assert_allclose(names["gradients"], gradients, rtol=1e-3, atol=1e-3 * np.abs(gradients).max())
    product = np.tensordot(names["hessian"], names["noise"][0], 3)
    scale = np.abs(product).max()
    np.testing.assert_allclose(product, names["curvature"], rtol=1e-2, atol=1e-3 * scale)
    assert set(names["of_weights"]) == set(names["floats"])
    x = tf.constant([[0.3, -1.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        log_prob = names["flow"].log_prob(x)
    np.testing.assert_allclose(names["score"], tape.gradient(log_prob, x)[0], rtol=1e-4, atol=1e-5)
