"""Each bijector's own closed form, what it does beyond the contract, and what it refuses."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors import chains
from tests.bijectors.chains import CONV
from tfp_flows import bijectors, networks, testing

tfb = tfp.bijectors
tfd = tfp.distributions


def test_arrays_condition_like_tensors_at_any_batch_rank():
    network = functools.partial(CONV, condition_channels=3, dtype=tf.float64)
    coupling = bijectors.AffineCoupling(4, network, dtype=tf.float64)
    testing.perturb(coupling)
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=[2, 3, 4, 4, 4]), rng.normal(size=[2, 3, 3])
    np.testing.assert_array_equal(
        coupling.inverse(x, condition=h), coupling.inverse(x, condition=tf.constant(h))
    )


def test_empty_float32_batches():
    coupling = bijectors.AffineCoupling(4, CONV)
    assert coupling.inverse(tf.zeros([0, 4, 4, 4])).shape == [0, 4, 4, 4]
    assert coupling.inverse_log_det_jacobian(tf.zeros([0, 4, 4, 4]), event_ndims=3).shape == [0]


def test_actnorm_closed_form():
    x = np.random.default_rng(0).normal(3.0, 2.0, [5, 4, 4, 2])
    norm = bijectors.ActNorm(2, dtype=tf.float64)
    np.testing.assert_array_equal(norm.inverse(x), x)  # the identity before initialisation
    z = norm.initialize(x)
    np.testing.assert_allclose(tf.reduce_mean(z, [0, 1, 2]), [0, 0], atol=1e-12)
    np.testing.assert_allclose(tf.math.reduce_std(z, [0, 1, 2]), [1, 1], atol=1e-5)
    expected = -16 * np.log(x.std(axis=(0, 1, 2)) + 1e-6).sum()
    np.testing.assert_allclose(norm.inverse_log_det_jacobian(x, event_ndims=3), expected)


def test_actnorm_of_a_constant_channel_is_finite():
    norm = bijectors.ActNorm(1)
    assert np.isfinite(norm.initialize(tf.ones([4, 2, 2, 1]))).all()


def test_conv1x1_starts_as_a_rotation_and_has_its_determinant():
    conv = bijectors.InvertibleConv1x1(6, seed=1, dtype=tf.float64)
    kernel = conv.kernel().numpy()
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(conv.inverse_kernel() @ conv.kernel(), np.eye(6), atol=1e-12)
    assert abs(bijectors.InvertibleConv1x1(6, seed=2).kernel().numpy() - kernel).max() > 0.1
    testing.perturb(conv, scale=0.5)
    x = np.random.default_rng(0).standard_normal([2, 3, 3, 6])
    np.testing.assert_allclose(conv.inverse(x), x @ conv.kernel().numpy().T, atol=1e-12)
    log_det = np.linalg.slogdet(conv.kernel())[1]
    np.testing.assert_allclose(conv.inverse_log_det_jacobian(x, event_ndims=3), 9 * log_det)


def test_squeeze_is_space_to_depth_by_brute_force():
    x = np.arange(2 * 4 * 4 * 3).reshape([2, 4, 4, 3])
    z = bijectors.Squeeze().inverse(x).numpy()
    for row in range(2):
        for column in range(2):
            block = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, :]
            np.testing.assert_array_equal(z[:, row, column], block.reshape([2, 12]))


@pytest.mark.parametrize("scale", ["sigmoid", "exp", "tanh"])
def test_affine_coupling_closed_form(scale):
    coupling = bijectors.AffineCoupling(4, CONV, scale_form=scale)
    testing.perturb(coupling)
    x = tf.random.stateless_uniform([2, 3, 3, 4], (0, 1))
    raw, shift = np.split(coupling.network(x[..., 2:]).numpy(), 2, axis=-1)
    s = {"sigmoid": 1 / (1 + np.exp(-(raw + 2))), "exp": np.exp(raw), "tanh": np.exp(np.tanh(raw))}[scale]
    expected = np.concatenate([s * x[..., :2] + shift, x[..., 2:]], axis=-1)
    np.testing.assert_allclose(coupling.inverse(x), expected, atol=1e-6)
    np.testing.assert_allclose(
        coupling.inverse_log_det_jacobian(x), np.log(s).sum(axis=(1, 2, 3)), rtol=1e-5
    )


@pytest.mark.parametrize("kind", [bijectors.AffineCoupling, bijectors.FactorOut])
@pytest.mark.parametrize("raw", [-1e30, -200.0, 200.0, 1e30])
def test_a_tanh_scale_stays_between_1_over_e_and_e(kind, raw):
    def network(in_channels, out_channels):
        half = tf.ones([out_channels // 2])
        return lambda x: tf.broadcast_to(
            tf.concat([raw * half, 0.5 * half], 0), x.shape[:-1] + [out_channels]
        )

    x = np.random.default_rng(0).uniform(-1, 1, [2, 3, 1, 4]).astype(np.float32)
    bijector = kind(4, network, scale_form="tanh", validate_args=True)
    z, log_det = bijector.inverse_and_log_det(x)
    moved = slice(0, 2) if kind is bijectors.AffineCoupling else slice(2, 4)
    np.testing.assert_allclose(z[..., moved], np.exp(np.sign(raw)) * x[..., moved] + 0.5, rtol=1e-6)
    np.testing.assert_array_equal(log_det, [6 * np.sign(raw)] * 2)
    np.testing.assert_allclose(bijector.forward(tf.identity(z)), x, atol=1e-6)


def test_fused_chain_equals_tfb_chain():
    chain = chains.chain(tf.float64)
    testing.perturb(chain)
    plain = tfb.Chain(chain.bijectors)
    x = np.random.default_rng(0).uniform(size=[3, 4, 4, 2])
    np.testing.assert_allclose(chain.inverse(x), plain.inverse(x), atol=1e-12)
    np.testing.assert_allclose(
        chain.inverse_log_det_jacobian(x), plain.inverse_log_det_jacobian(x), rtol=1e-12
    )


def test_initialize_actnorms_normalises_every_layer():
    chain = chains.chain(tf.float64)
    testing.perturb(chain)
    x = np.random.default_rng(0).uniform(size=[64, 4, 4, 2])
    z = bijectors.initialize_actnorms(chain, x)
    np.testing.assert_allclose(z, chain.inverse(x), atol=1e-9)
    after_actnorm = chain.bijectors[1].inverse(chain.bijectors[0].inverse(x))
    np.testing.assert_allclose(tf.math.reduce_std(after_actnorm, [0, 1, 2]), np.ones(8), atol=1e-5)
    plain = tfb.Chain([bijectors.ActNorm(2, dtype=tf.float64), tfb.Exp()])
    bijectors.initialize_actnorms(plain, x)
    np.testing.assert_allclose(plain.bijectors[0].log_scale, -np.log(x.std(axis=(0, 1, 2))), atol=1e-4)


def test_initialize_actnorms_refuses_what_it_cannot_enter():
    hidden = tfb.Invert(bijectors.ActNorm(2, name="hidden_norm"))
    with pytest.raises(ValueError, match="cannot initialise the ActNorm 'hidden_norm' inside"):
        bijectors.initialize_actnorms(hidden, tf.ones([2, 2]))


class _CountingNetwork(tf.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.kernel = tf.Variable(tf.ones([in_channels, out_channels]) * 0.1)
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return tf.einsum("nhwi,io->nhwo", x, self.kernel)


@pytest.mark.parametrize("batch", [1, 2, 33])
@pytest.mark.parametrize("chain", [tfb.Chain, bijectors.FusedChain])
@pytest.mark.parametrize("mode", ["eager", "function", "nested"])
def test_one_log_prob_calls_each_network_once(batch, chain, mode):
    couplings = [
        bijectors.AffineCoupling(4, _CountingNetwork, name="first"),
        bijectors.AffineCoupling(4, _CountingNetwork, swap=True, name="second"),
        bijectors.FactorOut(4, _CountingNetwork, name="last"),
    ]
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 4]), chain(couplings))
    function = flow.log_prob
    if mode != "eager":
        function = tf.function(function)
    if mode == "nested":
        inner = function
        function = tf.function(lambda x: inner(x) + 0.0)
    x = tf.random.stateless_uniform([batch, 2, 2, 4], (0, 1))
    assert function(x).shape == [batch]
    assert [coupling.network.calls for coupling in couplings] == [1, 1, 1]


def test_gradients_reach_variables_through_log_prob():
    flow = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 4]), bijectors.AffineCoupling(4, _CountingNetwork)
    )
    x = tf.ones([2, 2, 2, 4])
    for _ in range(2):  # the second time TFP's cache has seen x
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.log_prob(x))
        assert tape.gradient(loss, flow.trainable_variables)[0] is not None


def test_conditioning_reaches_the_network():
    network = functools.partial(networks.ConvNetwork, hidden_channels=4, condition_channels=3)
    coupling = bijectors.AffineCoupling(4, network, name="conditional")
    testing.perturb(coupling)
    x = tf.random.stateless_uniform([2, 4, 4, 4], (0, 1))
    h = tf.random.stateless_uniform([2, 3], (0, 2))
    z = coupling.inverse(x, condition=h)
    np.testing.assert_allclose(coupling.forward(tf.identity(z), condition=h), x, atol=1e-5)
    assert abs(coupling.inverse(x, condition=2 * h) - z).numpy().max() > 1e-3
    np.testing.assert_allclose(coupling.inverse(x[0], condition=h[0]), z[0], atol=1e-5)
    for chain in (tfb.Chain([coupling]), bijectors.FusedChain([coupling])):
        np.testing.assert_allclose(chain.inverse(x, conditional={"condition": h}), z, atol=1e-6)
    flow = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 4]), bijectors.FusedChain([coupling])
    )
    log_prob = flow.log_prob(x, bijector_kwargs={"conditional": {"condition": h}})
    expected = flow.distribution.log_prob(z) + coupling.inverse_log_det_jacobian(x, condition=h)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6)


class _Keras3Layer:
    """Stands for a layer of Keras 3: what counts is the module it comes from."""

    __module__ = "keras.src.layers.core.dense"

    def __call__(self, x):
        return x


def _wrong_shape(in_channels, out_channels):
    return lambda x: tf.concat([x, x, x], axis=-1)


def _wrong_dtype(in_channels, out_channels):
    return lambda x: tf.cast(tf.concat([x, x], axis=-1), tf.float64)


IMAGE = tf.zeros([1, 4, 4, 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bijectors.ActNorm(0), "`num_channels` must be a positive integer, got 0"),
        (lambda: bijectors.ActNorm(2, dtype=tf.int32), "`dtype` must be a floating type, got int32"),
        (lambda: bijectors.ActNorm(3).inverse(IMAGE), r"num_channels=3 .* shape \(1, 4, 4, 4\)"),
        (lambda: bijectors.ActNorm(4, shift=tf.zeros(4)).initialize(IMAGE), "needs variables"),
        (lambda: bijectors.InvertibleConv1x1(3).inverse(IMAGE), "num_channels=3"),
        (lambda: bijectors.InvertibleConv1x1(2, sign=tf.ones(2)), "give all of"),
        (lambda: bijectors.AffineCoupling(1, CONV), "at least two channels.* got num_channels=1"),
        (lambda: bijectors.AdditiveCoupling(1, CONV), "at least two channels.* got num_channels=1"),
        (lambda: bijectors.AffineCoupling(4, CONV, scale="softplus"), "`scale` must be one of.*'softplus'"),
        (lambda: bijectors.AffineCoupling(4, "conv"), "`network` must be a factory.*'conv'"),
        (lambda: bijectors.AffineCoupling(4, lambda i, o: 3), "returned 3"),
        (lambda: bijectors.AffineCoupling(4, lambda i, o: _Keras3Layer()), "Keras 3"),
        (
            lambda: bijectors.AffineCoupling(4, _wrong_shape).inverse(IMAGE),
            r"`network` must return a tensor of shape \(1, 4, 4, 4\).* got \(1, 4, 4, 6\)",
        ),
        (
            lambda: bijectors.AffineCoupling(4, _wrong_dtype).inverse(IMAGE),
            "dtype of its input, float32, got float64",
        ),
        (
            lambda: bijectors.AffineCoupling(4, CONV).inverse(tf.cast(IMAGE, tf.float64)),
            "must have dtype=float32, got a tensor of float64",
        ),
        (lambda: bijectors.ActNorm(4, log_scale=tf.ones([1])), r"`log_scale` .* \(4,\), got \(1,\)"),
        (
            lambda: bijectors.InvertibleConv1x1(
                2, tf.eye(2), tf.ones([1]), tf.constant([0, 1]), tf.ones([2])
            ),
            r"`log_diagonal` must have shape \(2,\), got \(1,\)",
        ),
        (lambda: bijectors.Squeeze().inverse(tf.zeros([4, 4])), r"images .* got shape \(4, 4\)"),
        (lambda: bijectors.Squeeze(0), "`block_size` must be a positive integer, got 0"),
        (lambda: bijectors.Squeeze().inverse(IMAGE[:, :3]), r"height .* shape \(3, 4, 4\)"),
        (lambda: bijectors.Squeeze().forward(IMAGE[..., :3]), r"channels .* shape \(4, 4, 3\)"),
        (lambda: bijectors.FactorOut(4, CONV, mode="half"), "`mode` must be one of.*'half'"),
        (lambda: bijectors.FactorOut(1, CONV), "`num_channels` must be at least 2.* got 1"),
        (lambda: bijectors.FactorOut(4, CONV, num_leaving=4), "`num_leaving` must be below"),
        (lambda: bijectors.FusedChain([]), "`bijectors` must not be empty"),
        (lambda: bijectors.FusedChain([tf.exp]), "must all be tfb.Bijector"),
        (lambda: bijectors.FusedChain([tfb.Reshape([4], [2, 2])]), "keep the rank"),
        (
            lambda: bijectors.FusedChain([bijectors.ActNorm(2), bijectors.ActNorm(2, dtype=tf.float64)]),
            "dtypes differ",
        ),
        (
            lambda: bijectors.FusedChain([bijectors.ActNorm(4)]).inverse(IMAGE, coupling={}),
            "no member called 'coupling'",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
