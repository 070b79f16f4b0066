"""Paths and names survive, or are refused before any work."""

import types

import pytest

from tfp_flows import data, detectors, runs, serving
from tfp_flows.checks import UserError
from tfp_flows.detectors import saving


@pytest.mark.parametrize("character", list("[]*?\\"))
def test_case_29_what_tensorflow_takes_for_a_pattern_is_refused_first(tmp_path, character):
    """Where it would write, and then find nothing; the message names the argument and the character."""
    path = tmp_path / f"a{character}b"
    reached = []
    model = types.SimpleNamespace(event_shape=(8, 8, 1), log_prob=reached.append)
    for argument, call in {
        "run": lambda: runs.Run(path),
        "out": lambda: serving.export(None, path),
        "model": lambda: serving.ExportedModel(path),
        "data_dir": lambda: data.load("mnist", data_dir=path),
    }.items():
        with pytest.raises(
            UserError, match=f"`{argument}`: .* which TensorFlow takes for a pattern"
        ) as error:
            call()
        assert repr(character) in str(error.value) and "\n" not in str(error.value)
    detector = detectors.Likelihood(model)
    with pytest.raises(UserError, match="`out`: .* pattern"):
        saving.save(detector, path)
    assert not reached and not list(tmp_path.iterdir())
