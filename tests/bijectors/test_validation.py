"""`validate_args`, inputs of unknown rank, and what TFP is told of parameters."""

import logging

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tests.bijectors.chains import CONV
from tfp_flows import bijectors

tfb = tfp.bijectors
tfd = tfp.distributions

NAN_IMAGE = tf.constant([[[[1.0, np.nan, 0.0, 2.0]]]])
CHECKED = {
    "squeeze": lambda **k: tfb.Invert(bijectors.Squeeze(**k)),
    "actnorm": lambda **k: bijectors.ActNorm(4, **k),
    "conv1x1": lambda **k: bijectors.InvertibleConv1x1(4, **k),
    "affine_coupling": lambda **k: bijectors.AffineCoupling(4, CONV, **k),
    "additive_coupling": lambda **k: bijectors.AdditiveCoupling(4, CONV, **k),
    "factor_out": lambda **k: bijectors.FactorOut(4, CONV, **k),
    "fused_chain": lambda **k: bijectors.FusedChain([tfb.Scale(2.0)], **k),
    "member": lambda **k: bijectors.FusedChain([bijectors.ActNorm(4, name="member", **k)]),
    "folded": lambda **k: bijectors.FusedChain(
        [bijectors.ActNorm(4), bijectors.InvertibleConv1x1(4, name="folded", **k)]
    ),
    "rest": lambda **k: bijectors.FactorOut(
        8, mode="none", rest=bijectors.ActNorm(4, name="rest", **k), name="outer"
    ),
}


def _image(name):
    return tf.concat([NAN_IMAGE, NAN_IMAGE], axis=-1) if name == "rest" else NAN_IMAGE


@pytest.mark.parametrize("name", CHECKED)
def test_inputs_are_finite(name):
    x = _image(name)
    CHECKED[name]().inverse(x)
    bijector = CHECKED[name](validate_args=True)
    message = f"{name}: the input must be finite, but holds NaN"
    for call in (bijector.inverse, bijector.forward_log_det_jacobian):
        if name != "squeeze" or call == bijector.inverse:
            with pytest.raises(ValueError, match=message):
                call(x)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(bijector.inverse)(x)
    assert tf.function(bijector.inverse)(tf.where(tf.math.is_finite(x), x, 0.0)).shape.rank == 4


CONV_PARAMETERS = {
    "lower_upper": tf.eye(2),
    "log_diagonal": tf.zeros([2]),
    "permutation": tf.constant([0, 1]),
    "sign": tf.ones([2]),
}


