"""Kind 4: a run knows its data: held out stays held out, by whatever name."""

import os

import numpy as np
import pytest
from PIL import Image

from analysis import audit, chapters, detector_study, page, shown
from tests import forked
from tfp_flows import data, detectors, evaluation, runs, training
from tfp_flows.models import registry


def write_folder(root, names, seed=0):
    """Tiny images of noise, one of each name."""
    rng = np.random.default_rng(seed)
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(file)
    return f"folder:{root}"


def split_of(name):
    """The split of each key."""
    return {key: split for split in data.SPLITS for key in data.load(name, split).keys}


def test_case_15_a_files_split_depends_on_the_file_alone(tmp_path):
    name = write_folder(tmp_path, [f"{i:03d}.png" for i in range(120)])
    before = split_of(name)
    assert len(before) == 120
    write_folder(tmp_path, [f"new{i}.png" for i in range(3)], seed=1)
    after = split_of(name)
    assert len(after) == 123 and {key: after[key] for key in before} == before
    for i in range(50):
        (tmp_path / f"{2 * i:03d}.png").unlink()
    assert split_of(name).items() <= after.items()


@pytest.mark.parametrize("train, validation", [("train", "val"), ("Training", "DEV")])
def test_case_17_train_and_val_without_test(tmp_path, train, validation):
    """The validation images are the user's, test and calibration are taken off the training images."""
    files = [f"{train}/{i}.png" for i in range(100)] + [f"{validation}/{i}.png" for i in range(9)]
    splits = split_of(write_folder(tmp_path, files))
    assert set(splits) == set(files)
    of_the_user = {key for key, split in splits.items() if split == "validation"}
    assert of_the_user == {key for key in files if key.startswith(validation)}
    assert {splits[key] for key in files if key.startswith(train)} == {"train", "calibration", "test"}


def test_case_17_train_and_test_in_any_case(tmp_path):
    """The user's test images are not trained on."""
    files = [f"Train/{i}.png" for i in range(60)] + [f"Test/{i}.png" for i in range(20)]
    splits = split_of(write_folder(tmp_path, files))
    assert {key for key, split in splits.items() if split == "test"} == set(files[60:])


@pytest.mark.parametrize("other", ["cats/1.png", "1.png", "Train/1.png", "tests/1.png", "val_images/1.png"])
def test_case_17_what_nearly_fits_is_refused_with_what_was_found(tmp_path, other):
    name = write_folder(tmp_path, [*(f"train/{i}.png" for i in range(60)), other])
    for split in data.SPLITS:
        with pytest.raises(data.DataError, match=r"looks divided.* found .*train/ \(60\)") as error:
            data.load(name, split)
        assert "\n" not in str(error.value)


@pytest.fixture
def sorted_archive(tmp_path):
    """2,000 images in the order of their grey level."""
    levels = np.sort(np.random.default_rng(0).integers(0, 256, 2000)).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (2000, 8, 8, 1))
    np.savez(tmp_path / "sorted.npz", test=images, train=images[:3])
    return f"npz:{tmp_path / 'sorted.npz'}"


def test_case_19_max_images_is_a_fixed_sample_of_a_sorted_set(sorted_archive):
    whole = data.load(sorted_archive, "test")
    sample = data.load(sorted_archive, "test", max_images=500)
    assert sample.count == "500 of 2,000"
    means = [image_set.images[:, 0, 0, 0].astype(float).mean() for image_set in (whole, sample)]
    error = whole.images[:, 0, 0, 0].std() * np.sqrt(1 / 500 - 1 / 2000)
    assert abs(means[1] - means[0]) < 3 * error  # the first 500 are 20 such errors off
    smaller = data.load(sorted_archive, "test", max_images=100)
    assert smaller.keys == sample.keys[:100]
    again = data.load(sorted_archive, "test", max_images=500)
    np.testing.assert_array_equal(again.images, sample.images)


TINY = ["--levels=1", "--steps_per_level=1", "--hidden_channels=4", "--batch_size=16", "--warmup=0"]
QUIET = ["--noprogress", "--parts=1"]


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
    return detector_study.Candidate(
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
    for name in ("digits", "mine=digits", "noise", "constant=7", "photos@luminance@resize=8"):
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


def test_case_22_tfds_by_either_name(tmp_path, shared_images, make_run):
    make_run(tmp_path, "glow")
    tables = []
    for name in ("mnist@resize=8", "tfds:mnist@resize=8"):
        loaded = data.load(name, "test", data_dir=shared_images, max_images=3)
        assert loaded.keys == data.load("mnist", "test", data_dir=shared_images, max_images=3).keys
        out = tmp_path / f"{len(tables)}.csv"
        result = forked.command(
            "tfp_flows.score",
            f"--detector={tmp_path / 'glow_detector'}",
            f"--images={name}",
            f"--data_dir={shared_images}",
            f"--out={out}",
            "--noprogress",
        )
        assert result.returncode == 0, result.stderr
        tables.append(out.read_text())
    assert tables[0] == tables[1] and len(tables[0].splitlines()) > 1000


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
