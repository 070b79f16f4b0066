"""Kind 4, of names: a set is what it means, by whatever name; one grammar for all."""

import itertools
import os

import numpy as np
import pytest

from analysis import audit, chapters, detector_candidates, shown
from tests import forked
from tfp_flows import data, detectors, evaluation, runs, score, training
from tfp_flows.models import registry
from tfp_flows.pages import page


def _archive(path, seed=0, train=80, test=20):
    """An archive of images 8x8x1 that are made of the seed."""
    path.parent.mkdir(exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 256, [train + test, 8, 8, 1], np.uint8)
    np.savez(path, train=images[:train], test=images[train:])
    return path


def _spellings(path, monkeypatch):
    """Names of one archive."""
    link = path.with_name("link.npz")
    if not link.exists():
        link.symlink_to(path.name)
    monkeypatch.chdir(path.parent)
    return [
        f"npz:{name}"
        for name in (path.name, f"./{path.name}", path, "link.npz", f"../{path.parent.name}/a.npz")
    ]


def _candidate(run_dataset=None, outliers=""):
    return detector_candidates.Candidate(
        "likelihood", "r", detectors.Likelihood, {}, (), None, run_dataset, outliers
    )


def test_case_21_the_audit_compares_what_names_mean(tmp_path, monkeypatch):
    names = _spellings(_archive(tmp_path / "d" / "a.npz"), monkeypatch)
    other = f"npz:{_archive(tmp_path / 'd' / 'b.npz', 1)}"
    counts = dict.fromkeys([*names, other], 5000)
    for name in names:
        assert audit.warnings(names[0], [other], [_candidate(run_dataset=name)], counts) == []
        (line,) = audit.warnings(names[0], [other], [_candidate(run_dataset=other)], counts)
        assert line == "likelihood: its model was trained on b.npz, not on a.npz."
        lines = audit.warnings(other, [f"{names[0]}@rgb"], [_candidate(outliers=f"noise+{name}")], {})
        assert any("comes from an outlier set" in line for line in lines)
        lines = audit.warnings(f"{names[0]}@resize=9", [f"{name}@resize=9x9"], [], {})
        assert lines == [], "the same pre-processing, spelled in two ways"


def test_case_21_a_set_is_evaluated_once(tmp_path, monkeypatch):
    names = _spellings(_archive(tmp_path / "d" / "a.npz"), monkeypatch)
    assert evaluation.other_names(names[0], [*names, "noise", "x=noise", "tfds:mnist", "mnist"]) == [
        "noise",
        "tfds:mnist",
    ]
    spec = runs.RunSpec("glow", None, {}, names[2], (8, 8, 1))
    found = evaluation.load_sets(spec, [*names, "noise"])
    assert [(s.name, s.split) for s in found] == [
        (names[2], "test"),
        (names[2], "train"),
        ("noise", "test"),
    ]


def test_case_21_a_run_is_resumed_by_another_spelling(tmp_path, monkeypatch):
    names = _spellings(_archive(tmp_path / "d" / "a.npz"), monkeypatch)
    config = registry.family("glow").config_class(levels=1)
    values = {**vars(training.TrainingConfig(steps=2)), "outlier_dataset": f"{names[0]}+noise"}
    spec = runs.RunSpec("glow", config, values, names[0], (8, 8, 1))
    run = runs.Run(tmp_path / "run")
    run.create(spec, None)
    for name in names:
        outliers = {**values, "outlier_dataset": f"{name}+noise"}
        run.check_same(runs.RunSpec("glow", config, outliers, f"mine={name}", (8, 8, 1)), {})
    other = f"npz:{_archive(tmp_path / 'd' / 'b.npz', 1)}"
    for dataset, outliers in ((other, values["outlier_dataset"]), (names[0], other)):
        changed = runs.RunSpec("glow", config, {**values, "outlier_dataset": outliers}, dataset, (8, 8, 1))
        with pytest.raises(runs.RunError, match="was made with other settings"):
            run.check_same(changed, {})


def test_case_22_one_grammar_for_all(tmp_path, make_run):
    """What can be trained on can be scored, by the same name, and the other way round."""
    make_run(tmp_path, "glow")
    detector = f"--detector={tmp_path / 'glow_detector'}"
    for name in ("mine=digits", "photos@luminance@resize=8"):
        out = tmp_path / "s.csv"
        result = forked.command(
            "tfp_flows.score", detector, f"--images={name}", f"--out={out}", "--noprogress"
        )
        assert result.returncode == 0, result.stderr
        loaded = data.load(name, "test", image_shape=(8, 8, 1))
        rows = out.read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == [
            key.split(",")[0].lstrip('"') for key in loaded.keys
        ] or ("photos" in name and len(rows) == len(loaded))
        out.unlink()


def test_case_22_tfds_by_either_name(shared_images):
    shape = (8, 8, 1)
    found = []
    for name in ("mnist@resize=8", "tfds:mnist@resize=8", "digits by hand=mnist@resize=8"):
        loaded = data.load(name, "test", data_dir=shared_images)
        items = list(itertools.islice(data.streams.stream(name, shape, shared_images), 3))
        assert [item.key for item in items] == list(loaded.keys[:3])
        np.testing.assert_array_equal([item.image for item in items], loaded.images[:3])
        found.append((loaded.keys, score._source(name, shared_images, "test"), data.names.identity(name)))
    assert found[0] == found[1] == found[2]


def test_case_23_file_names_are_unique(tmp_path):
    made = page.Page(tmp_path, "title", "lead")
    made.section("s", "s")
    show = shown.Shown(["own=noise"], ["npz:d/x.npz", "npz:d_x.npz", "npz:e/x.npz", "npz:D_x.npz"])
    files = set()
    for name in ("npz:d/x.npz", "npz:d_x.npz", "npz:e/x.npz", "npz:D_x.npz"):
        for _ in range(2):
            label = chapters._file_name(show.label(name))
            files.add(made.data(f"t_{label}", [{"name": name}]).casefold())
    made.data("long" * 100, [{"name": 1}])
    assert len(files) == 8 and len(os.listdir(tmp_path / "tables")) == 9
    for file in files:
        assert any(path.stem.casefold() == file for path in (tmp_path / "tables").iterdir())
