"""The bijector Glow: where its latents lie, its condition, its copies, and what its arguments change."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors, networks, testing

tfb, tfd = tfp.bijectors, tfp.distributions

SMALL = dict(levels=2, steps_per_level=1, hidden_channels=4, dtype=tf.float64)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=[3, 4, 8, 1])
VECTORS = RNG.standard_normal([3, 2])
MAPS = RNG.standard_normal([3, 4, 8, 2])


def _glow(image_shape=(4, 8, 1), scale=0.3, **kwargs):
    bijector = bijectors.Glow(image_shape, **{**SMALL, **kwargs})
    testing.perturb(bijector, scale=scale)
    return bijector


@pytest.fixture(scope="module")
def conditional():
    return _glow(condition_channels=2)


def _members(bijector, kind):
    return {m.name: m for m in bijector.submodules if isinstance(m, kind)}


def _inverse(bijector, condition, images=IMAGES):
    """(latent, log-determinant), not from TFP's cache."""
    x = tf.constant(images)
    given = {} if condition is None else {"condition": condition}
    return bijector.inverse(x, **given), bijector.inverse_log_det_jacobian(x, event_ndims=3, **given)


def _assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("leaves", ["untouched", "transformed"])
def test_which_dimensions_of_the_latent_hold_which_channel_of_which_level(leaves):
    """An actnorm that scales channel c by exp(c) marks what passed it, couplings being the identity."""
    shape, levels = (8, 16, 3), 3
    bijector = bijectors.Glow(shape, levels, 1, hidden_channels=1, scale_form="exp", leaves=leaves)
    for conv in _members(bijector, bijectors.InvertibleConv1x1).values():
        for name, value in {"lower_upper": 0, "log_diagonal": 0, "sign": 1}.items():
            conv.parameters[name].assign(tf.fill(conv.parameters[name].shape, float(value)))
        conv.parameters["permutation"].assign(tf.range(conv.num_channels))
    norms = _members(bijector, bijectors.ActNorm)
    for level in range(levels):
        norm = norms[f"level{level}_step0_actnorm"]
        norm.log_scale.assign(tf.range(norm.num_channels, dtype=tf.float32))
        found = np.log(bijector.inverse(tf.ones([1, *shape]))[0])
        norm.log_scale.assign(tf.zeros(norm.num_channels))
        here = bijector.latent_levels == level
        np.testing.assert_allclose(found[here], bijector.latent_channels[here], atol=1e-4)
        assert not found[bijector.latent_levels < level].any()
    rows = np.minimum([3, 0, 1, 0, 2, 0, 1, 0], levels - 1)  # how often 2 divides the row
    np.testing.assert_array_equal(bijector.latent_levels, np.broadcast_to(rows[:, None, None], shape))


def test_a_copy_shares_the_weights():
    bijector = _glow()
    copy = bijector.copy(reversible=True, name="copy")
    assert copy.reversible and copy.name == "copy" and copy.image_shape == (4, 8, 1)
    found = _inverse(copy.copy(), None)
    for variable in bijector.trainable_variables:
        variable.assign_add(0.1 * tf.ones_like(variable))
    expected = _inverse(bijector, None)
    assert abs(found[0] - expected[0]).numpy().max() > 1e-2
    _assert_same(_inverse(copy, None), expected)
    with pytest.raises(ValueError, match="copy shares all weights.*`reversible`, `validate_args`"):
        bijector.copy(levels=1)


def test_attributes_that_checkpoints_know():
    """The object graph is that of a `FusedChain` of the members."""
    bijector = bijectors.Glow((4, 8, 1), **SMALL)
    chain = bijectors.FusedChain(bijector.bijectors)
    assert sorted(bijector._trackable_children()) == sorted(chain._trackable_children())
    assert [v.name for v in bijector.variables] == [v.name for v in chain.variables]


def test_one_keyword_is_that_of_every_network(conditional):
    at = {"condition": VECTORS}
    below = {"level1_step0_coupling": at}
    by_name = {"level0_step0_coupling": at, "level0_factor_out": {**at, "level1": below}}
    found = _inverse(conditional, VECTORS)
    x = tf.constant(IMAGES)
    _assert_same(found[:1], [conditional.inverse(x, **by_name)])
    for other in (VECTORS.tolist(), tf.constant(VECTORS), VECTORS[:, None, None] * np.ones([4, 8, 1])):
        _assert_same(_inverse(conditional, other), found)
    back = conditional.forward(tf.identity(found[0]), condition=VECTORS)
    np.testing.assert_allclose(back, IMAGES, atol=1e-9)
    assert abs(found[0] - _inverse(conditional, VECTORS[::-1])[0]).numpy().max() > 1e-2


