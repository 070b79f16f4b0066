"""`Coupling`, its splits and its transforms: against masks by hand, TFP's own bijectors, and each other."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.chains import CONV
from tfp_flows import bijectors, networks, testing

tfb = tfp.bijectors

RNG = np.random.default_rng(0)
BLACK = (np.indices([4, 6]).sum(0) % 2 == 0)[..., np.newaxis]
BY_ELEMENT = RNG.uniform(size=[4, 6, 3]) < 0.4
FIRST_OF_THREE = np.array([True, True, False])
# split -> (what is transformed, by hand: [4, 6, 3] or what broadcasts to it; channels the network is given)
SPLITS = {
    "channels": (FIRST_OF_THREE, 1),
    "checkerboard": (BLACK, 3),
    "rows": ((np.arange(4) % 2 == 0)[:, np.newaxis, np.newaxis], 3),
    "columns": ((np.arange(6) % 2 == 0)[:, np.newaxis], 3),
    "mask of channels": (np.array([False, True, False]), 2),
    "mask of positions": (BLACK, 4),
    "mask of elements": (BY_ELEMENT, 6),
}


def _split(name):
    return SPLITS[name][0] if name.startswith("mask") else name


def _float64(factory, **settings):
    return functools.partial(factory, dtype=tf.float64, **settings)


def _means(in_channels, out_channels):
    """raw = 0.3, and t the mean of all that is given: which can be told by hand, wherever it is packed."""

    def network(x):
        given = x[..., : in_channels if in_channels < 4 else 3]
        hidden = x[..., 3:] if in_channels > 3 else tf.ones_like(given)
        count = tf.reduce_sum(hidden * tf.ones_like(given), axis=[1, 2, 3], keepdims=True)
        t = tf.reduce_sum(given, axis=[1, 2, 3], keepdims=True) / count
        half = tf.ones([*x.shape[:-1], out_channels // 2], x.dtype)
        return tf.concat([0.3 * half, t * half], axis=-1)

    return network


@pytest.mark.parametrize("name", SPLITS)
def test_an_additive_coupling_changes_no_volume_at_any_position(name):
    """Of any split: its log-determinants by position are zeros of the image's shape."""

    def network(in_channels, out_channels):
        return lambda x: tf.ones([*x.shape[:-1], out_channels], x.dtype)

    x = tf.constant(RNG.normal(size=[2, 4, 6, 3]))
    coupling = bijectors.AdditiveCoupling(3, network, split=_split(name), dtype=tf.float64)
    z, log_det = bijectors.inverse_by_position(coupling, x)
    np.testing.assert_array_equal(z, coupling.inverse(tf.identity(x)))
    np.testing.assert_array_equal(log_det, np.zeros([2, 4, 6, 1]))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("name", SPLITS)
def test_a_split_is_the_mask_by_hand(name, swap):
    x = RNG.normal(size=[2, 4, 6, 3])
    mask = np.broadcast_to(SPLITS[name][0], x.shape[1:]) ^ swap
    given = np.where(mask, np.nan, x)
    t = np.nanmean(given, axis=(1, 2, 3), keepdims=True)
    expected = np.where(mask, np.exp(np.tanh(0.3)) * x + t, x)
    settings = dict(split=_split(name), swap=swap, dtype=tf.float64)
    ours = (
        bijectors.Coupling(3, _means, bijectors.AffineTransform("tanh"), **settings),
        bijectors.AffineCoupling(3, _means, "tanh", **settings),
    )
    for coupling in ours:
        z, log_det = coupling.inverse_and_log_det(x)
        np.testing.assert_allclose(z, expected, rtol=1e-12)
        np.testing.assert_allclose(log_det, np.full(2, mask.sum() * np.tanh(0.3)), rtol=1e-12)
        np.testing.assert_allclose(coupling.forward(tf.identity(z)), x, atol=1e-12)
        by_position = bijectors.inverse_by_position(coupling, tf.constant(x))[1]
        np.testing.assert_allclose(
            by_position[..., 0], np.broadcast_to(mask.sum(-1) * np.tanh(0.3), [2, 4, 6]), rtol=1e-12
        )


