"""Heat maps in exports: the numbers of the detector, listed, and said to be missing where they are."""

import json

import numpy as np
import pytest
from PIL import Image

from tfp_flows import data, detectors, serving
from tfp_flows.runs import Run, load_model
from tfp_flows.serving.exported_model import ExportedModel, ExportedModelError

IMAGES = data.load("digits", "test").images[:5]
HELD_OUT = data.load("digits", "validation").images


@pytest.fixture(scope="module")
def typical(runs):
    """A typicality detector of the Glow, saved."""
    model = load_model(Run(runs / "glow"))[0]
    detector = detectors.Typicality(model).fit(HELD_OUT[:60]).calibrate(HELD_OUT[60:])
    detector.save(runs / "typical")
    return detector


@pytest.fixture(scope="module")
def exported(runs, typical):
    serving.export(Run(runs / "glow"), runs / "mapped", runs / "typical")
    return runs / "mapped"


def test_an_export_gives_the_maps_of_its_detector(exported, typical):
    model = ExportedModel(exported, batch_size=8)
    expected = typical.score_map(IMAGES)
    np.testing.assert_allclose(model.score_map(IMAGES), expected, rtol=1e-3, atol=1e-2)
    assert model.score_map(IMAGES).dtype == np.float32 and model.score_map(IMAGES[:1]).shape == (1, 8, 8)
    assert model.map_scale == pytest.approx(typical.maps.scale)
    assert set(model(IMAGES)) == {"log_prob", "bits_per_dim", "score", "p_value"}  # no map of every image
    described = json.loads((exported / "signature.json").read_text())
    assert described["methods"]["score_map"]["outputs"] == {
        "map": {"dtype": "float32", "shape": [None, 8, 8]}
    }
    assert "`score_map`" in (exported / "model_card.md").read_text()


def test_an_export_takes_pictures(exported, tmp_path):
    model = ExportedModel(exported, batch_size=8)
    for number, image in enumerate(IMAGES[:2]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    np.testing.assert_array_equal(model(paths)["score"], model(IMAGES[:2])["score"])
    np.testing.assert_array_equal(model.score_map(paths[1]), model.score_map(IMAGES[1:2]))
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    with pytest.raises(data.DataError, match="wide.png"):
        model(str(tmp_path / "wide.png"))


def test_an_export_without_maps_says_so(runs):
    out = runs / "unmapped"
    serving.export(Run(runs / "glow"), out, None)
    with pytest.raises(ExportedModelError, match="no heat maps: it was exported without a detector"):
        ExportedModel(out).score_map(IMAGES)


def test_the_map_of_a_score_without_a_model(runs):
    detector = detectors.ForeignPatches((8, 8, 1), num_steps=3, width=4, batch_images=8)
    detector.fit(HELD_OUT[:60]).calibrate(HELD_OUT[60:]).save(runs / "patches")
    serving.export(Run(runs / "glow"), runs / "of_patches", runs / "patches")
    model = ExportedModel(runs / "of_patches", batch_size=8)
    np.testing.assert_allclose(model.score_map(IMAGES), detector.score_map(IMAGES), atol=1e-5)
    np.testing.assert_allclose(model(IMAGES)["score"], detector.score(IMAGES), atol=1e-5)
    np.testing.assert_allclose(model(IMAGES)["p_value"], detector.p_value(IMAGES))
    assert model.map_scale == pytest.approx(detector.maps.scale)
    pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")
    from tfp_flows.serving import run_stablehlo

    run, out = Run(runs / "glow"), runs / "of_patches_stablehlo"
    serving.export(run, out, runs / "patches", export_format="stablehlo", batch_sizes=(4,))
    found = run_stablehlo.Model(out)
    np.testing.assert_allclose(
        found("score_map", images=IMAGES)["map"], detector.score_map(IMAGES), atol=1e-4
    )
    scores = found("serving_default", images=IMAGES)["score"]
    np.testing.assert_allclose(scores, detector.score(IMAGES), atol=1e-4)


def test_as_stablehlo_too(runs, typical):
    pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")
    from tfp_flows.serving import run_stablehlo

    out = runs / "mapped_stablehlo"
    serving.export(Run(runs / "glow"), out, runs / "typical", export_format="stablehlo", batch_sizes=(4,))
    found = run_stablehlo.Model(out)("score_map", images=IMAGES)["map"]
    np.testing.assert_allclose(found, typical.score_map(IMAGES), rtol=1e-3, atol=1e-2)
