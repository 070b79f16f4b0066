"""Every public bijector keeps the contract, and the contract catches those that break it."""

import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tests.bijectors.chains import CONV, chain
from tfp_flows import bijectors, networks, testing
from tfp_flows.bijectors import _one_pass

tfb = tfp.bijectors


def _factor_out(dtype, **kwargs):
    rest = bijectors.ActNorm(3, dtype=dtype)
    network = functools.partial(networks.ConvLayer, dtype=dtype)
    return bijectors.FactorOut(5, network, rest=rest, num_leaving=2, dtype=dtype, **kwargs)


DENSE = functools.partial(networks.DenseNetwork, hidden_channels=5)
MASK = np.arange(24).reshape([4, 3, 2]) % 5 < 2


def _coupling(kind, channels, *transform, network=CONV, **settings):
    return lambda dtype: kind(
        channels, functools.partial(network, dtype=dtype), *transform, dtype=dtype, **settings
    )


def _mixture(dtype):
    values = [[0.0, 1.0, -1.0]], [[-1.0, 0.0, 2.0]], [[0.0, -0.5, 0.3]], [0.3], [0.1]
    return bijectors.MixtureLogisticCDF(
        *(tf.Variable(value, dtype=dtype) for value in values), min_slope=0.05, dtype=dtype
    )


# name -> (build(dtype), event shape on the image side)
REGISTRY = {
    "ActNorm": (lambda dtype: bijectors.ActNorm(3, dtype=dtype), (4, 2, 3)),
    "InvertibleConv1x1": (lambda dtype: bijectors.InvertibleConv1x1(5, dtype=dtype), (2, 3, 5)),
    "Squeeze": (lambda dtype: bijectors.Squeeze(), (4, 6, 3)),
    "AffineCoupling": (
        lambda dtype: bijectors.AffineCoupling(4, functools.partial(CONV, dtype=dtype), dtype=dtype),
        (4, 3, 4),
    ),
    "AffineCoupling-exp-swap": (
        lambda dtype: bijectors.AffineCoupling(
            4, functools.partial(CONV, dtype=dtype), scale_form="exp", swap=True, dtype=dtype
        ),
        (4, 3, 4),
    ),
    "AffineCoupling-tanh": (
        lambda dtype: bijectors.AffineCoupling(
            4, functools.partial(CONV, dtype=dtype), scale_form="tanh", dtype=dtype
        ),
        (4, 3, 4),
    ),
    "AffineCoupling-vector": (
        lambda dtype: bijectors.AffineCoupling(
            6, functools.partial(networks.DenseNetwork, dtype=dtype), event_ndims=1, dtype=dtype
        ),
        (6,),
    ),
    "AdditiveCoupling": (
        lambda dtype: bijectors.AdditiveCoupling(4, functools.partial(CONV, dtype=dtype), dtype=dtype),
        (4, 3, 4),
    ),
    "AdditiveCoupling-highway": (
        lambda dtype: bijectors.AdditiveCoupling(
            4,
            functools.partial(networks.HighwayNetwork, hidden_channels=5, dtype=dtype),
            dtype=dtype,
        ),
        (3, 3, 4),
    ),
    "AffineCoupling-rows": (_coupling(bijectors.AffineCoupling, 1, split="rows"), (4, 3, 1)),
    "AffineCoupling-odd-mask": (
        _coupling(bijectors.AffineCoupling, 3, split=[True, False, True], event_ndims=1, network=DENSE),
        (3,),
    ),
    "AdditiveCoupling-columns-swap": (
        _coupling(bijectors.AdditiveCoupling, 2, split="columns", swap=True),
        (3, 4, 2),
    ),
    "Coupling-shift-odd-swap": (
        _coupling(bijectors.Coupling, 5, bijectors.ShiftTransform(), swap=True),
        (2, 3, 5),
    ),
    "Coupling-affine-mask": (
        _coupling(bijectors.Coupling, 2, bijectors.AffineTransform(), split=MASK),
        (4, 3, 2),
    ),
    "Coupling-spline-odd-vector": (
        _coupling(bijectors.Coupling, 3, bijectors.SplineTransform(4), network=DENSE, event_ndims=1),
        (3,),
    ),
    "Coupling-mixture-checkerboard": (
        _coupling(bijectors.Coupling, 1, bijectors.MixtureTransform(3), split="checkerboard"),
        (4, 4, 1),
    ),
    "MixtureLogisticCDF": (_mixture, (4,)),
    "FactorOut": (_factor_out, (2, 4, 5)),
    "FactorOut-odd": (
        lambda dtype: bijectors.FactorOut(
            3, functools.partial(networks.ConvLayer, dtype=dtype), dtype=dtype
        ),
        (2, 2, 3),
    ),
    "FactorOut-tanh": (functools.partial(_factor_out, scale_form="tanh"), (2, 4, 5)),
    "FactorOut-shift": (functools.partial(_factor_out, mode="shift"), (2, 4, 5)),
    "FactorOut-none": (functools.partial(_factor_out, mode="none"), (2, 4, 5)),
    "Glow": (
        lambda dtype: bijectors.Glow(
            (4, 4, 1),
            levels=2,
            steps_per_level=1,
            hidden_channels=4,
            factor_out_scale_form="exp",
            shift_first=True,
            leaves="transformed",
            dtype=dtype,
        ),
        (4, 4, 1),
    ),
    "FusedChain": (chain, (4, 4, 2)),
    "FusedChain-reversible": (
        lambda dtype: bijectors.FusedChain(chain(dtype).bijectors, reversible=True),
        (4, 4, 2),
    ),
    "ConditionedChain": (
        lambda dtype: tfp_flows.vector_flow(3, num_steps=1, hidden_units=4, dtype=dtype).bijector,
        (3,),
    ),
    "Glow-mixture-checkerboard": (
        lambda dtype: bijectors.Glow(
            (2, 2, 3),
            levels=1,
            steps_per_level=1,
            hidden_channels=3,
            coupling="mixture",
            num_components=2,
            checkerboard_steps=1,
            dtype=dtype,
        ),
        (2, 2, 3),
    ),
    "Glow-as-it-is": (
        lambda dtype: bijectors.Glow((4, 4, 1), levels=2, steps_per_level=1, hidden_channels=3, dtype=dtype),
        (4, 4, 1),
    ),
}


