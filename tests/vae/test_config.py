"""The VAE's settings: checked where they are made, and known without TensorFlow."""

import dataclasses
import subprocess
import sys

import pytest

from vae import config, likelihoods


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (config.VAEConfig, {"latent_size": 0}, "`latent_size` must be a positive integer, got 0."),
        (config.VAEConfig, {"num_mixtures": 1.5}, "`num_mixtures` must be a positive integer, got 1.5."),
        (
            config.VAEConfig,
            {"architecture": "big"},
            "`architecture` must be one of rosca, small, got",
        ),
        (
            config.VAEConfig,
            {"likelihood": "normal"},
            "`likelihood` must be one of categorical, logistic, bernoulli, got 'normal'.",
        ),
        (config.VAEConfig, {"dtype": "float16"}, "`dtype` must be one of float32, float64, got 'float16'."),
        (
            config.VAEProtocol,
            {"num_importance_samples": 0},
            "`num_importance_samples` must be a positive integer,",
        ),
        (config.VAEProtocol, {"noise_seed": -1}, "`noise_seed` must be an integer of 0 or more, got -1."),
    ],
)
def test_mistakes_name_the_argument(kind, settings, message):
    with pytest.raises(ValueError) as caught:
        kind(**settings)
    assert str(caught.value).startswith(message)


def test_there_is_a_likelihood_for_each_name():
    assert tuple(likelihoods.LIKELIHOODS) == config.LIKELIHOODS
    choices = {field.name: field.metadata.get("choices") for field in dataclasses.fields(config.VAEConfig)}
    assert choices["likelihood"] == config.LIKELIHOODS and choices["architecture"] == ("rosca", "small")


@pytest.mark.parametrize("package", ["vae", "pixelcnn"])
def test_settings_need_no_tensorflow(package):
    code = f"import sys, {package}, {package}.config; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", ["vae", "pixelcnn"])
def test_commands_start_quietly(package):
    command = [sys.executable, "-m", f"{package}.train", "--helpfull"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert "--num_" in found.stdout and found.stderr == ""
