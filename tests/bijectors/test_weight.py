"""The matrix of a 1x1 convolution, read and set; the form of a coupling's scale, by both its names."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tests.bijectors.chains import CONV
from tfp_flows import bijectors


def _listed(module, folder):
    """The names of all that a checkpoint of `module` holds."""
    path = tf.train.Checkpoint(module=module).write(str(folder))
    return [name for name, _ in tf.train.list_variables(path)]


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, tf.constant, tf.Variable])
def test_a_weight_is_set_and_read(kind, tmp_path):
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=[5, 5])
    conv = bijectors.InvertibleConv1x1(5, dtype=tf.float64)
    listed = _listed(conv, tmp_path / "before")
    conv.weight = kind(matrix)
    assert _listed(conv, tmp_path / "after") == listed  # checkpoints stay what they are
    np.testing.assert_allclose(conv.weight, matrix, atol=1e-12)
    np.testing.assert_array_equal(conv.kernel(), conv.weight)
    x = rng.normal(size=[2, 3, 5])
    z, log_det = conv.inverse_and_log_det(x)
    np.testing.assert_allclose(z, x @ matrix.T, atol=1e-12)
    np.testing.assert_allclose(log_det, np.full([2, 3], np.linalg.slogdet(matrix)[1]), rtol=1e-12)
    np.testing.assert_allclose(conv.forward(tf.identity(z)), x, atol=1e-10)
    chain = bijectors.FusedChain([bijectors.ActNorm(5, dtype=tf.float64), conv])  # folded
    np.testing.assert_allclose(chain.inverse(x), x @ matrix.T, atol=1e-12)


def test_a_permutation_is_a_weight():
    conv = bijectors.InvertibleConv1x1(3)
    conv.weight = [[0, -1, 0], [0, 0, 2], [1, 0, 0]]
    np.testing.assert_array_equal(conv.inverse([[1.0, 2.0, 3.0]]), [[-2.0, 6.0, 1.0]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones([3, 3]), "conv1x1: `weight` must be invertible, but has rank 1"),
        (np.zeros([3, 3]), "rank 0"),
        (np.eye(2), r"`weight` must have shape \(3, 3\), got \(2, 2\)"),
        (np.eye(3)[0], r"`weight` must have shape \(3, 3\), got \(3,\)"),
        (np.diag([1.0, np.nan, 1.0]), "`weight` must be finite"),
    ],
)
def test_what_is_no_weight_changes_nothing(matrix, message):
    conv = bijectors.InvertibleConv1x1(3)
    before = conv.weight
    with pytest.raises(ValueError, match=message):
        conv.weight = matrix
    np.testing.assert_array_equal(conv.weight, before)


def test_a_weight_of_tensors_cannot_be_set():
    factors = tf.eye(2), tf.zeros([2]), tf.constant([0, 1]), tf.ones([2])
    conv = bijectors.InvertibleConv1x1(2, *factors)
    np.testing.assert_array_equal(conv.weight, np.eye(2))
    with pytest.raises(ValueError, match="`weight` can be set only where all parameters are variables"):
        conv.weight = np.eye(2)
    with pytest.raises(ValueError, match="not within a tf.function"):
        tf.function(lambda w: setattr(bijectors.InvertibleConv1x1(2), "weight", w) or w)(tf.eye(2))


@pytest.mark.parametrize("kind", [bijectors.AffineCoupling, bijectors.FactorOut])
def test_the_old_name_of_a_scales_form_works_and_warns(kind):
    with pytest.warns(DeprecationWarning, match="`scale` is now called `scale_form`") as warned:
        old = kind(4, CONV, scale="exp")
        assert old.scale == "exp"
    assert [warning.filename for warning in warned] == [__file__, __file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = kind(4, CONV, scale_form="exp")
        assert old.scale_form == new.scale_form == old.copy().scale_form == "exp"
        assert kind(4, CONV).scale_form == "tanh"
    with pytest.raises(ValueError, match="`scale_form` must be one of.*'softplus'"):
        kind(4, CONV, scale_form="softplus")
