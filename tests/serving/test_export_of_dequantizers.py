"""A flow with noise of its own, and couplings with attention: exported, to TensorFlow alone and to XLA."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, serving, testing
from tfp_flows.runs import Run

DIGITS = data.load("digits", "train").images[:32]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variational") / "run"
    config = tfp_flows.GlowConfig(
        levels=1,
        steps_per_level=2,
        hidden_channels=4,
        network="attention",
        dequantization="variational",
        dequantization_steps=2,
        dequantization_channels=4,
    )
    model = tfp_flows.Dequantized(
        tfp_flows.glow(config, (8, 8, 1)), dequantizer=tfp_flows.dequantizer(config, (8, 8, 1))
    )
    testing.perturb(model, 0, 0.05)
    tfp_flows.fit(
        model,
        DIGITS,
        steps=1,
        batch_size=16,
        learning_rate=1e-6,
        run=folder,
        dataset="digits",
        from_data=False,
        progress=False,
    )
    return folder


def test_tensorflow_alone_gives_its_numbers(run, tmp_path):
    serving.export(Run(run), tmp_path / "out")
    model, images = tfp_flows.load(run), DIGITS[:5]
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    np.testing.assert_allclose(loaded.log_prob(images), model.log_prob(images), rtol=1e-5)
    terms = loaded.signatures["log_prob_parts"](images=tf.constant(images))
    for name, expected in model.terms(images)._asdict().items():
        np.testing.assert_allclose(terms[name], expected, rtol=1e-4, atol=1e-3)
    assert np.ptp(terms["dequantization"]) > 0.1, "the noise of each image is its own"
    latents = loaded.signatures["encode"](images=tf.constant(images))["latents"]
    decoded = loaded.signatures["decode"](latents=latents)["images"]
    np.testing.assert_array_equal(decoded, images)


def test_xla_gives_its_numbers(run, tmp_path):
    pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")
    from tfp_flows.serving import run_stablehlo

    described = serving.export(Run(run), tmp_path / "out", export_format="stablehlo", batch_sizes=[4])
    assert described["left_out"] == {}
    found = run_stablehlo.Model(tmp_path / "out")
    model, images = tfp_flows.load(run), DIGITS[:4]
    log_prob = found("serving_default", images=images)["log_prob"]
    np.testing.assert_allclose(log_prob, model.log_prob(images), rtol=1e-5)
    seeded = found("log_prob_seeded", images=images, seed=7)["log_prob"]
    np.testing.assert_allclose(seeded, model.log_prob(images, seed=tf.constant(7, tf.int64)), rtol=1e-5)
