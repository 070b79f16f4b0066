"""The benchmarks run, at tiny sizes; how fast they find things is no test."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import gpu, memory, peers
from tests import forked
from tfp_flows import data, detectors, runs, training

MODES = ("float32", "tf32", "bfloat16")
ROOT = pathlib.Path(__file__).resolve().parents[2]
FAMILIES = ("glow", "vae", "pixelcnn")
SCRIPTS = {
    "glow.py": (["--peers", "tfp_flows", "floor"], {"glow_train_step", "glow_log_prob"}),
    "training_loop.py": (
        [],
        {f"{f}_{what}" for f in FAMILIES for what in ("training_loop", "input_pipeline")},
    ),
    "detectors.py": ([], {f"detector_{name}" for name in detectors.DETECTORS}),
    "hessian.py": ([], {"hessian_exact", "hessian_hutchinson"}),
    "pixelcnn.py": ([], {"pixelcnn_sample", "pixelcnn_sample_whole", "pixelcnn_train_step"}),
    "hessian_gpu.py": ([], {"hessian_exact_B1", "hessian_hutchinson_B1", "hessian_hutchinson_B2"}),
    "gpu.py": (
        ["--scale=tanh", "--sets", "noise", "--flips", "--weight_decay=0.05", "--samples=20"],
        {
            *(f"gpu_{what}_{mode}" for what in ("product", "train_step", "log_prob") for mode in MODES),
            *("gpu_copy", "gpu_training", "gpu_evaluation"),
        },
    ),
}
PROCESSES = ("glow.py",)  # it measures processes of its own


@pytest.mark.parametrize("script", SCRIPTS)
def test_smoke(script, tmp_path):
    if script in ("gpu.py", "hessian_gpu.py"):
        pytest.importorskip("jax", reason="no JAX: the StableHLO route was not run")
    arguments, names = SCRIPTS[script]
    arguments = ["--smoke", f"--json={tmp_path / 'found.json'}", *arguments]
    if script in PROCESSES:
        command = [sys.executable, f"benchmarks/{script}", *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    else:
        result = forked.command(f"benchmarks.{script.removesuffix('.py')}", *arguments, timeout=900)
    assert result.returncode == 0, result.stderr
    entries = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert {entry["name"] for entry in entries} == names
    assert all(entry["value"] > 0 and "against" in entry and "ratio" in entry for entry in entries)


def test_smoke_of_memory(tmp_path, monkeypatch):
    """Each peer in a process that is forked from one with TensorFlow; a whole one of its own takes long."""

    def output(arguments, python):
        result = forked.command("benchmarks.memory", *arguments)
        assert result.returncode == 0 and python is None, result.stderr
        return result.stdout

    monkeypatch.setattr(memory, "_output", output)
    memory.main(["--smoke", f"--json={tmp_path / 'found.json'}"])
    entries = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in entries] == ["glow_train_memory", "glow_train_memory_reversible"]
    assert all(
        entry["value"] > 0 and entry["against"] == "tfb.Glow" and entry["ratio"] > 0 for entry in entries
    )


class _Instant:
    """A worker whose calls take no time."""

    def __init__(self, name, calls):
        self.name, self._calls = name, calls

    def call(self, operation):
        self._calls.append((self.name, operation))
        return 0.0, 1.0


def test_rounds_go_to_and_fro_and_stop_at_the_end_of_the_time():
    calls = []
    workers = [_Instant(name, calls) for name in "ab"]
    timings = peers.timed(workers, 5)
    assert {name: len(timing["a"]) for name, timing in timings.items()} == dict.fromkeys(peers.OPERATIONS, 5)
    assert [name for name, _ in calls[:8]] == list("aabbbbaa")
    assert [operation for _, operation in calls[:: len(calls) // 3]] == list(peers.OPERATIONS)
    short = peers.timed(workers, 5, end=0.0)
    assert {len(timing["b"]) for timing in short.values()} == {peers.LEAST_ROUNDS}
    assert peers.rounds(short) == "3 of sample, 3 of log_prob, 3 of train_step"


# Trains a folder of programs in two parts while TensorFlow and the package cannot be imported.
WITHOUT_TENSORFLOW = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "tfp_flows", "tensorflow_probability", "tf_keras"):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
from benchmarks import gpu

for steps in ("6", "12"):
    gpu.main(["--run", sys.argv[1], "--rounds=1", "--train_steps", steps])
"""


def test_gpu_training_is_that_of_the_training_loop(tmp_path):
    """The whole way, with a stop in between, gives the weights and losses of `training.train`."""
    pytest.importorskip("jax", reason="no JAX: the StableHLO route was not run")
    programs, restored, live = (tmp_path / name for name in ("programs", "restored", "live"))
    gpu.main(["--lower", str(programs), "--smoke"])
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(programs)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    gpu.main(["--restore", str(programs), "--to", str(restored)])
    spec = runs.Run(restored).spec()
    images = {split: data.load("digits", split).images for split in ("train", "validation")}
    training.train(runs.Run(live), spec, "", images["train"], images["validation"], progress=False)
    (found, step), (expected, _) = (runs.load_model(runs.Run(run)) for run in (restored, live))
    assert step == 12
    for ours, theirs in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)  # a step is 1e-3
    curves = [np.genfromtxt(run / "metrics.csv", delimiter=",", names=True) for run in (restored, live)]
    np.testing.assert_array_equal(curves[0]["step"], curves[1]["step"])
    np.testing.assert_allclose(curves[0]["bits_per_dim"], curves[1]["bits_per_dim"], rtol=1e-5)
    np.testing.assert_allclose(curves[0]["gradient_norm"], curves[1]["gradient_norm"], rtol=1e-4)
