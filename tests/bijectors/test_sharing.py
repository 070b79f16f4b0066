"""Steps that are alike, traced once: as many operations for many steps as for few, and the same numbers."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors, networks, testing

tfb = tfp.bijectors

IMAGES = tf.constant(np.random.default_rng(0).normal(size=[3, 4, 4, 1]))
SETTINGS = {
    "affine": {},
    "additive": dict(coupling="additive"),
    "exp, shift first": dict(scale_form="exp", shift_first=True),
    "highway": dict(network="highway"),
    "attention": dict(network="attention"),
    "transformer": dict(network="transformer"),
    "spline": dict(coupling="spline", num_bins=3),
    "mixture": dict(coupling="mixture", num_components=2),
    "checkerboard": dict(checkerboard_steps=8),
    "condition": dict(condition_channels=2),
}


def _glow(steps=4, levels=1, **settings):
    glow = bijectors.Glow(
        (4, 4, 1), levels=levels, steps_per_level=steps, hidden_channels=4, dtype=tf.float64, **settings
    )
    testing.perturb(glow, scale=0.1)
    return glow


def _compiled(function, shared, **kwargs):
    def traced(*args):
        if not shared:
            return function(*args)
        with bijectors.steps_traced_once():
            return function(*args)

    return tf.function(traced, autograph=False, **kwargs)


def _num_ops(function, *args, kind="Conv2D"):
    """How many operations of a kind were traced, those of each function once."""
    graph = function.get_concrete_function(*args).graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    return sum(node.op == kind for node in nodes)


def _loss(bijector, x, inverse=True, **kwargs):
    function = bijector.inverse_and_log_det if inverse else bijector.forward_and_log_det
    value, log_det = function(x, **kwargs)
    return tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det * tf.range(1.0, 4.0, dtype=x.dtype))


def _loss_and_gradients(bijector, x, inverse=True, **kwargs):
    sources = [x, *bijector.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = _loss(bijector, x, inverse, **kwargs)
    return [loss, *tape.gradient(loss, sources, unconnected_gradients="zero")]


def _assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11 * scale)


@pytest.mark.parametrize("name", SETTINGS)
def test_values_and_gradients_are_those_of_steps_traced_one_by_one(name):
    glow = _glow(**SETTINGS[name])
    given = {}
    if glow.condition_channels:
        given["condition"] = tf.constant(np.random.default_rng(1).normal(size=[3, 4, 4, 2]))
    found, expected = (
        _compiled(functools.partial(_loss_and_gradients, glow, **given), shared) for shared in (True, False)
    )
    kind = "MatMul" if name == "transformer" else "Conv2D"
    assert _num_ops(found, IMAGES, kind=kind) < 0.6 * _num_ops(expected, IMAGES, kind=kind)
    _assert_same(found(IMAGES), expected(IMAGES))


def test_latent_to_image_too():
    glow = _glow()
    function = functools.partial(_loss_and_gradients, glow, inverse=False)
    found, expected = (_compiled(function, shared) for shared in (True, False))
    assert _num_ops(found, IMAGES) < 0.6 * _num_ops(expected, IMAGES)
    _assert_same(found(IMAGES), expected(IMAGES))


def test_a_reversible_chain_has_the_same_gradients():
    glow = _glow(3, reversible=True)
    function = functools.partial(_loss_and_gradients, glow)
    found, expected = (_compiled(function, shared) for shared in (True, False))
    assert _num_ops(found, IMAGES) < _num_ops(expected, IMAGES)
    _assert_same(found(IMAGES), expected(IMAGES))


def test_many_steps_have_as_many_operations_as_few():
    def traced(steps):
        glow = _glow(steps, levels=2)
        return _num_ops(_compiled(functools.partial(_loss_and_gradients, glow), True), IMAGES)

    assert traced(3) == traced(5)


def test_nothing_is_shared_outside_nor_in_eager_mode():
    glow = _glow(levels=2)
    unshared = _compiled(glow.inverse, False)
    assert _num_ops(unshared, IMAGES) == 2 * 2 * 4 + 1  # of the steps' networks, and the factor-out's
    expected = glow.inverse(tf.identity(IMAGES))
    with bijectors.steps_traced_once():
        found = glow.inverse(tf.identity(IMAGES))
    np.testing.assert_array_equal(found, expected)


def test_variables_are_read_at_each_call():
    glow = _glow()
    function = _compiled(functools.partial(_loss, glow), True)
    before = function(IMAGES)
    testing.perturb(glow, scale=0.3)
    after = function(IMAGES)
    assert abs(after - before) > 1e-3
    np.testing.assert_allclose(after, _loss(glow, tf.identity(IMAGES)), rtol=1e-11)


def _second(glow, x, direction):
    """H v by reverse over reverse, and by forward over reverse."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = _loss(glow, x)
        along = tf.reduce_sum(inner.gradient(loss, x) * direction)
    with tf.autodiff.ForwardAccumulator(x, direction) as forward:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = _loss(glow, x)
        gradient = tape.gradient(loss, x)
    return outer.gradient(along, x), forward.jvp(gradient)


