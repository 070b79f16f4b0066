"""log p(x) taken apart: the parts sum to the whole, for any flow."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from analysis import decomposition, levels
from analysis.errors import AnalysisError
from tfp_flows import testing

tfb, tfd = tfp.bijectors, tfp.distributions
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, [5, 8, 8, 3], dtype=np.uint8)


def _glow(dtype="float64", **settings):
    config = tfp_flows.GlowConfig(levels=3, steps_per_level=1, hidden_channels=4, dtype=dtype, **settings)
    flow = tfp_flows.glow(config, (8, 8, 3))
    testing.perturb(flow, scale=0.1)
    return flow


@pytest.mark.parametrize("settings", [{}, {"coupling": "additive"}, {"prior": "laplace"}])
def test_parts_of_a_glow_sum_to_its_log_prob(settings):
    flow = _glow(**settings)
    x = RNG.uniform(size=[4, 8, 8, 3])
    parts = decomposition.decompose(flow, x)
    np.testing.assert_allclose(parts.log_prob, flow.log_prob(x), rtol=1e-12)
    log_det = flow.bijector.inverse_log_det_jacobian(x, event_ndims=3)
    np.testing.assert_allclose(parts.log_det, np.broadcast_to(log_det, [4]), rtol=1e-12)
    np.testing.assert_allclose(sum(layer.log_det for layer in parts.layers), parts.log_det, rtol=1e-12)
    np.testing.assert_allclose(sum(parts.levels), parts.log_prob_z, rtol=1e-12)
    assert len(parts.levels) == 3
    assert [layer.name for layer in parts.layers][:3] == [
        "level0_squeeze",
        "level0_step0_actnorm",
        "level0_step0_conv1x1",
    ]


def test_levels_are_where_the_latents_left():
    """Latents of level 0 are set by the split alone: changing what stays moves only the deeper ones."""
    flow = _glow(factor_out="none")
    found = levels.latent_levels(flow.bijector, (8, 8, 3))
    assert [(found == level).sum() for level in range(3)] == [96, 48, 48]
    z = RNG.normal(size=[1, 8, 8, 3])
    first = flow.bijector.forward(z)
    level0 = flow.bijector.bijectors[:4]  # squeeze, actnorm, 1x1, coupling: those before the split
    for level in (1, 2):
        moved = np.where(found == level, z + 1.0, z)
        before = [first, flow.bijector.forward(moved)]
        for member in level0:
            before = [member.inverse(tf.identity(x)) for x in before]
        split = flow.bijector.bijectors[4].split
        assert abs(split(before[0])[1] - split(before[1])[1]).numpy().max() < 1e-9
        assert abs(split(before[0])[0] - split(before[1])[0]).numpy().max() > 0.1


def test_any_transformed_distribution():
    chain = tfb.Chain([tfb.Reshape([2, 2], [4]), tfb.Scale(np.float64(2.0)), tfb.Tanh()])
    base = tfd.MultivariateNormalDiag(np.zeros(4))
    flow = tfd.TransformedDistribution(base, chain)
    x = RNG.uniform(-0.3, 0.3, size=[3, 2, 2])
    parts = decomposition.decompose(flow, x)
    np.testing.assert_allclose(parts.log_prob, flow.log_prob(x), rtol=1e-12)
    assert len(parts.layers) == 3 and len(parts.levels) == 1


def test_images_are_decomposed_with_the_models_own_noise():
    model = tfp_flows.Dequantized(_glow(), num_samples=2, seed=3)
    terms = decomposition.decompose_images(model, IMAGES, batch_size=2)
    np.testing.assert_allclose(terms.log_prob, model.log_prob(IMAGES), rtol=1e-12)
    np.testing.assert_allclose(sum(terms.layers.values()), terms.log_det, rtol=1e-12)
    np.testing.assert_allclose(terms.levels.sum(axis=0), terms.log_prob_z, rtol=1e-12)


def test_float32_sums_too():
    model = tfp_flows.Dequantized(_glow("float32"))
    terms = decomposition.decompose_images(model, IMAGES)
    np.testing.assert_allclose(terms.log_prob, model.log_prob(IMAGES), rtol=1e-5)


def test_what_has_no_change_of_variables_is_refused():
    with pytest.raises(AnalysisError, match="Normal.*no exact change of variables"):
        decomposition.decompose(tfd.Normal(0.0, 1.0), tf.zeros([3]))
    with pytest.raises(AnalysisError, match=r"must have shape \[B\] \+ \[8, 8, 3\], got \(3, 8, 8, 1\)"):
        decomposition.decompose(_glow(), np.zeros([3, 8, 8, 1]))
    with pytest.raises(AnalysisError, match=r"images must have shape .*got \(2, 4, 4, 3\)"):
        model = tfp_flows.Dequantized(_glow())
        decomposition.decompose_images(model, np.zeros([2, 4, 4, 3], np.uint8))
    with pytest.raises(AnalysisError, match="is no flow"):
        decomposition.decompose_images(tfd.Poisson(tf.ones([8, 8, 3])), IMAGES)
