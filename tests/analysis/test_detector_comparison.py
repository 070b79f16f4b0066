"""The comparison of detectors: its metrics, its warnings, its page, its cache."""

import csv
import json
import re

import numpy as np
import pytest
import sklearn.metrics

import tfp_flows
from analysis import audit, cache, detector_candidates, detector_study, published, separation
from analysis.errors import AnalysisError
from tests import forked
from tests.pages import browser, walk
from tfp_flows import data, detectors, training
from tfp_flows.runs import Run, RunSpec, load_model

SHAPE = (8, 8, 1)


def test_metrics_against_brute_force_with_ties_and_infinity():
    rng = np.random.default_rng(0)
    own, foreign = rng.integers(0, 6, 80).astype(float), rng.integers(2, 9, 50).astype(float)
    foreign[:3] = np.inf
    found = separation.separation(own, foreign, num_bootstrap=100)
    pairs = foreign[:, np.newaxis] - own
    pairs = np.where(np.isposinf(foreign)[:, np.newaxis], 1.0, pairs)
    assert found.auroc.value == pytest.approx(np.mean(pairs > 0) + np.mean(pairs == 0) / 2)
    thresholds = np.unique(np.r_[own, foreign])[::-1]
    rates = [((foreign >= t).mean(), (own >= t).mean()) for t in thresholds]
    assert found.fpr_at_95_tpr.value == pytest.approx(min(f for t, f in rates if t >= 0.95))
    precision = [(foreign >= t).sum() / ((foreign >= t).sum() + (own >= t).sum()) for t in thresholds]
    recall = np.diff([0, *((foreign >= t).mean() for t in thresholds)])
    assert found.average_precision.value == pytest.approx(np.dot(recall, precision))
    for value, low, high in (found.auroc, found.average_precision, found.fpr_at_95_tpr):
        assert low <= value <= high and high - low < 0.5
    assert found == separation.separation(own, foreign, num_bootstrap=100)


def test_bootstrap_interval_is_as_wide_as_it_should_be():
    """Against the standard error of the AUROC of two normals (Hanley and McNeil 1982)."""
    rng = np.random.default_rng(1)
    own, foreign = rng.normal(0, 1, 300), rng.normal(1, 1, 300)
    found = separation.separation(own, foreign).auroc
    a = found.value
    variance = a * (1 - a) + 299 * (a / (2 - a) - a**2) + 299 * (2 * a**2 / (1 + a) - a**2)
    expected = 2 * 1.96 * (variance / 300**2) ** 0.5
    assert 0.75 < (found.high - found.low) / expected < 1.25
    assert found.value == pytest.approx(
        sklearn.metrics.roc_auc_score(np.repeat([0, 1], 300), np.r_[own, foreign])
    )


def test_published_numbers_name_detectors_and_sources():
    for number in published.NUMBERS:
        assert number.detector in detectors.DETECTORS and number.source in published.SOURCES
        assert 0 <= number.auroc <= 1 and number.who
    waic = [n.auroc for n in published.numbers("waic", *published.CIFAR10)]
    assert waic == [1.000, 0.143, 0.760], "the authors' first, then the re-runs"


def _candidate(**changes):
    values = dict(
        title="t", run="r", kind=detectors.Likelihood, settings={}, runs=(), limit=None, run_dataset="own"
    )
    return detector_candidates.Candidate(**{**values, **changes})


@pytest.mark.parametrize(
    ("own", "foreign", "candidate", "message"),
    [
        (
            "cifar10",
            "fashion_mnist@resize=32",
            {},
            "fashion_mnist@resize=32 is resized and the other set is not",
        ),
        ("mnist@pad=32", "svhn", {}, "mnist@pad=32 is padded or cropped"),
        ("cifar10", "mnist@rgb", {}, "mnist@rgb has @rgb and the other set has not"),
        ("other", "x", {}, "its model was trained on own, not on other"),
        ("own", "photos@resize=8", {"outliers": "noise+photos"}, "comes from an outlier set"),
        ("own", "x", {"outliers": "photos"}, "not label-free"),
    ],
)
def test_audit_warns(own, foreign, candidate, message):
    lines = audit.warnings(own, [foreign], [_candidate(**candidate)], {})
    assert any(message in line for line in lines), lines


def test_audit_is_silent_where_all_is_well_and_counts_images():
    good = _candidate()
    assert audit.warnings("own@resize=8", ["x@resize=8"], [_candidate(run_dataset="own@resize=8")], {}) == []
    assert audit.warnings("own", ["x"], [good], {"own": 5000, "x": 999}) == [
        "x: 999 test images only; mind the width of the intervals."
    ]