def test_second_derivatives_and_forward_mode():
    glow = _glow(3)
    direction = tf.constant(np.random.default_rng(2).normal(size=IMAGES.shape))
    function = functools.partial(_second, glow)
    found, expected = (_compiled(function, shared)(IMAGES, direction) for shared in (True, False))
    _assert_same(found, expected)
    _assert_same([found[1]], [found[0]])


def test_jacobian_of_the_gradient():
    glow = _glow(3)

    def hessian(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = _loss(glow, x)
            gradient = inner.gradient(loss, x)
        return outer.batch_jacobian(gradient, x)

    found, expected = (_compiled(hessian, shared)(IMAGES) for shared in (True, False))
    _assert_same([found], [expected])


def test_under_xla():
    glow = _glow(3)
    function = functools.partial(_loss_and_gradients, glow)
    found = _compiled(function, True, jit_compile=True)(IMAGES)
    _assert_same(found, _compiled(function, False)(IMAGES))


class _Scaled(tf.Module):
    """A stranger's network: the factor is a part of the code, not a weight."""

    def __init__(self, in_channels, out_channels, factor):
        super().__init__()
        self._inner = networks.ConvLayer(in_channels, out_channels, dtype=tf.float64)
        self._factor = factor

    def __call__(self, x):
        return self._factor * self._inner(x)


class _Doubled(networks.ConvNetwork):
    """Another class of ours' kind."""

    def __call__(self, x, condition=None):
        return 2.0 * super().__call__(x, condition)


class _Shifted(bijectors.AffineCoupling):
    """Its own map, with an attribute that nobody else knows."""

    shift = 0.0

    def _transform(self, x_a, terms):
        value, log_scale = super()._transform(x_a, terms)
        return value + self.shift, log_scale


def _chain(members):
    chain = bijectors.FusedChain(members)
    testing.perturb(chain, scale=0.1)
    return chain


def _stranger(kind, number):
    conv = functools.partial(networks.ConvNetwork, hidden_channels=3, dtype=tf.float64)
    kwargs = dict(dtype=tf.float64, name=f"coupling{number}")
    if kind == "network":
        return bijectors.AffineCoupling(4, functools.partial(_Scaled, factor=number), **kwargs)
    if kind == "subclass of a network":
        factory = functools.partial(_Doubled if number % 2 else networks.ConvNetwork, hidden_channels=3)
        return bijectors.AffineCoupling(4, functools.partial(factory, dtype=tf.float64), **kwargs)
    if kind == "subclass of a coupling":
        made = _Shifted(4, conv, **kwargs)
        made.shift = float(number)
        return made
    if kind == "settings":
        form = ("tanh", "exp")[number % 2]
        limit = float(number // 4)
        return bijectors.AffineCoupling(
            4, conv, scale_form=form, swap=number % 4 > 1, input_limit=limit, **kwargs
        )
    transform = bijectors.Transform(1, lambda raw: tfb.Shift(number * raw[..., 0]))
    return bijectors.Coupling(4, conv, transform, **kwargs)


@pytest.mark.parametrize(
    "kind",
    ["network", "subclass of a network", "subclass of a coupling", "settings", "transform"],
)
def test_steps_that_only_look_alike_are_not_shared(kind):
    chain = _chain([bijectors.Squeeze(), *(_stranger(kind, number) for number in range(8))])
    function = functools.partial(_loss_and_gradients, chain)
    found, expected = (_compiled(function, shared)(IMAGES) for shared in (True, False))
    _assert_same(found, expected)


def test_a_condition_that_is_no_tensor_is_passed_on():
    def factory(in_channels, out_channels):
        network = networks.ConvLayer(in_channels, out_channels, dtype=tf.float64)
        return lambda x, factor=1.0: factor * network(x)

    chain = _chain(
        [bijectors.Squeeze()]
        + [bijectors.AdditiveCoupling(4, factory, dtype=tf.float64, name=f"c{n}") for n in range(4)]
    )
    conditions = {f"c{n}": {"factor": float(n)} for n in range(4)}
    found, expected = (
        _compiled(functools.partial(_loss, chain, **conditions), shared)(IMAGES) for shared in (True, False)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
