"""Models of runs, by one call."""

import numpy as np
import pytest

import tfp_flows
from tfp_flows import data
from tfp_flows.checks.errors import UserError
from tfp_flows.runs import Run, RunError, load_model


@pytest.mark.parametrize("name", ["glow", "vae", "pixelcnn"])
def test_load_gives_the_trained_model(runs, name):
    images = data.load("digits", "test").images[:5]
    model = tfp_flows.load(runs / name)
    np.testing.assert_array_equal(model.log_prob(images), load_model(Run(runs / name))[0].log_prob(images))
    assert model.run_reference.folder == runs / name


def test_the_protocol_is_given_by_its_settings(runs):
    model = tfp_flows.load(str(runs / "vae"), num_importance_samples=3, noise_seed=4)
    assert model.parameters["num_importance_samples"] == 3 and model.parameters["noise_seed"] == 4
    glow = tfp_flows.load(runs / "glow", num_dequantization_samples=2, bound="importance")
    assert glow.num_samples == 2


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("glow", {"samples": 3}, "`samples` is no setting .* there are num_dequantization_samples, bound"),
        ("pixelcnn", {"samples": 3}, "of how a pixelcnn's .* there are none"),
        ("glow", {"num_dequantization_samples": 0}, "`num_dequantization_samples` must be positive, got 0"),
    ],
)
def test_wrong_settings_are_named(runs, name, settings, message):
    with pytest.raises(UserError, match=message):
        tfp_flows.load(runs / name, **settings)


def test_no_run(tmp_path):
    with pytest.raises(RunError, match="^`run`: no run in .*nothing"):
        tfp_flows.load(tmp_path / "nothing")
