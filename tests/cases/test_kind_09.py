"""Kind 9: the inverse is an inverse."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import numerics, runs, testing, training
from tfp_flows.bijectors import _conditioner
from tfp_flows.evaluation import inverse
from tfp_flows.serving import model_card

SHAPE = (8, 8, 3)


def _trained_long(**settings):
    """A Glow whose networks say as much of extreme images as those of a long training do."""
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=4, hidden_channels=8, seed=1, **settings)
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow, scale=0.03)
    for variable in flow.trainable_variables:
        if "last_kernel" in variable.name:
            variable.assign(3 * variable)
    return tfp_flows.Dequantized(flow)


def test_case_52_extreme_images_come_back():
    extremes = np.stack(list(numerics.extreme_images(SHAPE, np.zeros(SHAPE, np.uint8)).values()))
    before = numerics.inverse_error(_trained_long(scale="exp", input_limit=0.0), extremes)
    assert before.not_finite
    now = numerics.inverse_error(_trained_long(), extremes)
    assert not now.not_finite
    assert now.worst < 0.05


def test_case_52_samples_are_finite_or_counted():
    before = _trained_long(scale="sigmoid", input_limit=0.0)
    draws = before.draws(64, seed=0)
    count = int((~np.isfinite(draws)).any(axis=(1, 2, 3)).sum())
    assert 0 < count < 64
    found = inverse.measured(before, np.zeros([40, *SHAPE], np.uint8), draws)
    assert found["samples"].not_finite >= count
    assert f"{found['samples'].not_finite} of 64 not finite" in inverse.line(found)
    assert np.isfinite(_trained_long().draws(64, seed=0)).all()


@pytest.mark.parametrize("missing", [["input_limit"], ["scale", "input_limit"]])
def test_case_52_a_run_that_was_begun_before_keeps_what_it_had(tmp_path, missing):
    config = tfp_flows.GlowConfig(scale="sigmoid", input_limit=0.0)
    values = dataclasses.asdict(training.TrainingConfig(steps=1))
    saved = runs.RunSpec("glow", config, values, "digits", (8, 8, 1)).to_json()
    for name in missing:
        del saved["model"][name]
    assert runs.RunSpec.from_json(saved).model == config
    new = runs.RunSpec("glow", tfp_flows.GlowConfig(), values, "digits", (8, 8, 1))
    assert (new.model.scale, new.model.input_limit) == ("tanh", 5.0)
    assert runs.RunSpec.from_json(new.to_json()) == new


def test_case_52_evaluations_and_model_cards_say_it(tmp_path):
    """Of a tiny run; that of another step is not said of this one."""
    run = runs.Run(tmp_path / "run")
    found = {
        "noise": numerics.InverseError(0.5, 0.25, 0, 32),
        "samples": numerics.InverseError(float("nan"), float("nan"), 64, 64),
    }
    assert inverse.read(run) is None
    run.evaluation.mkdir(parents=True)
    inverse.write(run.evaluation, found, 7)
    step, kept = inverse.read(run)
    assert step == 7 and str(kept) == str(found)
    said = "in grey levels: noise 0.5; samples 64 of 64 not finite."
    assert inverse.line(kept).endswith(said)
    assert next(line for line in model_card._inverse(run, 7) if line).endswith(said)
    assert list(model_card._inverse(run, 8))[-1].endswith(" (At step 7.)")
    (run.evaluation / inverse.FILE).write_text("{")
    assert inverse.read(run) is None and not list(model_card._inverse(run, 7))


def test_case_53_the_logarithm_is_that_of_the_scale():
    raw = tf.constant([-1e4, -200.0, -102.0, -80.0, -2.0, 0.0, 50.0])
    for dtype in (tf.float32, tf.float64):
        with tf.GradientTape() as tape:
            values = tf.cast(raw, dtype)
            tape.watch(values)
            scale, log_scale, _ = _conditioner.scale_and_shift(
                tf.concat([values, values], 0), "sigmoid", True, "case"
            )
        assert np.isfinite(log_scale).all() and (scale.numpy() > 0).all()
        np.testing.assert_allclose(np.log(scale.numpy().astype(np.float64)), log_scale, rtol=1e-6, atol=1e-7)
        assert np.isfinite(tape.gradient(log_scale, values)).all()
    exact = tf.math.log_sigmoid(tf.cast(raw[3:], tf.float64) + 2)
    np.testing.assert_allclose(log_scale[3:], exact, rtol=1e-12, atol=1e-15)
