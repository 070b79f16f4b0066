"""The checks of arguments: what passes, what is refused and in which words, eagerly and in a graph."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3)])
def test_a_count_comes_back_as_an_int(value):
    found = arguments.check_count(value, "steps", "me")
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None, [3], float("nan"), float("inf")])
def test_no_count(value):
    with pytest.raises(UserError, match="^me: `steps` must be a positive integer, got "):
        arguments.check_count(value, "steps", "me")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arguments.check_floating("int32", "me"), "me: `dtype` must be a floating type, got int32"),
        (lambda: arguments.check_floating("foo", "me"), "me: `dtype` must be a floating type, got 'foo'"),
        (
            lambda: arguments.check_dtype(tf.zeros([2]), tf.float64, "me"),
            "me: the input must have dtype=float64, got a tensor of float32",
        ),
        (lambda: arguments.check_channels(tf.zeros([2, 3]), 4, "me"), r"num_channels=4 .* \(2, 3\)"),
        (lambda: arguments.check_event(tf.zeros([2]), 3, "me"), r"must be images \[.*got shape \(2,\)"),
        (lambda: arguments.check_event(tf.zeros([2]), 4, "me"), r"must be of at least 4 axes, got"),
        (lambda: arguments.check_shape(np.zeros([2]), [3], "shift", "me"), r"`shift` .*\(3,\), got \(2,\)"),
        (lambda: arguments.check_one_of("c", ("a", "b"), "mode", "me"), r"`mode` .*\('a', 'b'\), got 'c'"),
        (lambda: arguments.check_one_of(["a"], ("a",), "mode", "me"), "`mode` must be one of"),
        (lambda: arguments.ensure_finite(tf.constant([1.0, np.nan]), "`x`", "me"), "me: `x` must be finite"),
        (lambda: arguments.holds(tf.constant(False), "no"), "^no$"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(UserError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_what_passes():
    assert arguments.check_floating(np.float64, "me") == tf.float64
    assert arguments.check_one_of("a", ("a", "b"), "mode", "me") == "a"
    arguments.check_dtype([1.0], tf.float64, "me")  # no tensor: it will be converted
    arguments.check_event(tf.zeros([2, 4, 4, 1]), 3, "me")
    arguments.check_shape([[1, 2]], [1, 2], "shift", "me")
    x = tf.constant([1, 2])
    assert arguments.ensure_finite(x, "`x`", "me") is x
    assert arguments.holds(tf.constant(True), "no") is None


def test_in_a_graph_the_assertion_runs_with_it():
    finite = tf.function(lambda x: 2.0 * arguments.ensure_finite(x, "`x`", "me"))
    np.testing.assert_array_equal(finite(tf.constant([1.0])), [2.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="me: `x` must be finite"):
        finite(tf.constant([np.inf]))

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def of_unknown_rank(x):
        arguments.check_event(x, 1, "me")

    with pytest.raises(UserError, match="me: the input must have a known rank"):
        of_unknown_rank(tf.zeros([2]))
