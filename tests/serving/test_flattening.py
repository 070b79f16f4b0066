"""Graphs made flat: the same values, of operations that ONNX and TensorFlow Lite have likes of."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows.numerics import noise
from tfp_flows.serving import flattening

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)


def _concrete(function, spec=None):
    spec = spec or tf.TensorSpec([None, 3], tf.float32, "x")
    named = tf.function(lambda x: {"y": function(x)}, input_signature=[spec], autograph=False)
    return named.get_concrete_function()


def _run(flat, x):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(flat.graph_def, name="")
        return session.run(flat.outputs, {flat.inputs["x"]: x})["y"]


def _kinds(flat):
    assert not flat.graph_def.library.function
    return {node.op for node in flat.graph_def.node}


def _loop(x):
    return tf.while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, tf.sin(y) + tf.cast(i, x.dtype)), (0, x))[
        1
    ]


def _map(x):
    return tf.map_fn(lambda u: x * u, tf.constant([1.0, 2.0, 5.0]), fn_output_signature=tf.float32)


def _branch(x):
    return tf.cond(tf.constant(3) > 2, lambda: x + 1.0, lambda: x - 1.0)


def _call(x):
    return tf.function(lambda u: tf.function(tf.exp)(u) * u)(x)


def _noise(x):
    return x + noise.normal([3], 7)


KERNEL = tf.Variable([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])


def _variable(x):
    return x @ tf.linalg.matmul(KERNEL, tf.transpose(KERNEL))[:, :2]


FUNCTIONS = {
    "loop": (_loop, {"While", "StatelessWhile"}),
    "map_fn": (_map, {"While", "StatelessWhile", "TensorListStack", "TensorListReserve"}),
    "branch": (_branch, {"If", "StatelessIf", "Sub"}),
    "calls": (_call, {"PartitionedCall", "StatefulPartitionedCall"}),
    "noise": (_noise, {"StatelessRandomUniformFullIntV2", "Bitcast", "Log"}),
    "weights": (_variable, {"Transpose", "StridedSlice", "ReadVariableOp"}),
    "left bound": (
        lambda x: tf.transpose(tf.searchsorted([[-1.0, 0.0, 0.0, 2.0]] * 3, tf.transpose(x))),
        {"LowerBound"},
    ),
    "right bound": (lambda x: tf.searchsorted([-1.0, 0.0, 0.0, 2.0], x[:, 0], "right"), {"UpperBound"}),
    "shapes": (
        lambda x: tf.broadcast_to(x[:, :1], tf.broadcast_dynamic_shape(tf.shape(x), [3])),
        {"BroadcastArgs"},
    ),
    "check": (lambda x: tf.debugging.check_numerics(x, "x") * 2.0, {"CheckNumerics"}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_values_stay_and_the_operations_are_gone(name):
    function, gone = FUNCTIONS[name]
    flat = flattening.flatten(_concrete(function))
    assert not gone & _kinds(flat)
    np.testing.assert_allclose(_run(flat, X), function(tf.constant(X)), rtol=1e-6, atol=1e-6)
    assert len(_run(flat, X[:1])) in (1, 3)  # any number of rows, of which map_fn makes three


@pytest.mark.parametrize("name, gone", [("expm1", "Expm1"), ("log1p", "Log1p")])
def test_small_numbers_keep_their_digits(name, gone):
    exponents = np.linspace(-30, 4.4, 300)
    values = 10.0**exponents * (np.arange(300) % 2 * 2 - 1)
    values = values[values > -0.9999] if name == "log1p" else np.clip(values, -80, 80)
    values = np.append(values, 0.0).astype(np.float32)
    spec = tf.TensorSpec([None], tf.float32, "x")
    flat = flattening.flatten(_concrete(getattr(tf.math, name), spec))
    assert gone not in _kinds(flat)
    expected = getattr(np, name)(values.astype(np.float64))
    np.testing.assert_allclose(_run(flat, values), expected, rtol=5e-6)
    special = np.array([np.inf, -np.inf if name == "expm1" else -1.0, np.nan], np.float32)
    expected = [np.inf, -1.0, np.nan] if name == "expm1" else [np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(_run(flat, special), expected)


def test_what_is_narrow_has_no_float64_but_constants_are_computed_in_it():
    def function(x):
        offset = tf.constant(1e8, tf.float64) + tf.constant(0.25, tf.float64) - tf.constant(1e8, tf.float64)
        return tf.cast(tf.cast(x, tf.float64) * 2.0 + offset, tf.float32)

    flat = flattening.flatten(_concrete(function), narrow=True)
    types = {value.type for node in flat.graph_def.node for value in node.attr.values()}
    assert tf.float64.as_datatype_enum not in types
    np.testing.assert_array_equal(_run(flat, X), X * 2 + np.float32(0.25))


def test_a_loop_whose_length_depends_on_the_input_is_refused(monkeypatch):
    def function(x):
        return tf.while_loop(lambda i: i < tf.shape(x)[0], lambda i: i + 1, [0])[0]

    with pytest.raises(flattening.FlatteningError, match="While .* depends on the images"):
        flattening.flatten(_concrete(function))
    monkeypatch.setattr(flattening, "MOST_TURNS", 4)  # five are too many
    with pytest.raises(flattening.FlatteningError, match="more than 4 turns"):
        flattening.flatten(_concrete(_loop))
