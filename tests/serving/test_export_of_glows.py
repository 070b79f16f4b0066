"""Glows of other couplings and networks: exported, TensorFlow alone gives their numbers.

That of variational noise and attention is in `test_export_of_dequantizers`.
"""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, detectors, serving, testing
from tfp_flows.checks import graphs
from tfp_flows.models import registry

IMAGES = data.load("digits", "test").images[:40]
KINDS = {
    "spline": dict(coupling="spline", num_bins=3),
    "mixture": dict(coupling="mixture", num_components=2, learned_prior=True),
    "transformer": dict(network="transformer", dequantization="variational", dequantization_steps=1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_log_prob_and_score_are_those_of_the_model(tmp_path, kind):
    """To 1e-3 nats; and the graph holds nothing that `score` would refuse."""
    config = tfp_flows.GlowConfig(
        **{
            "levels": 1,
            "steps_per_level": 1,
            "hidden_channels": 4,
            "dequantization_channels": 4,
            **KINDS[kind],
        }
    )
    model = tfp_flows.Dequantized(
        tfp_flows.glow(config, (8, 8, 1)), dequantizer=tfp_flows.dequantizer(config, (8, 8, 1))
    )
    family = registry.family_of(model)
    family.initialize(model, IMAGES, (0, 0))
    testing.perturb(model, 0, 0.02)
    detector = detectors.Typicality(model).fit(IMAGES)
    offered = serving.Servable(model, family, detector)
    offered.methods = {
        name: offered.methods[name] for name in ("serving_default", "decode")
    }  # the rest is alike
    offered.save(tmp_path / "out")
    graphs.check_saved_model(tmp_path / "out")
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    found = loaded.signatures["serving_default"](images=tf.constant(IMAGES[:5]))
    np.testing.assert_allclose(found["log_prob"], model.log_prob(IMAGES[:5]), rtol=0, atol=1e-3)
    np.testing.assert_allclose(found["score"], detector.score(IMAGES[:5]), rtol=0, atol=1e-3)
    z = model.flow.bijector.inverse(model.dequantized(IMAGES[:5]))
    np.testing.assert_array_equal(loaded.signatures["decode"](latents=z)["images"], IMAGES[:5])