def test_every_public_bijector_is_registered():
    public = {
        name
        for name in bijectors.__all__
        if inspect.isclass(getattr(bijectors, name)) and issubclass(getattr(bijectors, name), tfb.Bijector)
    }
    assert public == {name.split("-")[0] for name in REGISTRY}


@pytest.mark.parametrize("name", REGISTRY)
def test_contract(name):
    build, event_shape = REGISTRY[name]
    testing.check_bijector(build, event_shape)


class _Broken(tfb.Bijector):
    """A bijector whose inverse or log-determinant is wrong; TFP's cache would hide the former."""

    def __init__(self, inverse_error=0.0, log_det_error=0.0):
        super().__init__(forward_min_event_ndims=0, parameters=None)
        self._errors = inverse_error, log_det_error

    def _forward(self, x):
        return 2.0 * x

    def _inverse(self, y):
        return (0.5 + self._errors[0]) * y

    def _inverse_log_det_jacobian(self, y):
        return tf.zeros_like(y) - np.log(2.0) + self._errors[1]


@pytest.mark.parametrize(
    ("errors", "message"),
    [((0.01, 0.0), r"forward\(inverse\(x\)\) != x"), ((0.0, 0.01), "inverse_log_det_jacobian")],
)
def test_contract_catches_a_wrong_bijector(errors, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_bijector(lambda dtype: _Broken(*errors), (3,))


class _Scale(_one_pass.OnePassBijector):
    """z = exp(a) * x, with one mistake."""

    def __init__(self, dtype, mistake):
        self._mistake = mistake
        variable = tf.Variable(tf.zeros([3], dtype), name="log_scale")
        self._get = (lambda: variable) if mistake == "hidden variable" else None
        self._log_scale = None if self._get else variable
        # A variable besides, so that there is one to train.
        self._shift = tf.Variable(tf.zeros([3], dtype), name="shift")
        super().__init__(
            forward_min_event_ndims=1,
            is_constant_jacobian=mistake == "not constant",
            dtype=dtype,
            parameters={"dtype": dtype, "mistake": mistake},
        )

    def _parts(self, x):
        log_scale = self._get() if self._get else tf.convert_to_tensor(self._log_scale)
        log_det = tf.reduce_sum(log_scale) + tf.zeros(tf.shape(x)[:-1], x.dtype)
        if self._mistake == "stopped log-determinant":
            log_det = tf.stop_gradient(log_det)
        return log_scale, log_det

    def _inverse_with_log_det(self, x):
        log_scale, log_det = self._parts(x)
        if self._mistake == "not constant":
            slope = tf.exp(log_scale) + tf.exp(self._shift) * 3 * x**2
            z = tf.exp(log_scale) * x + tf.exp(self._shift) * x**3
            return z, tf.reduce_sum(tf.math.log(slope), axis=-1)
        return tf.exp(log_scale) * x + self._shift, log_det

    def _forward_with_log_det(self, z):
        log_scale, log_det = self._parts(z)
        shift = tf.convert_to_tensor(self._shift)
        if self._mistake == "stopped forward":
            log_scale, shift = tf.stop_gradient(log_scale), tf.stop_gradient(shift)
        return (z - shift) * tf.exp(-log_scale), -log_det


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("stopped log-determinant", "gradient of inverse's log-determinant .* finite differences"),
        ("stopped forward", "gradient of forward's value .* finite differences"),
        ("hidden variable", "does not track: .'log_scale:0'"),
    ],
)
def test_contract_catches_gradients_that_lack_something(mistake, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_bijector(lambda dtype: _Scale(dtype, mistake), (3,))


def test_contract_catches_a_log_det_that_is_not_constant():
    bijector = _Scale(tf.float64, "not constant")
    with pytest.raises(AssertionError, match="log-determinant varies by"):
        testing.check_constant_jacobian(
            bijector, tf.constant([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]], tf.float64)
        )


