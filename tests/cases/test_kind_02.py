"""Kind 2: a condition belongs to its image, or is refused."""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import tfp_flows
from tfp_flows import bijectors, networks, testing
from tfp_flows.checks.errors import UserError

RNG = np.random.default_rng(0)


def _built(bijector):
    testing.perturb(bijector, scale=0.3)
    return bijector


def _coupling(size, kind=bijectors.AffineCoupling, dtype=tf.float64, **kwargs):
    network = functools.partial(
        networks.ConvNetwork, hidden_channels=4, condition_channels=size, dtype=dtype
    )
    return _built(kind(4, network, dtype=dtype, **kwargs))


KINDS = (bijectors.AffineCoupling, bijectors.AdditiveCoupling, bijectors.FactorOut)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("batch", "shape"),
    [
        ([10], [10]),
        ([10], [1, 10]),
        ([3], [3, 3]),
        ([2, 6], [6, 3]),
        ([2, 6], [2, 1, 3]),
        ([2, 6], [6, 2, 2, 3]),
        ([6, 2], [2, 2, 2, 3]),
        ([2, 2], [2, 2, 3]),  # the very batch: a vector for each
        ([3], [2, 2, 3]),  # a map for all
        ([3], [3, 1, 1, 3]),  # of one position, which is that of all
        ([], [3]),
        ([], [2, 2, 3]),
    ],
)
def test_case_06_image_by_image(kind, batch, shape):
    """Each image has the value that it has alone with its condition, by broadcasting from the right."""
    bijector = _coupling(shape[-1], kind)
    x, condition = RNG.normal(size=[*batch, 2, 2, 4]), RNG.normal(size=shape)
    is_map = len(shape) - 1 > len(batch) or shape[-3:-1] == [2, 2] and shape[:-1] != batch
    own = [2, 2, shape[-1]] if is_map else shape[-1:]
    each = np.broadcast_to(condition, [*batch, *own])
    for direction in ("inverse_and_log_det", "forward_and_log_det"):
        found = getattr(bijector, direction)(x, condition=condition)
        for index in np.ndindex(*batch):
            alone = getattr(bijector, direction)(x[index][None], condition=each[index][None])
            for value, expected in zip(found, alone, strict=True):
                np.testing.assert_allclose(value[index], expected[0], atol=1e-12)


def test_case_06_a_vector_network_with_as_many_vectors_as_channels():
    network = functools.partial(networks.DenseNetwork, hidden_channels=4, condition_channels=3)
    coupling = _built(bijectors.AffineCoupling(4, network, event_ndims=1))
    x, condition = tf.random.stateless_normal([3, 4], (0, 1)), tf.constant([1.0, -2.0, 3.0])
    expected = coupling.inverse(x, condition=tf.stack([condition] * 3))
    np.testing.assert_allclose(coupling.inverse(x, condition=condition), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [[6, 3], [6, 2, 2, 3]])
@pytest.mark.parametrize("chain", [bijectors.FusedChain, tfb.Chain])
def test_case_06_samples_for_each_condition(chain, shape):
    coupling = _coupling(3, dtype=tf.float32, name="conditional")
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 4]), chain([coupling]))
    condition = RNG.normal(size=shape)
    kwargs = {"conditional": {"condition": condition}}
    x = flow.sample([2, 6], seed=(0, 1), bijector_kwargs=kwargs)
    z = coupling.inverse(tf.identity(x), condition=np.stack([condition] * 2))
    np.testing.assert_allclose(
        flow.log_prob(tf.identity(x), bijector_kwargs=kwargs),
        flow.distribution.log_prob(z)
        + coupling.inverse_log_det_jacobian(tf.identity(x), condition=np.stack([condition] * 2)),
        rtol=1e-5,
    )
    np.testing.assert_allclose(z, flow.distribution.sample([2, 6], seed=(0, 1)), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("batch", "shape"),
    [
        ([10], [10, 10, 3]),
        ([10], [5, 3]),
        ([10], [10]),
        ([10], [10, 4]),
        ([2, 6], [2, 3]),
        ([2, 6], [12, 3]),
        ([2, 6], [2, 2, 2, 3]),
        ([], [2, 3]),
    ],
)
def test_case_06_anything_else_is_refused_with_both_shapes(kind, batch, shape):
    wanted = (
        r"`condition` must have shape \[..., 3\] or \[..., 2, 2, 3\], .* broadcast against the batch "
        + re.escape(
            f"{tuple(batch)} of images ({', '.join(map(str, [*batch, 2, 2, 4]))}), got {tuple(shape)}."
        )
    )
    with pytest.raises(UserError, match=wanted) as error:
        _coupling(3, kind).inverse(RNG.normal(size=[*batch, 2, 2, 4]), condition=np.ones(shape))
    assert "\n" not in str(error.value)


