"""Kind 1: a copy is the same model; a claim about a distribution is true of its samples."""

import copy
import functools
import pickle
import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import tfp_flows
from tfp_flows import bijectors, networks, testing
from tfp_flows.models import registry

CONV = functools.partial(networks.ConvNetwork, hidden_channels=4)


def _flow(bijector, shape):
    testing.perturb(bijector, scale=0.5)
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), shape), bijector)


def test_case_02_claims_of_constancy():
    additive = bijectors.AdditiveCoupling(4, CONV)
    affine = bijectors.AffineCoupling(4, CONV)
    norm, squeeze = bijectors.ActNorm(4), bijectors.Squeeze()
    split = functools.partial(bijectors.FactorOut, 4, CONV)
    narrow = bijectors.AdditiveCoupling(2, CONV)
    found = {
        name: (b.is_constant_jacobian, bijectors.is_constant_log_det(b))
        for name, b in {
            "actnorm": norm,
            "conv": bijectors.InvertibleConv1x1(4),
            "squeeze": squeeze,
            "affine": affine,
            "additive": additive,
            "inverted": tfb.Invert(additive),
            "linear chain": bijectors.FusedChain([squeeze, tfb.Shift(1.0)]),
            "chain": bijectors.FusedChain([norm, additive, tfb.Scale(2.0)]),
            "their chain": tfb.Chain([norm, tfb.Invert(additive)]),
            "chain with an affine one": bijectors.FusedChain([norm, affine]),
            "their chain with exp": tfb.Chain([additive, tfb.Exp()]),
            "none": split(mode="none"),
            "none, additive rest": split(mode="none", rest=narrow),
            "shift": split(mode="shift"),
            "shift, sigmoid rest": split(mode="shift", rest=tfb.Sigmoid()),
            "scaled": split(mode="affine"),
        }.items()
    }
    assert found == {
        "actnorm": (True, True),
        "conv": (True, True),
        "squeeze": (True, True),
        "affine": (False, False),
        "additive": (False, True),
        "inverted": (False, True),
        "linear chain": (True, True),
        "chain": (False, True),
        "their chain": (False, True),
        "chain with an affine one": (False, False),
        "their chain with exp": (False, False),
        "none": (True, True),
        "none, additive rest": (False, True),
        "shift": (False, True),
        "shift, sigmoid rest": (False, False),
        "scaled": (False, False),
    }


@pytest.mark.parametrize("what", ["mean", "mode"])
def test_case_02_no_mean_of_an_additive_glow(what):
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4, coupling="additive")
    flow = tfp_flows.glow(config, (4, 4, 1))
    with pytest.raises(NotImplementedError, match=f"`{what}` is not implemented for non-affine"):
        getattr(flow, what)()


def test_case_02_the_mean_of_a_linear_flow_is_that_of_its_samples():
    norm = bijectors.ActNorm(2, shift=tf.constant([3.0, -2.0]))
    flow = _flow(bijectors.FusedChain([norm, bijectors.InvertibleConv1x1(2)]), [1, 1, 2])
    samples = flow.sample(10_000, seed=(0, 1)).numpy()
    error = samples.std(0) / 100
    assert np.all(abs(samples.mean(0) - flow.mean()) < 5 * error)
    assert np.all(abs(flow.mean()) > 10 * error)  # so that 0 is no answer


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (lambda: [tfb.Scale([2.0, 3.0]), tfb.Shift(0.0)], r"scale has parameters of batch shape \(2,\)"),
        (lambda: [tfb.Invert(tfb.Shift([[1.0], [2.0]]))], r"invert_shift has .* batch shape \(2, 1\)"),
        (lambda: [bijectors.ActNorm(3), tfb.Scale([[2.0] * 3] * 4)], r"batch shape \(4,\)"),
        (lambda: [bijectors.ActNorm(3), tfb.Chain([tfb.Scale([[2.0]] * 4)])], r"batch shape \(4,\)"),
    ],
)
def test_case_03_members_with_a_batch_of_parameters_are_refused(members, message):
    with pytest.raises(ValueError, match=message + r".* use tfb.Chain") as error:
        bijectors.FusedChain(members())
    assert "\n" not in str(error.value)


def test_case_03_a_rest_with_a_batch_of_parameters_is_refused():
    with pytest.raises(ValueError, match=r"factor_out: scale has parameters of batch shape \(4,\)"):
        bijectors.FactorOut(2, mode="none", rest=tfb.Scale([[2.0]] * 4), event_ndims=1)


