"""The benchmarks run, at tiny sizes; how fast they find things is no test."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FAMILIES = ("glow", "vae", "pixelcnn")
SCRIPTS = {
    "glow.py": (["--peers", "tfp_flows", "floor"], {"glow_train_step", "glow_log_prob"}),
    "memory.py": ([], {"glow_train_memory"}),
    "training_loop.py": (
        [],
        {f"{f}_{what}" for f in FAMILIES for what in ("training_loop", "input_pipeline")},
    ),
    "hessian.py": ([], {"hessian_exact", "hessian_hutchinson"}),
    "pixelcnn.py": ([], {"pixelcnn_sample", "pixelcnn_sample_whole", "pixelcnn_train_step"}),
    "hessian_gpu.py": ([], {"hessian_exact_B1", "hessian_hutchinson_B1", "hessian_hutchinson_B2"}),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_smoke(script, tmp_path):
    if script == "hessian_gpu.py":
        pytest.importorskip("jax", reason="no JAX: the StableHLO route was not run")
    arguments, names = SCRIPTS[script]
    command = [sys.executable, f"benchmarks/{script}", "--smoke", f"--json={tmp_path / 'found.json'}"]
    result = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    entries = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert {entry["name"] for entry in entries} == names
    assert all(entry["value"] > 0 and "against" in entry and "ratio" in entry for entry in entries)
