"""The Glow of another library, weights and all, is one of ours."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import ports

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_tfb_glow():
    expected, found = ports.compared("tfb.Glow", ports.QUICK)
    # So few nats that a wrong log-determinant would show among the latents' squares.
    assert abs(expected).max() < 1e5 and np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("field", ["leaves", "factor_out_scale"])
def test_every_field_of_the_config_matters(field, monkeypatch):
    """With the default in the place of one field, the weights give other log-probabilities."""
    config = {key: value for key, value in ports.CONFIGS["tfb.Glow"].items() if key != field}
    monkeypatch.setitem(ports.CONFIGS, "tfb.Glow", config)
    expected, found = ports.compared("tfb.Glow", ports.QUICK)
    assert abs(found / expected - 1).max() > 1e-3


def test_normflows():
    """By the script, in a process of its own: PyTorch brings threads that others need not share."""
    if not all(importlib.util.find_spec(package) for package in ("torch", "normflows")):
        pytest.skip("no PyTorch or normflows: its Glow was not compared")
    command = [sys.executable, "benchmarks/ports.py", "--quick"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    blocks = re.findall(
        r"^(\S+): GlowConfig.*\n.*its own \[([^]]*)\]\n.*ours +\[([^]]*)\]\n.*difference (\S+)$",
        result.stdout,
        re.MULTILINE,
    )
    assert [name for name, *_ in blocks] == ["tfb.Glow", "normflows"]
    for _, own, ours, difference in blocks:
        own, ours = (np.array(text.split(), float) for text in (own, ours))
        np.testing.assert_allclose(ours, own, rtol=1e-6)
        assert abs(own).max() < 1e5 and np.ptp(own) > 1
        assert float(difference) < 1e-9
