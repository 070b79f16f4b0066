"""Which detectors an export takes, and which model they look at."""

import types

import pytest

import tfp_flows
from tfp_flows import data, detectors, serving
from tfp_flows.runs import Run, RunError, load_model
from tfp_flows.serving import exporting


def test_a_detector_keeps_the_protocol_that_it_was_calibrated_with(runs, tmp_path):
    images = data.load("digits", "validation").images[:40]
    other = tfp_flows.load(runs / "glow", num_dequantization_samples=2)
    detectors.Likelihood(other).fit(images[:20]).calibrate(images[20:]).save(tmp_path / "other")
    model, _ = load_model(Run(runs / "glow"))
    assert exporting.detector_of(tmp_path / "other", model).models[0].num_samples == 2
    detectors.Likelihood(model).fit(images[:20]).calibrate(images[20:]).save(tmp_path / "same")
    assert exporting.detector_of(tmp_path / "same", model).models[0] is model


def test_a_detector_of_another_shape_is_refused(runs, tmp_path, monkeypatch):
    model, _ = load_model(Run(runs / "glow"))
    without_model = types.SimpleNamespace(
        check_exportable=lambda: None, models=[], needs_model=False, image_shape=(28, 28, 1)
    )
    monkeypatch.setattr(detectors, "load", lambda path: without_model)
    with pytest.raises(detectors.DetectorError, match=r"is for images \(28, 28, 1\), and the model for"):
        exporting.detector_of(tmp_path, model)


def test_what_cannot_be_exported(runs, tmp_path):
    run = Run(runs / "glow")
    model, _ = load_model(run)
    images = data.load("digits", "validation").images[:30]
    detectors.GradientNorms(model).fit(images).save(tmp_path / "slow")
    with pytest.raises(detectors.DetectorError, match="gradient_norms: .* cannot be exported"):
        serving.export(run, tmp_path / "out", tmp_path / "slow")
    with pytest.raises(detectors.DetectorError, match=r"is of .*vae, not of .*glow"):
        serving.export(run, tmp_path / "out", runs / "vae_detector")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is no export"):
        serving.export(run, tmp_path / "mine")
    assert {path.name for path in tmp_path.iterdir()} == {"slow", "mine"}
