"""A run for the tests of detectors."""

import pytest

import tfp_flows
from tests.detectors.models import DIGITS, SHAPE
from tfp_flows import runs, training


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A Glow trained for a moment."""
    folder = tmp_path_factory.mktemp("detectors") / "run"
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    settings = training.TrainingConfig(steps=4, batch_size=32, validate_every=0)
    spec = runs.RunSpec("glow", config, vars(settings), "digits", SHAPE)
    training.train(runs.Run(folder), spec, "", DIGITS, DIGITS[:32], progress=False)
    return folder