def test_case_06_a_batch_size_known_late():
    coupling = _coupling(3)
    specs = [tf.TensorSpec([None, *shape], tf.float64) for shape in ((2, 2, 4), (3,))]
    call = tf.function(lambda x, h: coupling.inverse(x, condition=h), input_signature=specs)
    x, h = RNG.normal(size=[5, 2, 2, 4]), RNG.normal(size=[5, 3])
    np.testing.assert_allclose(call(x, h), coupling.inverse(x, condition=h), atol=1e-12)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(x, h[:4])


class _Strange(tf.Module):
    """A network that needs a tensor of its own dtype, and does not say how large."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.table = tf.Variable(tf.random.stateless_normal([4, out_channels], (0, 1)))

    def __call__(self, x, condition):
        if condition.dtype.is_integer:
            rows = tf.gather(self.table, condition)
        else:
            rows = tf.matmul(condition, self.table)
        assert rows.shape.rank == 2
        return tf.zeros_like(x[..., :1]) + rows[:, tf.newaxis, tf.newaxis]


@pytest.mark.parametrize("batch", [[], [3], [2, 3]])
def test_case_07_arrays_and_lists_are_converted(batch):
    ours, strange = _coupling(4, dtype=tf.float32), bijectors.AffineCoupling(4, _Strange)
    x = RNG.normal(size=[*batch, 2, 2, 4]).astype(np.float32)
    labels = RNG.integers(0, 4, batch)
    condition = np.eye(4, dtype=np.float32)[labels]
    for coupling in (ours, strange):
        expected = coupling.inverse(x, condition=tf.constant(condition))
        for given in (condition, condition.astype(np.float64), condition.tolist(), tf.Variable(condition)):
            np.testing.assert_array_equal(coupling.inverse(x, condition=given), expected)
    np.testing.assert_array_equal(
        ours.inverse(x, condition=condition.astype(np.int64)), ours.inverse(x, condition=condition)
    )
    if batch:
        for given in (labels, tf.constant(labels)):
            np.testing.assert_allclose(strange.inverse(x, condition=given), expected, atol=1e-6)
        with pytest.raises(ValueError, match=r"integers are labels.* got \(7,\)"):
            strange.inverse(x, condition=np.zeros(7, int))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (tf.ones([3, 3], tf.float64), "dtype of the images, float32, got a tensor of float64"),
        (tf.ones([3, 3], tf.int32), "dtype of the images, float32, got a tensor of int32"),
        ([[1.0, 2.0, 3.0], [1.0]], "`condition` must be numbers, equally many in each row"),
        ([["a", "b", "c"]], "`condition` must be numbers, got string"),
        (np.full([3, 3], np.nan), "`condition` must be finite"),
    ],
)
def test_case_07_what_is_not_converted_is_refused(condition, message):
    coupling = _coupling(3, dtype=tf.float32, validate_args=True)
    with pytest.raises(UserError, match=message) as error:
        coupling.inverse(tf.ones([3, 2, 2, 4]), condition=condition)
    assert "\n" not in str(error.value)


def test_case_08_two_glows_in_a_joint_distribution():
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=8)
    flows = [tfp_flows.glow(config, (4, 4, 1), name=name) for name in ("first", "second")]
    joint = tfd.JointDistributionSequential(flows)
    samples = joint.sample(2, seed=(0, 1))
    parts = [flow.log_prob(tf.identity(x)) for flow, x in zip(flows, samples, strict=True)]
    np.testing.assert_allclose(joint.log_prob(samples), sum(parts), rtol=1e-5)