class _NoConstantLogDet(bijectors.AffineCoupling):
    is_constant_log_det = True


class _NoConstantJacobian(bijectors.AdditiveCoupling):
    is_constant_jacobian = True


class _HalfAClaim(bijectors.Squeeze):
    is_constant_log_det = False


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        (_NoConstantLogDet, testing.check_constant_log_det, "is_constant_log_det, but the log-det.* varies"),
        (_NoConstantJacobian, testing.check_constant_jacobian, "constant_jacobian, but the Jacobian varies"),
        (_HalfAClaim, testing.check_constant_jacobian, "is_constant_jacobian, but not is_constant_log_det"),
    ],
)
def test_contract_catches_a_claim_of_constancy_that_is_false(kind, check, message):
    x = tf.constant(np.random.default_rng(0).uniform(size=[2, 2, 2, 4]))
    if kind is _HalfAClaim:
        bijector = kind()
    else:
        bijector = kind(4, functools.partial(CONV, dtype=x.dtype), dtype=x.dtype)
        testing.perturb(bijector)
    with pytest.raises(AssertionError, match=message):
        check(bijector, x)


class _TwoPasses(bijectors.AffineCoupling):
    def inverse_and_log_det(self, x, **conditions):
        return self.inverse(x, **conditions), self.inverse_log_det_jacobian(x, **conditions)


class _OtherLogDet(bijectors.AffineCoupling):
    def forward_and_log_det(self, z, **conditions):
        x, log_det = super().forward_and_log_det(z, **conditions)
        return x, -log_det


class _ScalarLogDet(bijectors.Squeeze):
    def inverse_and_log_det(self, x):
        return self.inverse(x), tf.zeros([], x.dtype)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (_TwoPasses, "inverse_and_log_det makes 6 products of tensors, inverse 3"),
        (_OtherLogDet, "forward_and_log_det differs from forward_log_det_jacobian"),
        (_ScalarLogDet, r"inverse_and_log_det gives log-determinants \(\), not \(3,\)"),
    ],
)
def test_contract_catches_what_is_not_one_pass(kind, message):
    x = tf.constant(np.random.default_rng(0).uniform(size=[3, 4, 4, 4]))
    if kind is _ScalarLogDet:
        bijector = kind()
    else:
        bijector = kind(4, functools.partial(CONV, dtype=x.dtype), dtype=x.dtype)
        testing.perturb(bijector)
    with pytest.raises(AssertionError, match=message):
        testing.check_one_pass(bijector, x)