def test_a_level_gets_the_means_of_a_map(conditional):
    half = MAPS.reshape([3, 2, 2, 4, 2, 2]).mean((2, 4))
    quarter = MAPS.reshape([3, 1, 4, 2, 4, 2]).mean((2, 4))
    below = {"level1_step0_coupling": {"condition": quarter}}
    at = {"condition": half}
    by_name = {"level0_step0_coupling": at, "level0_factor_out": {**at, "level1": below}}
    _assert_same(_inverse(conditional, MAPS)[:1], [conditional.inverse(tf.constant(IMAGES), **by_name)])


@pytest.mark.parametrize("condition", [VECTORS, VECTORS[0], VECTORS[:1], MAPS, MAPS[0], MAPS[:1]])
def test_a_condition_is_broadcast_against_the_batch_from_the_right(conditional, condition):
    """Five images for each of three conditions: image [s, b] goes with condition [b]."""
    images = np.random.default_rng(1).uniform(size=[5, 3, 4, 8, 1])
    found = _inverse(conditional, condition, images)
    own_rank = 1 if condition.shape[-2:-1] != (8,) else 3
    each = np.broadcast_to(condition, [3, *condition.shape[condition.ndim - own_rank :]])
    for s in range(5):
        _assert_same([value[s] for value in found], _inverse(conditional, each, images[s]))


def test_any_batch_size_in_a_graph(conditional):
    specs = [tf.TensorSpec([None, *shape], tf.float64) for shape in ((4, 8, 1), (2,))]
    call = tf.function(lambda x, h: conditional.inverse(x, condition=h), input_signature=specs)
    np.testing.assert_allclose(call(IMAGES, VECTORS), _inverse(conditional, VECTORS)[0], atol=1e-12)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(IMAGES, VECTORS[:2])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            VECTORS[:2],
            r"\[..., 2\] or \[..., 4, 8, 2\].*batch \(3,\) of images \(3, 4, 8, 1\), got \(2, 2\)",
        ),
        (VECTORS[:, :1], r"got \(3, 1\)"),
        (VECTORS[:, 0], r"got \(3,\)"),
        (np.ones([5, 3, 2]), r"got \(5, 3, 2\)"),
        (MAPS[:, :2], r"got \(3, 2, 8, 2\)"),
        (np.float64(1.0), r"got \(\)"),
        (tf.ones([3, 2]), "dtype of the images, float64, got a tensor of float32"),
        (None, "every call needs a `condition` of condition_channels=2 channels"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(conditional, condition, message):
    with pytest.raises(ValueError, match=message) as error:
        _inverse(conditional, condition)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [[1, 16, 8, 1], [1, 8, 8, 3]])
def test_images_of_another_shape_are_refused(shape):
    flow = bijectors.Glow((8, 8, 1), levels=1, steps_per_level=1, hidden_channels=4)
    for call in (flow.forward, flow.inverse):
        with pytest.raises(
            ValueError, match=r"glow: images and latents must have shape \[..., 8, 8, 1\], got"
        ):
            call(tf.zeros(shape))


def test_a_needless_condition_or_two_ways_at_once_are_refused(conditional):
    with pytest.raises(ValueError, match="`condition` was given, but condition_channels=0"):
        _inverse(_glow(), VECTORS)
    with pytest.raises(ValueError, match="not both; got .'level0_step0_coupling'."):
        conditional.inverse(IMAGES, condition=VECTORS, level0_step0_coupling={})


def test_actnorms_are_initialised_given_the_condition():
    bijector = _glow(condition_channels=2, steps_per_level=2)
    for condition in (VECTORS, -VECTORS):
        z = bijectors.initialize_actnorms(bijector, tf.constant(IMAGES), condition=condition)
        _assert_same([z], _inverse(bijector, condition)[:1])
        step = bijector.bijectors[4]
        assert step.name == "level0_step1_actnorm"
        x = tf.constant(IMAGES)
        for member in bijector.bijectors[:5]:
            given = {"condition": condition} if "coupling" in member.name else {}
            x = member.inverse(x, **given)
        np.testing.assert_allclose(tf.math.reduce_std(x, (0, 1, 2)), 1.0, rtol=1e-3)


