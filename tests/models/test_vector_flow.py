"""A flow over vectors: any size, scale and condition, from data's normal distribution to a run's folder."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import tfp_flows
from tfp_flows import bijectors, runs, testing
from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.models.vectors import FAMILY, VectorFlowConfig

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=[3, 3])
OFFSET = np.array([3e4, -1e-3, 0.0])
UNITS = np.array([50.0, 1e-6, 1e6])


def _points(count=500, seed=1):
    """Vectors of three columns, whose units differ by twelve orders of magnitude."""
    draws = np.random.default_rng(seed).normal(size=[count, 3]) @ MIXING.T
    return (OFFSET + draws * UNITS).astype(np.float32)


def _normal_log_prob(points):
    factor = np.linalg.cholesky(UNITS[:, None] * (MIXING @ MIXING.T) * UNITS)
    return tfd.MultivariateNormalTriL(OFFSET, factor).log_prob(points.astype(np.float64)).numpy()


@pytest.mark.parametrize("size, coupling", [(2, "affine"), (3, "affine"), (3, "spline"), (5, "mixture")])
def test_log_prob_is_that_of_the_change_of_variables(size, coupling):
    flow = tfp_flows.vector_flow(size, num_steps=2, hidden_units=8, coupling=coupling, dtype="float64")
    testing.perturb(flow.bijector, 0, 0.3)
    x = tf.constant(np.random.default_rng(0).normal(size=[5, size]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = flow.bijector.inverse(tf.identity(x))
    _, log_det = np.linalg.slogdet(tape.batch_jacobian(z, x))
    expected = -0.5 * (z.numpy() ** 2).sum(1) - 0.5 * size * np.log(2 * np.pi) + log_det
    np.testing.assert_allclose(flow.log_prob(x), expected, rtol=1e-9)
    assert np.ptp(log_det) > 1e-3, "the volume depends on x"
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(z)), x, atol=1e-6)
    assert flow.sample([2, 3], seed=0).shape == (2, 3, size)


def test_it_begins_as_the_normal_distribution_of_vectors_of_any_scale():
    flow = tfp_flows.vector_flow(3, num_steps=3, hidden_units=8)
    FAMILY.initialize(flow, _points(20_000))
    points = _points(200, seed=2)
    np.testing.assert_allclose(flow.log_prob(points), _normal_log_prob(points), atol=0.25)
    z = flow.bijector.inverse(tf.identity(points)).numpy()
    np.testing.assert_allclose((flow.bijector.forward(tf.identity(z)) - points) / UNITS, 0.0, atol=1e-3)
    samples = flow.sample(20_000, seed=1).numpy()
    np.testing.assert_allclose(samples.std(0) / UNITS, np.linalg.norm(MIXING, axis=1), 0.05)


def test_columns_of_one_value_have_no_density():
    points = np.concatenate([_points(), np.full([500, 1], 7.0, np.float32)], axis=1)
    with pytest.raises(UserError, match=r"1 of 4 hold one alone \(columns 3\), whose density is infinite"):
        tfp_flows.fit(tfp_flows.vector_flow(4, num_steps=1), points, steps=1, progress=False)


def test_a_condition_reaches_every_coupling():
    flow = tfp_flows.vector_flow(3, num_steps=2, hidden_units=8, condition_size=2, dtype="float64")
    testing.perturb(flow.bijector, 0, 0.3)
    x, h = np.random.default_rng(0).normal(size=[4, 3]), np.random.default_rng(1).normal(size=[4, 2])
    found = flow.log_prob(x, bijector_kwargs={"condition": h})
    one_by_one = [flow.log_prob(x[i], bijector_kwargs={"condition": h[i]}) for i in range(4)]
    np.testing.assert_allclose(found, one_by_one)
    assert np.abs(found - flow.log_prob(x, bijector_kwargs={"condition": h[::-1]})).min() > 1e-6
    by_name = {f"step{i}_coupling": {"condition": tf.constant(h)} for i in range(2)}
    np.testing.assert_allclose(flow.log_prob(x, bijector_kwargs=by_name), found)
    assert flow.sample([5, 4], seed=0, bijector_kwargs={"condition": h}).shape == (5, 4, 3)
    for given, message in (
        ({}, "every call needs a `condition` of condition_size=2"),
        ({"condition": h[:, :1]}, "must have shape"),
        ({"condition": h, "step0_coupling": {}}, "not both"),
    ):
        with pytest.raises(UserError, match=message):
            flow.log_prob(x, bijector_kwargs=given)
    with pytest.raises(UserError, match="condition_size=0"):
        tfp_flows.vector_flow(3, 1, dtype="float64").log_prob(x, bijector_kwargs={"condition": h})
    flow.bijector.copy().inverse(x, condition=h)


def test_actnorms_are_initialised_with_the_condition():
    flow = tfp_flows.vector_flow(3, num_steps=2, hidden_units=8, condition_size=2, dtype="float64")
    testing.perturb(flow.bijector, 0, 0.3)
    x, h = np.random.default_rng(0).normal(size=[50, 3]), np.random.default_rng(1).normal(size=[50, 2])
    z = bijectors.initialize_actnorms(flow.bijector, tf.constant(x), condition=h)
    np.testing.assert_allclose(z, flow.bijector.inverse(tf.constant(x), condition=h))
    white = flow.bijector.bijectors[0].inverse(tf.constant(x)).numpy()
    np.testing.assert_allclose((white.mean(0), white.std(0)), ([0] * 3, [1] * 3), atol=1e-5)


def test_a_heavy_tail_is_learned_by_a_student_t():
    points = np.random.default_rng(0).standard_t(1.5, [3_000, 2]).astype(np.float32)
    held_out = np.random.default_rng(1).standard_t(1.5, [3_000, 2]).astype(np.float32)
    losses = {}
    for prior in ("normal", "student_t"):
        flow = tfp_flows.vector_flow(2, num_steps=1, hidden_units=4, prior=prior)
        settings = dict(steps=200, learning_rate=0.02, batch_size=256, validate_every=200, ema_decay=0.9)
        history = tfp_flows.fit(flow, points, held_out, progress=False, **settings)
        losses[prior] = history.validation[-1].loss
        assert np.isfinite(flow.log_prob(1e6 * held_out)).all()
    assert losses["student_t"] < losses["normal"] - 0.7


def test_a_run_of_it_goes_on_and_is_loaded(tmp_path):
    def fit(steps):
        flow = tfp_flows.vector_flow(3, num_steps=2, hidden_units=8, prior="student_t", seed=4)
        tfp_flows.fit(flow, _points(), steps=steps, run=tmp_path / "run", progress=False, ema_decay=0.9)
        return flow

    fit(4)
    flow = fit(8)
    spec = runs.Run(tmp_path / "run").spec()
    expected = VectorFlowConfig(num_steps=2, hidden_units=8, prior="student_t", seed=4)
    assert (spec.family, spec.model, spec.image_shape) == ("vector_flow", expected, (3,))
    loaded = tfp_flows.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.log_prob(_points(20)), flow.log_prob(_points(20)))
    assert loaded.preparation is None and loaded.event_shape == [3]
    detector = tfp_flows.detectors.Default(loaded).fit(_points(300, 5)).calibrate(_points(100, 6))
    detector.save(tmp_path / "detector")
    again = tfp_flows.detectors.load(tmp_path / "detector")
    assert again.models[0].vector_config == expected, "the model is a reference to the run"
    np.testing.assert_allclose(again.score(_points(20)), detector.score(_points(20)), rtol=1e-6)


def test_one_with_a_prior_or_network_of_its_own_begins_as_the_others_and_is_rebuilt_by_its_maker(tmp_path):
    prior = tfd.Normal(tf.Variable(tf.zeros([3])), 1.0)
    flow = tfp_flows.vector_flow(3, num_steps=1, hidden_units=4, prior=prior)
    settings = dict(steps=1, learning_rate=1e-9, validate_every=1, progress=False)
    history = tfp_flows.fit(flow, _points(), _points(seed=2), run=tmp_path / "run", **settings)
    expected = -_normal_log_prob(_points(seed=2)).mean()
    assert 3 * history.validation[-1].loss == pytest.approx(expected, abs=0.1)
    with pytest.raises(UserError, match="its model belongs to no family"):
        tfp_flows.load(tmp_path / "run")


def test_what_is_no_vector_flow_is_refused():
    for arguments, message in (
        ({"size": 1}, "`size` must be at least 2"),
        ({"size": 2, "num_steps": 0}, "`num_steps` must be a positive integer"),
        ({"size": 2, "coupling": "cubic"}, "`coupling` must be one of"),
        ({"size": 2, "prior": "cauchy"}, "`prior` must be one of"),
        ({"size": 3, "prior": tfd.Normal(tf.zeros([2]), 1.0)}, "`prior` must be scalar with batch shape"),
        ({"size": 2, "dtype": "foo"}, "vector_flow: `dtype` must be a floating type, got 'foo'"),
        ({"size": 2, "dtype": "float16"}, "`dtype` must be one of"),
        ({"size": 2, "condition_size": -1}, "`condition_size` must be an integer of 0 or more"),
    ):
        with pytest.raises(UserError, match=message):
            tfp_flows.vector_flow(**arguments)
    with pytest.raises(UserError, match="events must be vectors"):
        bijectors.ConditionedChain([bijectors.Squeeze()])


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("shape", [[5, 3], [3]])
def test_a_conditioned_chain_in_a_reversible_one_has_the_ordinary_gradients(inverse, shape):
    inner = tfp_flows.vector_flow(4, 2, 8, condition_size=3, dtype="float64").bijector
    testing.perturb(inner, 0, 0.3)
    x, condition = (tf.constant(np.random.default_rng(0).normal(size=size)) for size in ([5, 4], shape))
    found = []
    for reversible in (False, True):
        outer = bijectors.FusedChain([bijectors.ActNorm(4, dtype="float64"), inner], reversible=reversible)
        function = outer.inverse_and_log_det if inverse else outer.forward_and_log_det
        with tf.GradientTape() as tape:
            tape.watch([x, condition])
            value, log_det = function(tf.identity(x), vector_flow={"condition": condition})
            loss = tf.reduce_sum(value**3) + tf.reduce_sum(log_det**2)
        found.append(tape.gradient(loss, [x, condition, *inner.trainable_variables]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9)


def test_first_weights_follow_from_the_seed_and_differ_from_step_to_step():
    first, same, other = (tfp_flows.vector_flow(4, 2, 8, seed=seed) for seed in (0, 0, 1))
    for one, two in zip(first.trainable_variables, same.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [
        b.weight.numpy() for f in (first, other) for b in f.bijector.bijectors if hasattr(b, "weight")
    ]
    for one, two in itertools.combinations(kernels, 2):
        assert np.abs(one - two).max() > 0.1
    assert registry.family_of(first) is FAMILY
    assert "vector_flow" not in registry.names(), "the commands are for images"
