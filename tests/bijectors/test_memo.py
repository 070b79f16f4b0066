"""What a bijector remembers of a value that it returned, and when it does not."""

import concurrent.futures
import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors import chains
from tfp_flows import bijectors, testing

tfb = tfp.bijectors
tfd = tfp.distributions

X = tf.random.stateless_uniform([3, 2, 2, 4], (0, 1))


class Network(tf.Module):
    """Counts its calls; a condition is added to what it returns."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.kernel = tf.Variable(0.1 * tf.ones([in_channels, out_channels]))
        self.count = 0

    def __call__(self, x, condition=0.0):
        self.count += 1
        return tf.einsum("nhwi,io->nhwo", x, self.kernel) + tf.reshape(
            tf.cast(condition, x.dtype), [-1, 1, 1, 1]
        )


@pytest.fixture
def coupling():
    return bijectors.AffineCoupling(4, Network)


def _calls(coupling):
    count, coupling.network.count = coupling.network.count, 0
    return count


def test_what_was_returned_is_undone_without_new_work(coupling):
    z = coupling.inverse(X)
    log_det = coupling.inverse_log_det_jacobian(tf.identity(X))
    _calls(coupling)
    assert coupling.forward(z) is X
    np.testing.assert_array_equal(coupling.forward_log_det_jacobian(z), -log_det)
    np.testing.assert_array_equal(coupling.forward_and_log_det(z)[1], -log_det)
    x = coupling.forward(tf.identity(z))
    assert _calls(coupling) == 1
    assert coupling.inverse(x) is not z
    np.testing.assert_array_equal(coupling.inverse_log_det_jacobian(x), log_det)
    assert _calls(coupling) == 0


@pytest.mark.parametrize(
    "wrap", [lambda b: b, tfb.Invert, lambda b: bijectors.FusedChain([b])], ids=["own", "inverted", "fused"]
)
@pytest.mark.parametrize("in_graph", [False, True])
def test_sample_and_its_log_prob_call_a_network_once(coupling, wrap, in_graph):
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 4]), wrap(coupling))

    def sample_and_log_prob():
        x = flow.sample(3, seed=1)
        return x, flow.log_prob(x)

    x, log_prob = (tf.function(sample_and_log_prob) if in_graph else sample_and_log_prob)()
    assert _calls(coupling) == 1
    np.testing.assert_allclose(log_prob, flow.log_prob(tf.identity(x)), rtol=1e-5)


def test_a_second_call_computes_anew(coupling):
    z, log_det = coupling.inverse(X), coupling.inverse_log_det_jacobian(X)
    coupling.network.kernel.assign_add(tf.ones([2, 4]))
    assert np.abs(coupling.inverse(X) - z).max() > 0.1
    assert np.abs(coupling.inverse_log_det_jacobian(X) - log_det).max() > 0.1
    x = coupling.forward(z + 0.0)
    coupling.inverse(x)  # hands back what x was made of, whose log-determinant is then told once
    coupling.forward_log_det_jacobian(z)
    coupling.network.kernel.assign_sub(tf.ones([2, 4]))
    np.testing.assert_allclose(coupling.forward_log_det_jacobian(z), -log_det, rtol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(coupling.inverse(X))
    assert tape.gradient(loss, coupling.network.kernel) is not None


def test_another_bijector_or_direction_computes_anew(coupling):
    z = coupling.inverse(X)
    _calls(coupling)
    coupling.inverse(z)
    coupling.copy().forward(z)
    assert _calls(coupling) == 2
    other = bijectors.AffineCoupling(4, Network)
    other.network.kernel.assign_add(tf.ones([2, 4]))
    assert np.abs(other.forward(z) - X).max() > 0.1


@pytest.mark.parametrize("kind", [tf.constant, np.array])
def test_other_conditions_compute_anew(coupling, kind):
    condition = kind([[1.0], [2.0], [3.0]])
    z = coupling.inverse(X, condition=condition)
    assert coupling.forward(z, condition=condition) is X
    assert np.abs(coupling.forward(z, condition=kind([[3.0], [2.0], [1.0]])) - X).max() > 0.1
    assert np.abs(coupling.forward(z) - X).max() > 0.1
    if kind is np.array:
        assert coupling.forward(z, condition=condition.copy()) is X
        condition[0] = 5.0
        assert np.abs(coupling.forward(z, condition=condition) - X).max() > 0.1


def test_nothing_passes_from_one_graph_to_another(coupling):
    z = coupling.inverse(X)  # outside of any graph
    kernel = coupling.network.kernel
    in_graph = tf.function(lambda: coupling.forward(z))
    np.testing.assert_allclose(in_graph(), X, atol=1e-6)
    kernel.assign_add(tf.ones([2, 4]))
    assert np.abs(in_graph() - X).max() > 0.1  # a constant would not have changed
    kernel.assign_sub(tf.ones([2, 4]))

    @tf.function
    def nested(x):
        z = coupling.inverse(x)
        inner = tf.function(lambda: coupling.forward(z))()
        turned = tf.while_loop(lambda i, _: i < 3, lambda i, _: (i + 1, coupling.forward(z)), (0, x))[1]
        chosen = tf.cond(x[0, 0, 0, 0] < 9.0, lambda: coupling.forward(z), lambda: x)
        return inner, turned, chosen, coupling.forward(z)

    _calls(coupling)
    for found in nested(X):
        np.testing.assert_allclose(found, X, atol=1e-6)
    assert _calls(coupling) == 4  # inverse, and once in each of the graphs within

    left = []
    tf.function(lambda x: left.append(coupling.inverse(x)))(X)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        coupling.forward(left[0])  # a tensor of a graph that is no longer there is no value
    assert tf.function(lambda x: coupling.forward(coupling.inverse(x)))(X).shape == X.shape


def test_nothing_is_kept_alive(coupling):
    x = tf.identity(X)
    z = coupling.inverse(x)
    kept = [weakref.ref(x), weakref.ref(z)]
    del x
    assert kept[0]() is not None  # z keeps what it came from
    assert coupling.forward(z) is kept[0]()
    assert coupling.inverse(coupling.forward(tf.identity(z))) is not None
    del z
    assert [ref() for ref in kept] == [None, None]

    function = tf.function(lambda x: coupling.forward(coupling.inverse(x)) + coupling.forward(x))
    graph = weakref.ref(function.get_concrete_function(tf.TensorSpec(X.shape)).graph)
    del function
    gc.collect()
    assert graph() is None


def test_threads_share_a_bijector():
    chain = chains.chain(tf.float64)
    testing.perturb(chain)
    inputs = [tf.constant(np.random.default_rng(i).uniform(size=[2, 4, 4, 2])) for i in range(16)]
    expected = [chain.inverse_and_log_det(tf.identity(x)) for x in inputs]

    def work(index):
        for _ in range(5):
            z = chain.inverse(inputs[index])
            yield z, -chain.forward_log_det_jacobian(z), chain.forward(z) is inputs[index]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for found, (z, log_det) in zip(pool.map(lambda i: list(work(i)), range(16)), expected, strict=True):
            for own_z, own_log_det, undone in found:
                np.testing.assert_allclose(own_z, z, rtol=1e-12)
                np.testing.assert_allclose(own_log_det, log_det, rtol=1e-12)
                assert undone


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_a_deep_copy_has_weights_of_its_own(coupling, duplicate):
    chain = bijectors.FusedChain([bijectors.ActNorm(4), bijectors.InvertibleConv1x1(4, seed=2), coupling])
    testing.perturb(chain)
    z = chain.inverse(X)
    other = duplicate(chain)
    np.testing.assert_array_equal(other.inverse(X), z)
    assert not {id(v) for v in other.variables} & {id(v) for v in chain.variables}
    testing.perturb(other, seed=5)
    assert np.abs(other.inverse(X) - z).max() > 1e-2
    np.testing.assert_array_equal(other.copy().inverse(X), other.inverse(X))
    np.testing.assert_array_equal(chain.inverse(X), z)