@pytest.mark.parametrize("condition", [VECTORS[0], MAPS])
def test_gradients_of_a_reversible_chain_reach_the_condition(conditional, condition):
    condition = tf.constant(condition)

    def gradients(chain, given):
        with tf.GradientTape() as tape:
            tape.watch(condition)
            x = tf.constant(IMAGES)
            z = chain.inverse(x, **given(condition))
            log_det = chain.inverse_log_det_jacobian(x, event_ndims=3, **given(condition))
            loss = tf.reduce_sum(z**3) + tf.reduce_sum(log_det**2)
        return tape.gradient(loss, [condition, *conditional.trainable_variables])

    expected = gradients(conditional, lambda h: {"condition": h})
    inner = conditional.copy(reversible=True, name="inner")
    _assert_same(gradients(inner, lambda h: {"condition": h}), expected)
    outer = bijectors.FusedChain([conditional.copy(name="inner"), bijectors.Squeeze(1)], reversible=True)
    for found, one in zip(gradients(outer, lambda h: {"inner": {"condition": h}}), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-6, atol=1e-9)


def test_a_shift_before_the_scale():
    """One step: a network that says (raw, t) makes z = s (x + t), s = sigmoid(raw + 2)."""

    class Network(tf.Module):
        def __call__(self, x):
            return tf.concat([x - 1.0, 3.0 * x], -1)

    settings = dict(levels=1, shift_first=True, scale_form="sigmoid")
    bijector = _glow((2, 2, 1), **settings, network=lambda i, o: Network())
    norm, conv, coupling = bijector.bijectors[1:4]
    x = np.random.default_rng(0).uniform(size=[2, 2, 2, 1])
    given = conv.inverse(norm.inverse(x.reshape([2, 1, 1, 4]))).numpy()
    moved, kept = given[..., :2], given[..., 2:]
    expected = np.concatenate([(moved + 3 * kept) / (1 + np.exp(-kept - 1)), kept], -1)
    np.testing.assert_allclose(bijector.inverse(x), expected.reshape([2, 2, 2, 1]), rtol=1e-12)


@pytest.mark.parametrize(
    ("scale_form", "factor_out_scale_form", "scaled"),
    [
        ("sigmoid", None, 40),
        ("sigmoid", "exp", 24),
        ("exp", "sigmoid", 16),
        ("exp", None, 0),
        ("tanh", None, 0),
    ],
)
def test_the_factor_outs_scale_is_apart(scale_form, factor_out_scale_form, scaled):
    """New networks return 0: a sigmoid scale is sigmoid(2), any other 1; of 32 dimensions the
    couplings transform 16 and 8, and 16 leave.
    """
    forms = dict(scale_form=scale_form, factor_out_scale_form=factor_out_scale_form)
    bijector = bijectors.Glow((4, 8, 1), **SMALL, **forms)
    _, log_det = _inverse(bijector, None)
    np.testing.assert_allclose(log_det, -scaled * np.log1p(np.exp(-2.0)), atol=1e-9)


def test_factories_of_networks_are_called_for_each_step():
    calls = []

    def network(in_channels, out_channels):
        calls.append((in_channels, out_channels))
        return networks.ConvNetwork(in_channels, out_channels, 3, dtype=tf.float64)

    last = functools.partial(networks.ConvLayer, kernel_size=1, dtype=tf.float64)
    bijector = bijectors.Glow(
        (4, 8, 1), levels=2, steps_per_level=2, network=network, factor_out_network=last, dtype=tf.float64
    )
    assert calls == [(2, 4), (2, 4), (4, 8), (4, 8)]
    (leaving,) = _members(bijector, bijectors.FactorOut).values()
    assert leaving.network.trainable_variables[1].shape == [1, 1, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(levels=0), "glow: `levels` must be a positive integer, got 0"),
        (dict(steps_per_level=1.5), "`steps_per_level` must be a positive integer, got 1.5"),
        (dict(condition_channels=-1), "`condition_channels` must be a positive integer, got -1"),
        (dict(coupling="cubic"), "`coupling` must be one of.*'cubic'"),
        (dict(scale_form="softplus"), "glow: `scale_form` must be one of.*'softplus'"),
        (dict(factor_out="all"), "`factor_out` must be one of.*'all'"),
        (dict(factor_out_scale_form="no"), "`factor_out_scale_form` must be one of.*'no'"),
        (dict(leaves="both"), "`leaves` must be one of.*'both'"),
        (dict(network="dense"), "`network` must be one of.*'dense'"),
        (dict(dtype=tf.int32), "`dtype` must be a floating type"),
        (dict(levels=3), r"height of `image_shape` must halve evenly 3 times.*\(4, 8, 1\)"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        bijectors.Glow((4, 8, 1), **{**SMALL, **arguments})
    assert "\n" not in str(error.value)
