"""Models of runs, by one call."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data
from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.runs import Run, RunError, RunSpec, load_model


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
        ("glow", {"num_dequantization_samples": 0}, "`num_dequantization_samples` must be a positive int"),
    ],
)
def test_wrong_settings_are_named(runs, name, settings, message):
    with pytest.raises(UserError, match=message):
        tfp_flows.load(runs / name, **settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("glow", {"hidden_channels": 10**9}),
        ("glow", {"hidden_channels": 3000}),
        ("glow", {"steps_per_level": 10**9}),
        ("glow", {"coupling": "spline", "num_bins": 10**8}),
        ("vae", {"latent_size": 10**8}),
        ("pixelcnn", {"num_resnet": 10**8}),
        ("pixelcnn", {"num_logistic_mix": 10**9}),
    ],
)
def test_sizes_that_a_run_claims_are_checked_before_anything_is_allocated(
    runs, tmp_path, monkeypatch, name, settings
):
    """Its weights are known to be fewer, from the files that hold them."""
    folder = tmp_path / "run"
    shutil.copytree(runs / name, folder)
    values = json.loads((folder / "run.json").read_text())
    values["model"].update(settings)
    (folder / "run.json").write_text(json.dumps(values))
    monkeypatch.setattr(tf, "Variable", None)  # nothing is made
    with pytest.raises(
        RunError, match="run.json: a model of these sizes has .* settings are those of"
    ) as error:
        tfp_flows.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["glow", "vae", "pixelcnn", "vector_flow"])
@pytest.mark.parametrize("given", [0, 7])
def test_no_model_has_fewer_weights_than_what_is_checked(name, given):
    """Of all kinds of networks, couplings and likelihoods: else a good run would be refused."""
    family, shape = registry.family(name), (3,) if name == "vector_flow" else (8, 8, 1)
    kinds = {
        "glow": [
            *({"network": network} for network in ("conv", "highway", "attention", "transformer")),
            {"coupling": "spline", "num_bins": 30},
            {"coupling": "mixture", "num_components": 30},
            {"coupling": "additive", "hidden_channels": 1},
            {"dequantization": "variational", "dequantization_channels": 60, "checkerboard_steps": 3},
        ],
        "vae": [
            {"likelihood": "logistic", "num_mixtures": 500},
            {"architecture": "rosca"},
            {"latent_size": 9},
        ],
        "pixelcnn": [{"num_resnet": 3}, {"num_logistic_mix": 90}],
        "vector_flow": [{"num_steps": 1, "hidden_units": 90}, {"condition_size": given}],
    }
    small = {
        "glow": {"levels": 1, "steps_per_level": 1, "hidden_channels": 8},
        "vae": {"architecture": "small"},
        "pixelcnn": {"num_resnet": 1, "num_hierarchies": 2, "num_filters": 6},
    }
    for kind in kinds[name]:
        config = family.config_class(**{**small.get(name, {}), **kind})
        more = () if name == "vector_flow" else (given,)
        model = family.build(config, shape, family.protocol_class(), *more)
        count = sum(variable.shape.num_elements() for variable in model.variables)
        least = family.least_weights(config, shape, given)
        assert 0 < least <= count, kind


def test_a_new_model_that_no_memory_holds_is_refused_in_one_line():
    glow = tfp_flows.GlowConfig(levels=1, hidden_channels=10**6)
    spec = RunSpec("glow", glow, {}, "digits", (8, 8, 1))
    with pytest.raises(RunError, match="of weights at least, and this machine has") as error:
        spec.check_weights(None, "`run`")
    assert "\n" not in str(error.value)


def test_no_run(tmp_path):
    with pytest.raises(RunError, match="^`run`: no run in .*nothing"):
        tfp_flows.load(tmp_path / "nothing")