@pytest.mark.parametrize("name", SPLITS)
def test_the_network_is_given_what_the_page_says(name):
    seen = []

    def network(in_channels, out_channels):
        seen.append((in_channels, out_channels))
        return CONV(in_channels, out_channels)

    coupling = bijectors.AdditiveCoupling(3, network, split=_split(name))
    transformed = {"channels": 2, "mask of channels": 1}.get(name, 3)
    assert seen == [(SPLITS[name][1], transformed)]
    testing.perturb(coupling)
    x = tf.constant(RNG.normal(size=[2, 4, 6, 3]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        shift = coupling.inverse(tf.identity(x)) - x
    of_x = tape.gradient(shift, x).numpy()
    mask = np.broadcast_to(SPLITS[name][0], x.shape[1:])
    assert np.abs(of_x[:, mask]).max() < 1e-6, "the shift depends on what it is added to"
    assert np.abs(of_x[:, ~mask]).min() > 0


def test_a_map_is_packed_as_what_is_transformed():
    condition = RNG.normal(size=[2, 4, 6, 1])

    class Copied(tf.Module):
        condition_channels = 1

        def __call__(self, x, condition):
            return tf.repeat(condition, 3, axis=-1)

    for split in ("checkerboard", "rows", "columns"):
        coupling = bijectors.AdditiveCoupling(3, lambda i, o: Copied(), split=split, dtype=tf.float64)
        x = np.zeros([2, 4, 6, 3])
        z = coupling.inverse(x, condition=condition)
        np.testing.assert_array_equal(z, np.where(SPLITS[split][0], condition, 0.0) + x)
    network = _float64(networks.ConvNetwork, hidden_channels=4, condition_channels=2)
    coupling = bijectors.AdditiveCoupling(3, network, split="checkerboard", dtype=tf.float64)
    testing.perturb(coupling)
    vectors = RNG.normal(size=[2, 2])
    as_map = np.broadcast_to(vectors[:, np.newaxis, np.newaxis], [2, 4, 6, 2])
    for given in (vectors, as_map):
        z = coupling.inverse(tf.identity(x), condition=given)
        np.testing.assert_allclose(
            z, coupling.inverse(tf.identity(x), condition=np.array(vectors)), rtol=1e-12
        )


def test_the_quick_couplings_are_those_of_their_transforms():
    network = _float64(networks.DenseNetwork, hidden_channels=8, seed=3)
    x = RNG.normal(size=[7, 5])
    settings = dict(event_ndims=1, dtype=tf.float64)
    for quick, transform in (
        (bijectors.AffineCoupling(5, network, "tanh", **settings), bijectors.AffineTransform("tanh")),
        (bijectors.AffineCoupling(5, network, "sigmoid", **settings), bijectors.AffineTransform("sigmoid")),
        (bijectors.AdditiveCoupling(5, network, **settings), bijectors.ShiftTransform()),
    ):
        general = bijectors.Coupling(5, network, transform, **settings)
        assert [v.name for v in general.variables] == [v.name for v in quick.variables]
        for one in (quick, general):
            testing.perturb(one, seed=1)
        for found, expected in zip(
            general.inverse_and_log_det(x), quick.inverse_and_log_det(x), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert general.is_constant_log_det == quick.is_constant_log_det


def test_the_spline_is_tfps_own_and_the_identity_outside():
    bins, bound, least = 5, 3.0, 0.1
    transform = bijectors.SplineTransform(bins, bound, min_bin_size=least, min_slope=0.05)
    raw = RNG.normal(size=[50, 3 * bins - 1])
    x = RNG.uniform(-4, 4, size=[50])
    softmax = np.exp(raw) / 1.0
    widths, heights = (
        part / part.sum(-1, keepdims=True) for part in np.split(softmax[:, : 2 * bins], 2, -1)
    )
    slopes = 0.05 + np.log1p(np.exp(raw[:, 2 * bins :] + np.log(np.expm1(0.95))))
    own = tfb.RationalQuadraticSpline(
        *(least + (2 * bound - bins * least) * part for part in (widths, heights)), slopes, range_min=-bound
    )
    made = transform.bijector(tf.constant(raw))
    np.testing.assert_allclose(made.inverse(x), own.forward(x), rtol=1e-12)
    np.testing.assert_allclose(
        made.inverse_log_det_jacobian(x), own.forward_log_det_jacobian(x), rtol=1e-10, atol=1e-12
    )
    outside = np.abs(x) > bound
    assert outside.sum() > 5
    np.testing.assert_array_equal(made.inverse(x)[outside], x[outside])
    at_zero = transform.bijector(tf.zeros([50, 3 * bins - 1], tf.float64))
    np.testing.assert_allclose(at_zero.inverse(x), x, atol=1e-12)


@pytest.mark.parametrize("transform", [bijectors.SplineTransform(4), bijectors.MixtureTransform(3)])
def test_far_outside_values_and_gradients_are_finite(transform):
    raw = tf.constant(RNG.normal(size=[12, transform.num_outputs]) * 5, tf.float32)
    x = tf.constant([-1e30, -1e10, -1e4, -4.0, -1e-30, 0.0, 1e-30, 4.0, 17.0, 1e4, 1e10, 1e30])
    with tf.GradientTape() as tape:
        tape.watch([raw, x])
        made = transform.bijector(raw)
        z = made.inverse(x)
        loss = tf.reduce_sum(tf.tanh(z)) + tf.reduce_sum(made.inverse_log_det_jacobian(tf.identity(x)))
    for value in (z, loss, *tape.gradient(loss, [raw, x])):
        assert np.isfinite(value).all()


def test_any_elementwise_bijector_of_ones_own():
    def sinh_arcsinh(raw):
        return tfb.SinhArcsinh(raw[..., 0], tf.exp(tf.tanh(raw[..., 1])))

    def positive(raw):  # from any number to a positive one
        return tfb.Chain([tfb.Softplus(), tfb.Shift(raw[..., 0])])

    network = _float64(networks.DenseNetwork, hidden_channels=8)
    x = RNG.uniform(0.1, 2.0, size=[6, 3])
    for transform in (bijectors.Transform(2, sinh_arcsinh), bijectors.Transform(1, positive)):
        coupling = bijectors.Coupling(3, network, transform, event_ndims=1, dtype=tf.float64)
        testing.perturb(coupling)
        x_b = tf.constant(x[:, 2:])
        raw = tf.reshape(coupling.network(x_b), [6, transform.num_outputs, 2])
        own = transform.bijector(tf.linalg.matrix_transpose(raw))
        z, log_det = coupling.inverse_and_log_det(x)
        np.testing.assert_allclose(z[:, :2], own.inverse(x[:, :2]), rtol=1e-12)
        np.testing.assert_array_equal(z[:, 2:], x[:, 2:])
        expected = tf.reduce_sum(own.inverse_log_det_jacobian(x[:, :2]), axis=-1)
        np.testing.assert_allclose(log_det, expected, rtol=1e-12)
        testing.check_round_trip(coupling, tf.constant(x))


@pytest.mark.parametrize("transform", [bijectors.SplineTransform(3), bijectors.MixtureTransform(2)])
def test_a_batch_may_have_many_axes(transform):
    coupling = bijectors.Coupling(3, CONV, transform)
    testing.perturb(coupling)
    x = tf.constant(RNG.normal(size=[2, 1, 3, 4, 2, 3]), tf.float32)
    z, log_det = coupling.inverse_and_log_det(x)
    flat, flat_log_det = coupling.inverse_and_log_det(tf.reshape(x, [6, 4, 2, 3]))
    np.testing.assert_allclose(tf.reshape(z, [6, 4, 2, 3]), flat, atol=1e-6)
    np.testing.assert_allclose(tf.reshape(log_det, [6]), flat_log_det, atol=1e-5)


def _chain(reversible=False):
    settings = dict(dtype=tf.float64)
    conv = _float64(CONV)
    members = [
        bijectors.Coupling(2, conv, bijectors.MixtureTransform(2), "checkerboard", name="a", **settings),
        bijectors.Coupling(2, conv, bijectors.SplineTransform(3), name="b", **settings),
        bijectors.AffineCoupling(2, conv, split=BLACK[:, :4], name="c", **settings),
        bijectors.Coupling(2, conv, bijectors.AffineTransform(), "rows", swap=True, name="d", **settings),
    ]
    chain = bijectors.FusedChain(members, reversible=reversible)
    testing.perturb(chain)
    return chain


@pytest.mark.parametrize("inverse", [True, False])
def test_reversible_gradients_are_the_ordinary_ones(inverse):
    x = tf.constant(RNG.normal(size=[2, 4, 4, 2]))
    found = []
    for reversible in (False, True):
        chain = _chain(reversible)

        @tf.function
        def gradients(x, chain=chain):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value, log_det = (chain.inverse_and_log_det if inverse else chain.forward_and_log_det)(x)
                loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det * [1.0, 2.0])
            return loss, tape.gradient(loss, [x, *chain.trainable_variables])

        found.append(gradients(x))
    for one, other in zip(tf.nest.flatten(found[0]), tf.nest.flatten(found[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bijectors.Coupling(4, CONV, "affine"), "`transform` must be a Transform, got 'affine'"),
        (lambda: bijectors.AffineCoupling(4, CONV, split="diagonal"), "`split` must be one of .*'diagonal'"),
        (lambda: bijectors.AffineCoupling(4, CONV, split=[1, 0, 1, 0]), "mask of booleans, got int64"),
        (lambda: bijectors.AffineCoupling(4, CONV, split=[True] * 4), "True for some elements, and not for"),
        (lambda: bijectors.AffineCoupling(4, CONV, split=[True, False]), r"shape \(4,\) or .* got \(2,\)"),
        (
            lambda: bijectors.AffineCoupling(4, CONV, split="rows", event_ndims=1),
            "one of images, event_ndims=3, got event_ndims=1",
        ),
        (
            lambda: bijectors.AffineCoupling(1, CONV, split="checkerboard").inverse(tf.zeros([1, 4, 5, 1])),
            r"the width of images must be known and even, got shape \(1, 4, 5, 1\); for other sizes give a",
        ),
        (
            lambda: bijectors.AffineCoupling(3, CONV, split=BLACK).inverse(tf.zeros([1, 4, 4, 3])),
            r"a mask for events \(4, 6, 3\), got an input of shape \(1, 4, 4, 3\)",
        ),
        (lambda: bijectors.Transform(0, tfb.Shift), "`num_outputs` must be a positive integer"),
        (lambda: bijectors.Transform(1, 2.0), "`bijector` must be a callable"),
        (lambda: bijectors.Transform(1, lambda raw: raw).bijector(tf.zeros([3, 1])), "must make a tfb.Bij"),
        (
            lambda: bijectors.Transform(1, lambda raw: bijectors.ActNorm(3)).bijector(tf.zeros([3, 1])),
            "elementwise bijector, but actnorm takes events of rank 1",
        ),
        (lambda: bijectors.SplineTransform(1), "`num_bins` must be at least 2"),
        (lambda: bijectors.SplineTransform(4, 1.0, min_bin_size=0.5), "between 0 and .* 0.5, got 0.5"),
        (lambda: bijectors.MixtureTransform(3, -1.0), "`min_slope` must be finite and not negative"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_mask_of_as_many_positions_as_channels_is_one_of_positions():
    mask = np.array([[True, False], [False, True]])[..., np.newaxis]
    coupling = bijectors.AdditiveCoupling(4, lambda i, o: lambda x: tf.ones_like(x)[..., :o], split=mask)
    with pytest.raises(ValueError, match="6"):
        coupling.forward(tf.zeros([1, 6, 6, 4]))
    moved = coupling.forward(tf.zeros([1, 2, 2, 4])).numpy()
    assert (np.ptp(moved, axis=-1) == 0).all() and np.ptp(moved) > 0  # whole positions move, or stay