def _train(folder, **settings):
    config = tfp_flows.GlowConfig(
        levels=1, steps_per_level=1, hidden_channels=4, seed=settings.get("seed", 0)
    )
    values = training.TrainingConfig(**{"steps": 6, "batch_size": 32, "validate_every": 0, **settings})
    spec = RunSpec("glow", config, vars(values), "digits", SHAPE)
    images = data.load("digits", "train").images
    outliers = images[:100] if values.outlier_dataset else None
    training.train(Run(folder), spec, "", images, images[:32], False, outliers)
    return Run(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base, an ensemble, two backgrounds and an outlier-exposed run, trained for a moment."""
    folder = tmp_path_factory.mktemp("comparison")
    _train(folder / "base")
    _train(folder / "seed1", seed=1)
    for rate in (0.1, 0.3):
        _train(folder / f"background_{rate}", mutation_rate=rate)
    _train(folder / "exposed", outlier_dataset="photos@luminance@resize=8")
    return folder


def _compare(folder, *arguments):
    flags = ["--in=digits", "--noprogress", "--nocritics", "--max_images=40"]
    flags += [f"--runs={folder / 'base'}", f"--report={folder / 'report'}"]
    return forked.command("analysis.detectors", *flags, *arguments, timeout=900)


def test_command_page_and_cache(runs):
    arguments = [
        f"--ensemble={runs / 'base'},{runs / 'seed1'}",
        f"--backgrounds={runs / 'background_0.1'},{runs / 'background_0.3'}",
        f"--outlier_exposed={runs / 'exposed'}",
        "--slow_images=12",
        "--jacobian_images=8",
    ]
    result = _compare(runs, "--out=noise,noise", *arguments)
    assert result.returncode == 0, result.stderr
    assert "Warning: outlier exposure: not label-free" in result.stdout
    out = runs / "report"
    with open(out / "tables" / "detectors_noise.csv", newline="", encoding="utf-8") as file:
        rows = {row["score"]: row for row in csv.DictReader(file)}
    assert len(rows) == 17 and list(rows)[:2] == ["likelihood", "typicality"]
    assert rows["outlier exposure"]["label-free"] == "no" and rows["WAIC"]["label-free"] == "yes"
    assert rows["gradient norms"]["own images"] == "12"
    html = (out / "index.html").read_text(encoding="utf-8")
    assert "no oracle" in html and "M = 25" in html and "not AUROC" in html
    figures = [path.name for path in (out / "figures").glob("*.png") if "-dark" not in path.name]
    assert len(re.findall(r'<img src="data:image/(?:png|svg[+]xml);', html)) == len(figures) > 3
    _walk_through(out / "index.html")
    assert json.loads((out / "results.json").read_text())["typicality"]
    _check_against_the_library(runs, rows["typicality"], detectors.Typicality)
    _check_against_the_library(runs, rows["default"], detectors.Default)
    files = {path: path.stat().st_mtime_ns for path in (out / "cache").iterdir()}
    again = _compare(runs, "--out=noise", *arguments)
    assert again.stdout.splitlines()[-2:] == result.stdout.splitlines()[-2:]
    assert {path: path.stat().st_mtime_ns for path in (out / "cache").iterdir()} == files


def _walk_through(page):
    path = browser.find()
    if path is not None:  # tests/pages say where there is none
        with browser.started(path) as opened:
            walk.everywhere(opened, page.as_uri())


def _check_against_the_library(runs, row, kind):
    """As `tfp_flows.detect` fits it: the default to training images besides."""
    model, _ = load_model(Run(runs / "base"))
    sets = {s: data.load("digits", s, max_images=40).images for s in ("validation", "calibration", "test")}
    training_images = data.load("digits", "train", max_images=kind.most_training_images or None).images
    detector = kind(model).fit(sets["validation"], training_images=training_images)
    detector.calibrate(sets["calibration"])
    noise = data.load("noise", "test", image_shape=SHAPE, max_images=40).images
    own, foreign = detector.score(sets["test"]), detector.score(noise)
    assert float(row["AUROC"]) == pytest.approx(np.mean(own[:, np.newaxis] < foreign))
    assert float(row["false alarms"]) == pytest.approx(detector.predict(sets["test"]).mean())
    assert float(row["detected"]) == pytest.approx(detector.predict(noise).mean())


def test_likelihood_and_typicality_share_what_they_ask_of_the_model(runs, tmp_path, monkeypatch):
    base = Run(runs / "base")
    study = detector_study.DetectorStudy("digits", SHAPE, cache.Cache(tmp_path))
    found = detector_candidates.candidates(
        detector_candidates.Roles((base,)), detector_candidates.Limits(None, 4, 4), SHAPE
    )
    likelihood, typicality = found[:2]
    study.result(likelihood, "noise")
    monkeypatch.setattr(detector_study.DetectorStudy, "build", lambda *_: pytest.fail("computed again"))
    assert study.result(typicality, "noise").separation.auroc.value > 0.5


def test_runs_that_do_not_fit_their_part(runs):
    base, seed = Run(runs / "base"), Run(runs / "seed1")
    limits = detector_candidates.Limits()

    def refused(message, **roles):
        with pytest.raises(AnalysisError, match=message) as error:
            detector_candidates.candidates(detector_candidates.Roles((base,), **roles), limits, SHAPE)
        assert "\n" not in str(error.value)

    refused("at least two runs", ensemble=(base,))
    refused("the same seed", ensemble=(base, base))
    refused("without `mutation_rate`", backgrounds=(seed,))
    refused("without `outlier_dataset`", outlier_exposed=(seed,))


def test_command_refuses_nothing_to_compare(runs):
    result = _compare(runs, "--out=digits")
    assert result.returncode == 1 and "at least one run and one set other than --in" in result.stderr
