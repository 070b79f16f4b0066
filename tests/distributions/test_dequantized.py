"""The terms of log P, copies, and who is asked whether it is a flow."""

import copy
import logging
import pickle
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tests.detectors.models import PixelModel, gaussian, linear_flow, small_glow, small_vae
from tfp_flows.checks import UserError
from tfp_flows.distributions import ImageDistribution, dequantization_term, protocols

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, [5, *SHAPE]).astype(np.uint8)


def test_terms_of_a_linear_flow_are_those_of_the_closed_form():
    """y = 1/2 + s z: log p(z) = sum log N(z; 0, 1), log|det dz/dy| = -sum ln s."""
    scales = np.linspace(0.2, 0.9, 16)
    model = linear_flow(scales)
    images = np.random.default_rng(1).integers(0, 256, [3, 4, 4, 1])
    terms = model.terms(images)
    z = ((images + model.evaluation_noise()[0]) / 256 - 0.5) / scales.reshape(4, 4, 1)
    expected = -0.5 * np.sum(z**2, axis=(1, 2, 3)) - 8 * np.log(2 * np.pi)
    np.testing.assert_allclose(terms.log_prob_z, expected, rtol=1e-12)
    np.testing.assert_allclose(terms.log_det, np.full(3, -np.log(scales).sum()), rtol=1e-12)
    np.testing.assert_allclose(terms.dequantization, np.full(3, -16 * np.log(256)), rtol=1e-12)
    assert dequantization_term(16) == pytest.approx(-128 * np.log(2))


def test_terms_sum_to_the_log_prob_of_the_first_draw():
    model = small_glow()
    np.testing.assert_allclose(sum(model.terms(IMAGES)), model.log_prob(IMAGES), rtol=1e-6)
    assert not np.allclose(sum(model.terms(IMAGES, seed=5)), model.log_prob(IMAGES), rtol=1e-6)
    np.testing.assert_allclose(sum(model.terms(IMAGES, seed=5)), model.log_prob(IMAGES, seed=5), rtol=1e-6)
    several = model.copy(num_samples=3)
    draws = [several.log_prob_of_draw(IMAGES, u) for u in several.evaluation_noise()]
    np.testing.assert_allclose(sum(several.terms(IMAGES)), draws[0], rtol=1e-6)
    np.testing.assert_allclose(several.log_prob(IMAGES), np.mean(draws, axis=0), rtol=1e-6)
    assert not np.allclose(draws[0], draws[1], rtol=1e-6)


def test_terms_go_through_the_flow_once():
    def convolutions(function):
        specification = tf.TensorSpec([None, *SHAPE], tf.uint8)
        graph = tf.function(function, autograph=False).get_concrete_function(specification).graph
        return sum(operation.type == "Conv2D" for operation in graph.get_operations())

    model = small_glow()
    assert convolutions(model.terms) == convolutions(model.log_prob) > 0


def test_terms_refuse_what_has_none():
    with pytest.raises(UserError, match="0..255"):
        small_glow().terms(IMAGES / 255)
    with pytest.raises(UserError, match="images must have shape"):
        small_glow().terms(IMAGES[:, 1:])
    no_flow = tfp_flows.Dequantized(gaussian(), name="mine")
    with pytest.raises(UserError, match="^mine: there are no terms: .* is no `tfd.Transformed"):
        no_flow.terms(IMAGES[:, :4, :4])


def test_a_flow_must_be_one_distribution():
    three = tfp.distributions.Independent(tfp.distributions.Normal(tf.zeros([3, 4, 4, 1]), 1.0), 3)
    with pytest.raises(UserError, match=r"`flow` must be one distribution, of batch shape \[\], got \(3,\)"):
        tfp_flows.Dequantized(three)


def test_a_copy_is_the_same_model():
    model = tfp_flows.Dequantized(small_glow().flow, num_samples=2, seed=3)
    model.run_reference = "a run"
    for same in (model.copy(), model.copy(name="other"), copy.copy(model), model[...]):
        assert same is not model and same.flow is model.flow
        np.testing.assert_array_equal(same.log_prob(IMAGES), model.log_prob(IMAGES))
    assert model.copy().run_reference == "a run" and model.copy(name="other").run_reference == "a run"
    other = model.copy(num_samples=1)
    assert other.flow is model.flow and other.run_reference is None, "a run has no such model"
    np.testing.assert_array_equal(
        other.log_prob(IMAGES), tfp_flows.Dequantized(model.flow, seed=3).log_prob(IMAGES)
    )


def test_what_cannot_be_copied_says_what_to_do():
    for call, message in (
        (copy.deepcopy, r"cannot be copied deeply; `copy\(\)`"),
        (pickle.dumps, "cannot be pickled; .*tf.train.Checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            call(small_glow())


def test_a_strangers_module_around_a_model_is_saved_without_a_word(tmp_path, caplog):
    model, module = small_glow(), tf.Module()
    module.model = model
    module.log_prob = tf.function(
        lambda images: model.log_prob(images), input_signature=[tf.TensorSpec([None, *SHAPE], tf.uint8)]
    )
    with caplog.at_level(logging.WARNING):
        tf.saved_model.save(module, str(tmp_path / "model"))
    assert "_parameter_properties" not in caplog.text
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.log_prob(IMAGES), model.log_prob(IMAGES), rtol=1e-6)


def test_a_subclass_may_have_parameter_properties_of_its_own():
    class Own(ImageDistribution):
        def __init__(self, loc, name="own"):
            super().__init__([1, 1, 1], tf.float32, dict(locals()), name)

        @classmethod
        def _parameter_properties(cls, dtype, num_classes=None):
            return {"loc": tfp.util.ParameterProperties(event_ndims=3)}

    assert list(Own._parameter_properties(tf.float32)) == ["loc"]
    assert small_glow()._parameter_properties(tf.float32) == {}


@pytest.mark.parametrize(
    ("build", "kinds"),
    [
        (small_glow, {"density", "flow"}),
        (lambda: linear_flow(np.full(16, 0.3)), {"density", "flow"}),
        (lambda: tfp_flows.Dequantized(gaussian()), {"density"}),
        (small_vae, {"density", "latent", "estimated"}),
        (lambda: PixelModel(100.0), {"density", "pixel"}),
        (gaussian, {"density"}),
        (lambda: tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Exp()), {"density", "change"}),
        (lambda: small_glow().flow, {"density", "change"}),
        (lambda: types.SimpleNamespace(encode=1, decode=2, prior=3), set()),
        (object, set()),
    ],
)
def test_what_a_model_can_do(build, kinds):
    model = build()
    asked = {
        "density": isinstance(model, protocols.DensityModel),
        "flow": protocols.is_flow(model),
        "latent": isinstance(model, protocols.LatentVariableModel),
        "estimated": isinstance(model, protocols.EstimatedModel),
        "pixel": isinstance(model, protocols.PixelModel),
        "change": isinstance(model, protocols.ChangeOfVariables),
    }
    assert {kind for kind, holds in asked.items() if holds} == kinds
