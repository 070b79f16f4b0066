"""A reversible chain: the ordinary mode's gradients, without its memory."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tfp_flows import bijectors, networks, testing

tfb = tfp.bijectors
tfd = tfp.distributions

SMALL = tfp_flows.GlowConfig(levels=3, steps_per_level=1, hidden_channels=5, dtype="float64")
CONFIGS = {
    "sigmoid": SMALL,
    "exp": dataclasses.replace(SMALL, scale="exp", factor_out="shift"),
    "tanh": dataclasses.replace(SMALL, scale="tanh"),
    "no factor-out network": dataclasses.replace(SMALL, factor_out="none"),
    "additive": dataclasses.replace(SMALL, coupling="additive"),
    "highway": dataclasses.replace(SMALL, levels=1, network="highway"),
}
IMAGES = tf.constant(np.random.default_rng(0).uniform(size=[3, 8, 8, 1]))


def _both(chain):
    """The chain in ordinary mode, and the same members in reversible mode."""
    testing.perturb(chain, scale=0.05)
    return [bijectors.FusedChain(chain.bijectors, reversible=mode) for mode in (False, True)]


def _loss(chain, direction, x, **kwargs):
    x = tf.identity(x)
    if direction == "inverse":
        value, log_det = chain.inverse(x, **kwargs), chain.inverse_log_det_jacobian(x, **kwargs)
    else:
        value, log_det = chain.forward(x, **kwargs), chain.forward_log_det_jacobian(x, **kwargs)
    return tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det * tf.range(1.0, 4.0, dtype=x.dtype))


def _gradients(loss, sources):
    with tf.GradientTape() as tape:
        tape.watch(sources)
        value = loss()
    return tape.gradient(value, sources)


def _assert_same(found, expected):
    assert [g is None for g in found] == [g is None for g in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if theirs is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())


@pytest.mark.parametrize("direction", ["inverse", "forward"])
@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_ordinary_mode(name, direction):
    ordinary, reversible = _both(tfp_flows.glow(CONFIGS[name], (8, 8, 1)).bijector)
    assert reversible.reversible and not ordinary.reversible
    sources = [IMAGES, *ordinary.trainable_variables]
    expected = _gradients(lambda: _loss(ordinary, direction, IMAGES), sources)
    assert all(np.abs(g).max() > 0 for g in expected if g is not None)
    _assert_same(_gradients(lambda: _loss(reversible, direction, IMAGES), sources), expected)
    in_graph = tf.function(lambda: _gradients(lambda: _loss(reversible, direction, IMAGES), sources))
    _assert_same(in_graph(), expected)
    graph_within = tf.function(lambda x: _loss(reversible, direction, x))
    _assert_same(_gradients(lambda: graph_within(IMAGES), sources), expected)


def test_second_derivatives_are_those_of_the_ordinary_mode():
    chains = _both(tfp_flows.glow(dataclasses.replace(SMALL, levels=2), (8, 8, 1)).bijector)
    sources = [IMAGES, *chains[0].trainable_variables]

    @tf.function
    def second(chain):
        def weighted_gradient():
            (gradient,) = _gradients(lambda: _loss(chain, "inverse", IMAGES), [IMAGES])
            return tf.reduce_sum(gradient * tf.cos(9.0 * IMAGES))

        return _gradients(weighted_gradient, sources)

    expected, found = (second(chain) for chain in chains)
    assert sum(g is not None for g in expected) > len(expected) / 2
    _assert_same(found, expected)


def test_gradients_reach_conditions_and_tensors_that_are_parameters():
    network = functools.partial(
        networks.ConvNetwork, hidden_channels=4, condition_channels=2, dtype=tf.float64
    )
    rng = np.random.default_rng(1)
    condition = tf.constant(rng.normal(size=[3, 2]))
    log_scale = tf.constant(rng.normal(size=[4]))
    factor = tf.constant(1.5, tf.float64)
    coupling = bijectors.AffineCoupling(4, network, dtype=tf.float64, name="conditional")
    rest = bijectors.AffineCoupling(4, network, dtype=tf.float64, swap=True, name="rest")
    chains = _both(
        bijectors.FusedChain(
            [
                bijectors.ActNorm(4, log_scale=log_scale, dtype=tf.float64),
                coupling,
                tfb.Invert(tfb.Scale(factor)),
                tfb.Invert(bijectors.FusedChain([rest], name="nested")),
            ]
        )
    )
    chains = [bijectors.FusedChain([c], reversible=c.reversible, name="outer") for c in chains]
    x = tf.constant(rng.uniform(size=[3, 2, 2, 4]))
    kwargs = {"fused_chain": {"conditional": {"condition": condition}}}
    kwargs["fused_chain"]["invert_nested"] = {"rest": {"condition": condition}}
    sources = [x, condition, log_scale, factor, *chains[0].trainable_variables]
    expected, found = (_gradients(lambda c=c: _loss(c, "inverse", x, **kwargs), sources) for c in chains)
    assert not any(g is None for g in expected)
    _assert_same(found, expected)
    in_graph = tf.function(lambda: _gradients(lambda: _loss(chains[1], "inverse", x, **kwargs), sources))
    _assert_same(in_graph(), expected)


class _OneWay(tfb.Bijector):
    def __init__(self):
        super().__init__(forward_min_event_ndims=0, parameters={}, name="one_way")

    def _inverse(self, y):
        return 2.0 * y

    def _inverse_log_det_jacobian(self, y):
        return tf.math.log(2.0 * tf.ones_like(y))


def test_a_member_without_a_forward_is_refused_in_one_line():
    chain = bijectors.FusedChain([bijectors.ActNorm(2), _OneWay()], reversible=True)
    x = tf.ones([3, 2])
    np.testing.assert_array_equal(chain.inverse(x), 2 * x)  # without a gradient nothing is undone
    with pytest.raises(ValueError, match="both directions of every member, but one_way lacks") as error:
        _gradients(lambda: chain.inverse(tf.identity(x)), [x])
    assert "\n" not in str(error.value)


def _training_graph(reversible, steps_per_level):
    """(operations of the forward part, of the backward part) of a traced gradient."""
    config = tfp_flows.GlowConfig(
        levels=2, steps_per_level=steps_per_level, hidden_channels=8, reversible=reversible
    )
    flow = tfp_flows.glow(config, (8, 8, 1))
    testing.perturb(flow)
    parts = []

    @tf.function(input_signature=[tf.TensorSpec([4, 8, 8, 1])])
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.log_prob(x))
        parts.append(len(tf.compat.v1.get_default_graph().get_operations()))
        return tape.gradient(loss, flow.trainable_variables)

    operations = gradients.get_concrete_function().graph.get_operations()
    return operations[: parts[0]], operations[parts[0] :]


def _bytes_across(forward, backward):
    """Bytes of the tensors that the backward part takes from the forward part, variables aside."""
    names = {op.name for op in forward if op.type not in ("Placeholder", "Const")}
    taken = {t.ref(): t for op in backward for t in op.inputs if t.op.name in names}
    return sum(t.shape.num_elements() * t.dtype.size for t in (r.deref() for r in taken))


def test_what_is_kept_for_the_gradient_does_not_grow_with_the_number_of_steps():
    ordinary = [_bytes_across(*_training_graph(False, n)) for n in (2, 4)]
    reversible = [_bytes_across(*_training_graph(True, n)) for n in (2, 4, 8)]
    assert ordinary[1] > 1.8 * ordinary[0]
    assert len(set(reversible)) == 1 and reversible[0] < ordinary[0] / 5


def _count(operations, kind):
    return sum(op.type == kind for op in operations)


def test_a_network_is_evaluated_once_in_each_part():
    forward, backward = _training_graph(True, 3)
    _, ordinary = _training_graph(False, 3)
    convolutions = 2 * 2 * 3 + 1  # in each network of 2 levels of 3 steps, and the factor-out
    assert _count(forward, "Conv2D") == _count(backward, "Conv2D") == convolutions
    assert _count(ordinary, "Conv2D") == 0
    for kind in ("Conv2DBackpropInput", "Conv2DBackpropFilter"):
        assert _count(backward, kind) == _count(ordinary, kind)


def test_a_network_is_evaluated_again_only_after_the_gradients_of_those_behind_it():
    _, backward = _training_graph(True, 3)
    waits_for, made = {}, set()  # operation -> convolutions' gradients among its ancestors; all so far
    for op in backward:  # in the order of their making
        parents = [*(t.op.name for t in op.inputs), *(c.name for c in op.control_inputs)]
        waits_for[op.name] = set().union(*(waits_for.get(name, set()) for name in parents))
        if op.type == "Conv2D":
            assert waits_for[op.name] == made
        if op.type.startswith("Conv2DBackprop"):
            waits_for[op.name].add(op.name)
            made.add(op.name)
    assert len(made) == 2 * (2 * 2 * 3 + 1)


@pytest.mark.parametrize(("dtype", "grey_levels"), [("float32", 0.05), ("float64", 1e-6)])
def test_round_trip_of_32_steps(dtype, grey_levels):
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=32, hidden_channels=8, dtype=dtype)
    flow = tfp_flows.glow(config, (8, 8, 1))
    testing.perturb(flow, scale=0.02)
    x = np.random.default_rng(0).uniform(size=[16, 8, 8, 1]).astype(dtype)
    bijectors.initialize_actnorms(flow.bijector, tf.constant(x))
    z = flow.bijector.inverse(x)
    assert abs(z - x).numpy().max() > 0.5
    assert abs(flow.bijector.forward(tf.identity(z)) - x).numpy().max() * 256 < grey_levels


@pytest.mark.parametrize(("scale", "inverts"), [("sigmoid", False), ("exp", False), ("tanh", True)])
def test_far_from_the_data_a_tanh_scale_inverts(scale, inverts):
    """Weights that make raw large on noise of 30 times the range of images, as training does on noise."""
    config = tfp_flows.GlowConfig(
        levels=2, steps_per_level=2, hidden_channels=8, dtype="float64", scale=scale
    )
    flow = tfp_flows.glow(config, (8, 8, 1))
    testing.perturb(flow, scale=0.3)
    x = np.random.default_rng(0).uniform(-15, 15, size=[16, 8, 8, 1])
    z = flow.bijector.inverse(x)
    error = abs(flow.bijector.forward(tf.identity(z)) - x).numpy().max()
    assert (error < 1e-6) == inverts