def test_case_03_parameters_within_an_event_are_as_in_tfb_chain():
    members = [bijectors.ActNorm(2), tfb.Scale([2.0, 3.0]), tfb.Shift(1.0)]
    flows = [_flow(chain(members), [2]) for chain in (bijectors.FusedChain, tfb.Chain)]
    samples = [flow.sample(5, seed=(0, 1)) for flow in flows]
    assert flows[0].batch_shape == [] and samples[0].shape == [5, 2]
    np.testing.assert_allclose(*samples, rtol=1e-6)
    np.testing.assert_allclose(*(flow.log_prob(samples[0]) for flow in flows), rtol=1e-6)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_case_04_bijectors_are_copied_deeply_and_pickled(duplicate):
    x = tf.random.stateless_uniform([2, 4, 4, 1], (0, 1))
    glow = bijectors.Glow((4, 4, 1), levels=1, steps_per_level=1, hidden_channels=4)
    for original, value in ((bijectors.AffineCoupling(4, CONV), tf.repeat(x, 4, -1)), (glow, x)):
        testing.perturb(original)
        expected = original.inverse(value)
        other = duplicate(original)
        np.testing.assert_array_equal(other.inverse(tf.identity(value)), expected)
        for variable in original.trainable_variables:
            variable.assign_add(tf.ones_like(variable))
        np.testing.assert_array_equal(other.inverse(tf.identity(value)), expected)


SMALL = {
    "glow": dict(levels=1, steps_per_level=1, hidden_channels=8),
    "vae": dict(architecture="small", latent_size=3, likelihood="logistic"),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=1, num_filters=4),
}
FEW_SAMPLES = {"vae": dict(num_importance_samples=4)}  # not 64, each by operations one after another
IMAGES = np.random.default_rng(0).integers(0, 256, [3, 4, 4, 1], np.uint8)


@pytest.fixture(scope="module", params=SMALL)
def model(request):
    family = registry.family(request.param)
    protocol = family.protocol_class(**FEW_SAMPLES.get(request.param, {}))
    model = family.build(family.config_class(**SMALL[request.param]), (4, 4, 1), protocol)
    family.initialize(model, IMAGES, np.array([0, 1]))
    testing.perturb(model, scale=0.05)
    return model


def test_case_01_a_copy_has_the_weights_and_the_run(model):
    expected = model.log_prob(IMAGES)
    model.run_reference = "a run"
    for same in (model.copy(), model.copy(name="other"), copy.copy(model), model[...]):
        np.testing.assert_array_equal(same.log_prob(IMAGES), expected)
        assert [v.ref() for v in same.variables] == [v.ref() for v in model.variables]
        assert same.run_reference == "a run"
    for slices in (0, np.newaxis, slice(None)):
        with pytest.raises(ValueError, match=r"no batch to slice \(its batch shape is \(\)\)"):
            model[slices]


def test_case_01_a_copy_with_more_samples_has_the_weights():
    family = registry.family("vae")
    vae = family.build(family.config_class(**SMALL["vae"]), (4, 4, 1), family.protocol_class())
    testing.perturb(vae, scale=0.05)
    more = vae.copy(num_importance_samples=256)
    assert {v.ref() for v in more.variables} == {v.ref() for v in vae.variables}
    error = abs(more.log_prob(IMAGES) - vae.log_prob(IMAGES)).numpy().max()
    assert 0 < error < 2, "an estimate with more samples is of the same density"


def test_case_04_a_model_says_what_to_do(model):
    with pytest.raises(ValueError, match=r"cannot be copied deeply; `copy\(\)`") as error:
        copy.deepcopy(model)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="cannot be pickled; .*tf.train.Checkpoint") as error:
        pickle.dumps(model)
    assert "\n" not in str(error.value)


def test_case_05_a_module_around_a_model_is_saved_silently(tmp_path, caplog):
    config = tfp_flows.GlowConfig(**SMALL["glow"])
    module = tf.Module()
    module.model = tfp_flows.Dequantized(tfp_flows.glow(config, (4, 4, 1)))
    module.score = tf.function(
        lambda images: module.model.log_prob(images),
        input_signature=[tf.TensorSpec([None, 4, 4, 1], tf.uint8)],
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tf.saved_model.save(module, str(tmp_path / "model"))
    said = [str(w.message) for w in caught] + [record.getMessage() for record in caplog.records]
    assert not [line for line in said if "_parameter_properties" in line]
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.score(IMAGES), module.model.log_prob(IMAGES), rtol=1e-6)


class _SaysAffine(bijectors.AdditiveCoupling):
    """A stranger's coupling with the claim that ours made."""

    is_constant_jacobian = True


def test_case_02_the_contract_compares_moments_with_samples():
    network = functools.partial(networks.DenseNetwork, hidden_channels=4)
    wrong = _flow(_SaysAffine(2, network, event_ndims=1), [2])
    with pytest.raises(AssertionError, match=r"mean\(\) is .* standard errors from that of its samples"):
        testing.check_moments(wrong, num_samples=10_000)

    class Wide(tfd.Normal):
        def _stddev(self):
            return 1.2 * super()._stddev()

    with pytest.raises(AssertionError, match=r"stddev\(\) is .* standard errors"):
        testing.check_moments(Wide([0.0, 3.0], 2.0), num_samples=2_000)
    for right in (tfd.Normal([0.0, 3.0], 2.0), tfd.Gamma(2.0, 3.0), _flow(bijectors.ActNorm(2), [2])):
        testing.check_moments(right)