@pytest.mark.parametrize(
    ("build", "parameter", "bad", "message"),
    [
        (bijectors.ActNorm, "shift", [np.inf, 0.0], "actnorm: `shift` must be finite"),
        (bijectors.ActNorm, "log_scale", [0.0, -200.0], r"the scale exp\(`log_scale`\) must be positive"),
        (bijectors.ActNorm, "log_scale", [0.0, 100.0], r"exp\(`log_scale`\) must be positive and finite"),
        (bijectors.InvertibleConv1x1, "permutation", [1, 1], "must hold each of 0 ... 1 once"),
        (bijectors.InvertibleConv1x1, "permutation", [1, 2], "must hold each of 0 ... 1 once"),
        (bijectors.InvertibleConv1x1, "sign", [1.0, 0.5], r"conv1x1: every `sign` must be \+1 or -1"),
        (bijectors.InvertibleConv1x1, "lower_upper", [[1, np.nan], [0, 1]], "`lower_upper` must be finite"),
        (bijectors.InvertibleConv1x1, "log_diagonal", [np.nan, 0.0], "`log_diagonal` must be finite"),
    ],
)
def test_parameters_are_what_they_should_be(build, parameter, bad, message):
    others = CONV_PARAMETERS if build is bijectors.InvertibleConv1x1 else {}
    bad = tf.constant(bad, tf.int32 if parameter == "permutation" else tf.float32)
    build(2, **{**others, parameter: bad})
    with pytest.raises(ValueError, match=message):  # a tensor: when the bijector is made
        build(2, **{**others, parameter: bad}, validate_args=True)
    bijector = build(2, validate_args=True)
    inverse = tf.function(bijector.inverse)
    assert inverse(tf.ones([1, 2])).shape == [1, 2]
    getattr(bijector, parameter).assign(bad)  # a variable: at each call
    with pytest.raises(ValueError, match=message):
        bijector.inverse(tf.ones([1, 2]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        inverse(tf.ones([1, 2]))


def _saying(value):
    return lambda in_channels, out_channels: lambda x: value * tf.ones([*x.shape[:-1], out_channels])


@pytest.mark.parametrize("form", ["sigmoid", "tanh"])
@pytest.mark.parametrize("kind", [bijectors.AffineCoupling, bijectors.FactorOut])
def test_a_scale_with_a_floor_is_never_zero(form, kind):
    bijector = kind(4, _saying(-200.0), scale_form=form, validate_args=True)
    assert np.isfinite(bijector.forward(tf.ones([1, 2, 2, 4]))).all()


@pytest.mark.parametrize("kind", [bijectors.AffineCoupling, bijectors.FactorOut])
def test_a_scale_that_is_zero_is_told(kind):
    x = tf.ones([1, 2, 2, 4])
    assert not np.isfinite(kind(4, _saying(-200.0), scale_form="exp").forward(x)).all()
    bijector = kind(4, _saying(-200.0), scale_form="exp", validate_args=True)
    with pytest.raises(ValueError, match="the scale must be positive and finite"):
        bijector.forward(x)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the scale must be positive and finite"):
        tf.function(bijector.inverse)(x)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("method", ["inverse", "forward", "inverse_log_det_jacobian"])
def test_an_input_of_unknown_rank_is_refused_in_one_line(name, method):
    bijector = CHECKED[name]()
    kwargs = {"event_ndims": 3} if method.endswith("jacobian") else {}

    @tf.function(input_signature=[tf.TensorSpec(None)], autograph=False)  # else it adds where it was
    def call(x):
        return getattr(bijector, method)(x, **kwargs)

    with pytest.raises(ValueError, match="the input must have a known rank, got a tensor of unknown") as e:
        call.get_concrete_function()
    assert "\n" not in str(e.value)


def test_event_ndims_that_do_not_fit():
    coupling = bijectors.AffineCoupling(4, CONV)
    x = tf.ones([2, 3, 3, 4])
    for wrong in (2, 5):
        with pytest.raises(ValueError, match=f"`event_ndims` must be .* from 3 to 4, .* got {wrong}"):
            coupling.inverse_log_det_jacobian(x, event_ndims=wrong)
    for method in (coupling.inverse, coupling.forward, coupling.inverse_and_log_det):
        with pytest.raises(ValueError, match=r"must be images \[.*got shape \(3, 4\)"):
            method(x[0, 0])
    all_axes = coupling.inverse_log_det_jacobian(x, event_ndims=tf.constant(4))
    np.testing.assert_allclose(all_axes, tf.reduce_sum(coupling.inverse_log_det_jacobian(x)), rtol=1e-6)


def test_parameters_as_tfp_knows_them():
    for bijector in (bijectors.ActNorm(3), bijectors.InvertibleConv1x1(3)):
        properties = bijector.parameter_properties()
        assert {name: p.event_ndims for name, p in properties.items()} == {
            name: getattr(bijector, name).shape.rank for name in properties
        }
        assert {f"{bijector.name}_{name}:0" for name in properties} == {v.name for v in bijector.variables}
        assert bijector.experimental_batch_shape() == []
        assert list(bijector.experimental_batch_shape_tensor()) == []
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [4]), bijectors.ActNorm(4))
    assert flow.batch_shape == [] and flow.event_shape == [4]


class _Own(tf.Module):
    def __init__(self):
        super().__init__()
        config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
        self.model = tfp_flows.Dequantized(tfp_flows.glow(config, (4, 4, 1)))
        self.coupling = bijectors.AffineCoupling(4, CONV)

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 1])])
    def log_prob(self, images):
        return self.model.log_prob(images)


def test_ones_own_module_is_saved_silently(tmp_path, caplog, recwarn):
    module = _Own()
    with caplog.at_level(logging.WARNING):
        tf.saved_model.save(module, str(tmp_path / "saved"))
    messages = [record.getMessage() for record in caplog.records] + [str(w.message) for w in recwarn]
    assert not [message for message in messages if "_parameter_properties" in message]
    images = tf.reshape(tf.range(32.0), [2, 4, 4, 1])
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.log_prob(images), module.log_prob(images), rtol=1e-6)
