"""Commands start TensorFlow with oneDNN, on every x86 processor; whoever says otherwise is heard."""

import os
import pathlib
import platform
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="elsewhere TensorFlow decides")
@pytest.mark.parametrize(("asked", "expected"), [(None, True), ("0", False)])
def test_convolutions_are_those_of_onednn(tmp_path, asked, expected):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment["ONEDNN_VERBOSE"] = "1"  # it then prints what it computes
    if asked is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = asked
    sizes = ["--levels=1", "--steps_per_level=1", "--hidden_channels=8", "--batch_size=8", "--steps=1"]
    command = [sys.executable, "-m", "tfp_flows.train", f"--run={tmp_path / 'run'}", "--dataset=digits"]
    result = subprocess.run(
        [*command, *sizes, "--validate_every=0", "--noprogress"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert ("cpu,convolution" in result.stdout) == expected
