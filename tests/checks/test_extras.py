"""What only some of the toolkit needs may be missing, and is asked for by the name of its extra."""

import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from tfp_flows import detectors, scoring, serving
from tfp_flows.checks.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPTIONAL = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
EXTRAS = {"codecs": "imagecodecs", "parquet": "pyarrow", "stablehlo": "safetensors"}
OF_FILES = ("onnx", "tflite")  # their words are in tests/serving/test_one_file.py
OF_SEVERAL = ("onnxruntime", "tf2onnx", "onnx", "ai_edge_litert", "apache_beam", "pyspark")
IMPORT_ALL = """
import importlib, pathlib, sys

for name in sys.argv[1].split(","):
    sys.modules[name] = None  # it cannot be imported
for path in sorted(pathlib.Path("tfp_flows").rglob("*.py")):
    if path.name not in ("beam.py", "beam_job.py", "__main__.py"):
        importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
"""


class _Model:
    event_shape = (8, 8, 1)

    def log_prob(self, images):
        raise NotImplementedError


def _needs(extra, tmp_path):
    if extra == "codecs":
        detectors.InputComplexity(_Model(), "jpegls")
    elif extra == "parquet":
        job = scoring.Job("folder:x", "model", 0.05)
        scoring.score_stream(None, None, tmp_path / "scores.parquet", job, progress=False)
    else:
        serving.stablehlo.Bundle()


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_extra_is_named_where_its_package_is_missing(monkeypatch, tmp_path, extra):
    (requirement,) = OPTIONAL[extra]
    assert requirement.startswith(f"{EXTRAS[extra]}>=")
    for name in [name for name in sys.modules if name.split(".")[0] == EXTRAS[extra]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, EXTRAS[extra], None)
    with pytest.raises(UserError, match=re.escape(f'pip install "tfp-flows[{extra}]"')):
        _needs(extra, tmp_path)
    assert not list(tmp_path.iterdir())


def test_all_and_test_hold_them():
    assert OPTIONAL["all"] == [f"tfp-flows[{','.join(sorted([*EXTRAS, *OF_FILES]))}]"]
    assert "tfp-flows[all]" in OPTIONAL["test"]


def test_every_module_is_imported_without_them():
    command = [sys.executable, "-c", IMPORT_ALL, ",".join([*EXTRAS.values(), *OF_SEVERAL])]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
