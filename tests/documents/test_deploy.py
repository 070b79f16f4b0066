"""The code of the page on deploying: it runs on exports made as the page says."""

from contextlib import chdir

import numpy as np
import pytest

from tests.documents import pages
from tfp_flows import data, detectors, serving
from tfp_flows.runs import Run

PAGE = pages.DOCS / "deploy.md"
IMAGES = data.load("digits", "test").images[:5]


def test_onnx_and_tensorflow_lite(make_run, tmp_path):
    for package in ("onnx", "onnxruntime", "tf2onnx", "ai_edge_litert"):
        pytest.importorskip(package, reason=f"no {package}: nothing was exported")
    make_run(tmp_path, "glow")
    for export_format, out in (("onnx", "exported"), ("tflite", "phone")):
        serving.export(
            Run(tmp_path / "glow"), tmp_path / out, tmp_path / "glow_detector", export_format=export_format
        )
    (code,) = pages.blocks(PAGE, "python")
    names = {"images": IMAGES}
    with chdir(tmp_path):
        exec(
            code.replace('\nrun(images=images)["p_value"]', '\nfound = run(images=images)["p_value"]'), names
        )
    detector = detectors.load(tmp_path / "glow_detector")
    np.testing.assert_allclose(names["score"], detector.score(IMAGES), atol=1e-3)
    for p_value in (names["p_value"], names["found"]):
        np.testing.assert_allclose(p_value, detector.p_value(IMAGES), atol=2 / 71)
    assert names["session"].get_modelmeta().custom_metadata_map["alpha"] == "0.05"
