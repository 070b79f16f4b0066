"""A Glow of splines or mixtures, and with steps at full resolution: built, sampled, trained and loaded."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tfp_flows import bijectors, runs, testing

SMALL = tfp_flows.GlowConfig(
    levels=2, steps_per_level=1, hidden_channels=5, num_bins=3, num_components=2, checkerboard_steps=2
)
X = np.random.default_rng(0).uniform(size=[3, 8, 8, 3]).astype(np.float32)
CONDITION = {"condition": tf.constant(np.random.default_rng(1).normal(size=[3, 2]), tf.float32)}


@pytest.mark.parametrize("coupling", ["affine", "spline", "mixture"])
def test_a_conditional_glow_of_each_coupling(coupling):
    config = dataclasses.replace(SMALL, coupling=coupling)
    flow = tfp_flows.glow(config, X.shape[1:], condition_channels=2)
    testing.perturb(flow, scale=0.05)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.log_prob(X, bijector_kwargs=CONDITION))
    for gradient in tape.gradient(loss, flow.trainable_variables):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    z = flow.bijector.inverse(X, **CONDITION)
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(z), **CONDITION), X, atol=1e-4)
    samples = flow.sample([2, 3], bijector_kwargs=CONDITION, seed=(0, 1))
    assert samples.shape == [2, *X.shape] and np.isfinite(samples).all()
    by_position = bijectors.inverse_by_position(flow.bijector, tf.constant(X), **CONDITION)[1]
    log_det = flow.bijector.inverse_log_det_jacobian(X, event_ndims=3, **CONDITION)
    np.testing.assert_allclose(tf.reduce_sum(by_position, axis=[1, 2, 3]), log_det, rtol=1e-4, atol=1e-2)


def test_steps_at_full_resolution_come_first_and_change_nothing_behind_them():
    plain, more = (
        tfp_flows.glow(dataclasses.replace(SMALL, checkerboard_steps=steps), X.shape[1:]).bijector
        for steps in (0, 2)
    )
    names = [member.name for member in more.bijectors]
    assert names[:6] == [
        f"checkerboard{step}_{kind}" for step in (0, 1) for kind in ("actnorm", "conv1x1", "coupling")
    ]
    assert names[6:] == [member.name for member in plain.bijectors]
    for one, other in zip(plain.bijectors, more.bijectors[6:], strict=True):
        for ours, theirs in zip(one.variables, other.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    x = np.zeros([1, 8, 8, 3], np.float32)
    black = np.broadcast_to((np.indices([8, 8]).sum(0) % 2 == 0)[..., np.newaxis], x.shape[1:])
    for step, transformed in ((0, black), (1, ~black)):
        coupling = more.bijectors[3 * step + 2]
        testing.perturb(coupling)
        assert (((coupling.inverse(x + 1.0) - 1.0).numpy()[0] != 0) == transformed).all()


def test_of_one_channel_there_is_no_1x1_convolution():
    members = tfp_flows.glow(dataclasses.replace(SMALL, checkerboard_steps=1), (8, 8, 1)).bijector.bijectors
    assert [m.name for m in members[:3]] == [
        "checkerboard0_actnorm",
        "checkerboard0_coupling",
        "level0_squeeze",
    ]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_bins", 1, "`num_bins` must be an integer of 2 or more, got 1"),
        ("num_components", 0, "`num_components` must be a positive integer, got 0"),
        ("checkerboard_steps", -1, "`checkerboard_steps` must be an integer of 0 or more, got -1"),
        ("checkerboard_steps", True, "`checkerboard_steps` must be an integer of 0 or more, got True"),
    ],
)
def test_bad_configurations_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **{field: value})
    if value is not True and field != "num_bins":
        with pytest.raises(ValueError, match=f"`{field}` must be a positive integer"):
            bijectors.Glow((8, 8, 1), levels=1, **{field: value})


@pytest.mark.parametrize("coupling", ["spline", "mixture"])
def test_from_the_command_line_and_loaded_again(tmp_path, coupling):
    flags = ["--dataset=digits", "--levels=1", "--steps_per_level=1", "--hidden_channels=4", "--steps=4"]
    flags += ["--batch_size=16", f"--coupling={coupling}", "--num_bins=3", "--num_components=2"]
    flags += ["--checkerboard_steps=1", "--noprogress", f"--run={tmp_path / 'run'}"]
    done = forked.command("tfp_flows.train", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model, _ = runs.load_model(runs.Run(tmp_path / "run"))
    assert (model.flow.config.coupling, model.flow.config.checkerboard_steps) == (coupling, 1)
    images = np.random.default_rng(0).integers(0, 256, size=[4, 8, 8, 1], dtype=np.uint8)
    assert np.isfinite(model.log_prob(images)).all()
