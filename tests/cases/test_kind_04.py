"""Kind 4: a run knows its data: held out stays held out, by whatever name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import tfp_flows
from analysis import audit, cache, detector_study
from tests import forked
from tests.detectors.models import gaussian
from tfp_flows import data, detectors, evaluation, runs


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


SMALL = ("--levels=1", "--steps_per_level=1", "--hidden_channels=8", "--batch_size=16", "--noprogress")


def train(folder, *further):
    return forked.command(
        "tfp_flows.train", "--run=run", "--dataset=folder:images", *SMALL, *further, cwd=folder
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of 120 images and a run that was trained on them for a moment."""
    folder = tmp_path_factory.mktemp("trained") / "here"
    write_folder(folder / "images", [f"{i:03d}.png" for i in range(120)])
    done = train(folder, "--steps=2")
    assert done.returncode == 0, done.stderr
    return folder.rename(folder.with_name("there"))  # so that a copy finds the images beside it


@pytest.fixture
def work(trained, tmp_path):
    """A copy of it to spoil."""
    shutil.copytree(trained, tmp_path / "work")
    return tmp_path / "work"


def detect(folder, *further):
    return forked.command(
        "tfp_flows.detect",
        *("--run=run", "--detector=likelihood", "--out=detector", "--allow_unattainable", "--noprogress"),
        *further,
        cwd=folder,
    )


def warnings_in(stderr):
    """What is said after the last progress or notice."""
    return [line for line in stderr.splitlines() if "trained on" in line]


def test_case_15_detect_says_what_changed_and_calibrates_with_nothing_trained_on(work):
    name = f"folder:{work / 'images'}"
    before = split_of(name)
    same = detect(work)
    assert same.returncode == 0 and not warnings_in(same.stderr), same.stderr
    write_folder(work / "images", [f"new{i}.png" for i in range(3)], seed=1)
    added = sum(split_of(name)[f"new{i}.png"] == "train" for i in range(3))
    assert added  # else this is no test of it
    found = detect(work)
    assert found.returncode == 0, found.stderr
    (said,) = warnings_in(found.stderr)
    num_train = sum(split == "train" for split in before.values())
    assert (
        f"{added} of {num_train + added} are new, and 0 of the {num_train} that were trained on are gone"
        in said
    )
    known = runs.Run(work / "run").trained_on()
    assert not known.holds(data.load(name, "calibration").images).any()
    assert known.holds(data.load(name, "train").images).sum() == num_train


def test_case_15_a_renamed_file_that_was_trained_on_calibrates_nothing(work):
    name = f"folder:{work / 'images'}"
    split = split_of(name)
    write_folder(work / "images", [f"x{i}.png" for i in range(200)])
    new_name = next(key for key, of in split_of(name).items() if of == "calibration" and key not in split)
    for i in range(200):
        (work / "images" / f"x{i}.png").unlink()
    old_name = next(key for key, of in split.items() if of == "train")
    (work / "images" / old_name).rename(work / "images" / new_name)
    assert split_of(name)[new_name] == "calibration"
    found = detect(work)
    count = sum(of == "calibration" for of in split.values())
    changed, left_out = warnings_in(found.stderr)
    num_train = sum(of == "train" for of in split.values())
    assert f"0 of {num_train - 1} are new, and 1 of the {num_train} that were trained on are gone" in changed
    assert f"1 of the {count + 1} calibration images of" in left_out and "left out" in left_out
    assert len(detectors.load(work / "detector").calibration_scores) == count


def test_case_15_a_copy_of_the_training_images_calibrates_nothing(work):
    run = runs.Run(work / "run")
    images = data.load(f"folder:{work / 'images'}", "train").images
    np.savez(work / "copy.npz", images=images)
    detector = detectors.Likelihood(gaussian(shape=(8, 8, 1)))
    spec = dataclasses.replace(run.spec(), dataset=f"folder:{work / 'images'}")
    with pytest.raises(detectors.DetectorError, match="were trained on: none is left"):
        detectors.fit_and_calibrate(
            detector, spec, calibrate_on=f"npz:{work / 'copy.npz'}", trained_on=[run.trained_on()]
        )


def test_images_that_the_detector_is_fitted_to_calibrate_nothing(work):
    name = f"folder:{work / 'images'}"
    fitted_to, others = (data.load(name, split).images for split in ("validation", "test"))
    np.savez(work / "copy.npz", images=np.concatenate([fitted_to, others]))
    detector = detectors.Likelihood(gaussian(shape=(8, 8, 1)))
    spec = dataclasses.replace(runs.Run(work / "run").spec(), dataset=name)
    with pytest.warns(
        data.DataWarning,
        match="are among those that the detector is fitted to, and are left out",
    ):
        used = detectors.fit_and_calibrate(detector, spec, calibrate_on=f"npz:{work / 'copy.npz'}")
    assert used.calibration == len(detector.calibration_scores) == len(others)


def test_case_16_files_that_are_gone_are_said_when_training_goes_on(work):
    split = split_of(f"folder:{work / 'images'}")
    for i in range(50):
        (work / "images" / f"{i:03d}.png").unlink()
    kept = sum(split[f"{i:03d}.png"] == "train" for i in range(50, 120))
    all_of_them = sum(of == "train" for of in split.values())
    refused = train(work, "--steps=4")
    assert refused.returncode == 1
    change = (
        f"0 of {kept} are new, and {all_of_them - kept} of the {all_of_them} that were trained on are gone"
    )
    (error,) = [line for line in refused.stderr.splitlines() if line.startswith("error:")]
    assert f"error: --run: run was trained on other images: {change}." in error
    assert "--allow_changed_images goes on" in error
    assert json.loads((work / "run" / "run.json").read_text())["training"]["steps"] == 2
    allowed = train(work, "--steps=4", "--allow_changed_images")
    assert allowed.returncode == 0 and "Trained to step 4" in allowed.stdout, allowed.stderr
    assert any(change in line for line in allowed.stderr.splitlines())
    again = train(work, "--steps=4")  # the run's images are these now
    assert again.returncode == 0 and not warnings_in(again.stderr), again.stderr
    known = runs.Run(work / "run").trained_on()
    assert len(known.images) == kept and len(known.earlier) == all_of_them - kept


def test_case_16_fit_goes_on_with_the_same_arrays_alone(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), np.uint8)

    def fit(values, steps, **settings):
        config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
        model = tfp_flows.Dequantized(tfp_flows.glow(config, (4, 4, 1)))
        return tfp_flows.fit(
            model, values, steps=steps, batch_size=8, run=tmp_path / "run", progress=False, **settings
        )

    fit(images, 2)
    fit(images, 3)
    with pytest.raises(runs.RunError, match="10 of 40 are new, and 10 of the 40 .* gone.*`allow_changed"):
        fit(np.concatenate([images[10:], images[:10] // 2]), 4)
    with pytest.raises(runs.RunError, match="40 were trained on and 40 are there, in another order"):
        fit(images[::-1], 4)
    with pytest.warns(data.DataWarning, match="0 of 30 are new, and 10 of the 40"):
        fit(images[:30], 4, allow_changed_images=True)


def test_runs_made_before_keep_their_division(work):
    """Without the fields of run.json, and the file: as version 0.1 wrote it."""
    values = json.loads((work / "run" / "run.json").read_text())
    assert values["division"] == 2 and len(values.pop("trained_on")) == 64
    del values["division"]
    (work / "run" / "run.json").write_text(json.dumps(values))
    (work / "run" / "trained_on.npz").unlink()
    run, name = runs.Run(work / "run"), f"folder:{work / 'images'}"
    assert run.spec().division == 1 and run.trained_on() is None
    sets = evaluation.load_sets(dataclasses.replace(run.spec(), dataset=name), [])
    assert sets[1].keys == data.load(name, "train", division=1, max_images=len(sets[0])).keys
    assert detect(work).returncode == 0
    first = detectors.load(work / "detector").calibration_scores
    held_out = data.load(name, "calibration", division=1)
    assert held_out.keys != data.load(name, "calibration").keys
    scores = detectors.load(work / "detector").score(held_out.images)
    np.testing.assert_allclose(np.sort(scores), first, rtol=1e-5)
    resumed = train(work, "--steps=3")
    assert resumed.returncode == 0 and not warnings_in(resumed.stderr), resumed.stderr
    values = json.loads((work / "run" / "run.json").read_text())
    assert values["division"] == 1 and len(values["trained_on"]) == 64  # it says from here on
    assert run.trained_on().holds(data.load(name, "train", division=1).images).all()


@pytest.fixture
def foreign(tmp_path):
    """Names of 50 images in a folder and in an archive, and of archives and folders divided by the user."""
    write_folder(tmp_path / "whole", [f"{i}.png" for i in range(50)], seed=9)
    write_folder(
        tmp_path / "divided", [f"{split}/{i}.png" for split in ("train", "test") for i in range(20)]
    )
    images = np.zeros((50, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "whole.npz", images=images)
    np.savez(tmp_path / "divided.npz", train=images[:30], test=images[30:])
    np.savez(tmp_path / "train.npz", train=images[:30])
    return tmp_path


def test_case_18_a_set_that_is_only_judged_on_is_used_whole(foreign):
    named = {
        f"folder:{foreign / 'whole'}": ("all", 50),
        f"npz:{foreign / 'whole.npz'}": ("all", 50),
        f"npz:{foreign / 'train.npz'}": ("all", 30),
        f"folder:{foreign / 'divided'}": ("test", 20),
        f"npz:{foreign / 'divided.npz'}": ("test", 20),
        "noise": ("test", 1000),
    }
    spec = runs.RunSpec("glow", None, {}, "digits", (8, 8, 1))
    own, train, *sets = evaluation.load_sets(spec, list(named))
    assert (own.split, train.split) == ("test", "train")
    assert {s.name: (s.split, len(s)) for s in sets} == named


def test_case_18_of_the_runs_own_source_its_test_images_are_judged_on(foreign):
    name = f"folder:{foreign / 'whole'}"
    spec = runs.RunSpec("glow", None, {"outlier_dataset": f"npz:{foreign}/whole.npz+noise"}, name, (8, 8, 1))
    own, _, contrast, outliers = evaluation.load_sets(
        spec, [f"{name}@contrast=0.5", f"npz:{foreign}/../{foreign.name}/whole.npz"]
    )
    assert contrast.keys == own.keys and contrast.split == outliers.split == "test"
    assert outliers.keys == data.load(f"npz:{foreign}/whole.npz", "test").keys


def test_case_18_and_19_the_table_says_n_of_n(work, foreign):
    whole, other = f"folder:{foreign / 'whole'}", f"npz:{foreign / 'divided.npz'}"
    found = forked.command(
        "tfp_flows.evaluate",
        *("--run=run", f"--datasets={whole},{other}", "--num_samples=0", "--noprogress"),
        cwd=work,
    )
    assert found.returncode == 0 and not warnings_in(found.stderr), found.stderr
    lines = {tuple(line.split()[1:3]) for line in found.stdout.splitlines() if len(line.split()) > 3}
    assert {("all", "50"), ("test", "20")} <= lines
    sample = forked.command(
        "tfp_flows.evaluate",
        *("--run=run", f"--datasets={whole}", "--max_images=12", "--num_samples=0", "--noprogress"),
        cwd=work,
    )
    (line,) = [line for line in sample.stdout.splitlines() if "all" in line.split()]
    assert line.split()[1:5] == ["all", "12", "of", "50"]
    assert "a fixed random sample" in sample.stdout


def test_case_15_evaluate_says_which_images_were_trained_on(work):
    shutil.copytree(work / "images", work / "copy")
    num_train = sum(of == "train" for of in split_of(f"folder:{work / 'images'}").values())
    found = forked.command(
        "tfp_flows.evaluate",
        *("--run=run", "--datasets=folder:copy", "--num_samples=0", "--noprogress"),
        cwd=work,
    )
    assert found.returncode == 0, found.stderr
    (said,) = warnings_in(found.stderr)
    assert f"{num_train} of the 120 images of folder:copy (all) were trained on" in said


def test_case_19_detect_says_of_what_its_samples_are(work):
    found = detect(work, "--max_images=2")
    name = f"folder:{work / 'images'}"
    counts = [len(data.load(name, split)) for split in ("validation", "calibration")]
    assert (
        f"fixed random samples of {counts[0]} validation and {counts[1]} calibration images" in found.stdout
    )


def test_case_18_analyses_judge_on_all_of_a_set_that_no_run_knows(foreign, tmp_path):
    whole = f"folder:{foreign / 'whole'}"
    study = detector_study.DetectorStudy("digits", (8, 8, 1), cache.Cache(tmp_path / "cache"))
    assert len(study.images(whole, detector_study.TEST, None)) == 50
    assert len(study.images("digits", detector_study.TEST, None)) == 360
    knows = detector_study.DetectorStudy("digits", (8, 8, 1), cache.Cache(tmp_path / "cache"), [whole])
    assert knows.images(whole, detector_study.TEST, None).keys == data.load(whole, "test").keys


def test_case_15_the_audit_of_detectors_says_which_held_out_images_were_trained_on(work, tmp_path):
    run, name = runs.Run(work / "run"), f"folder:{work / 'images'}"
    study = detector_study.DetectorStudy(name, (8, 8, 1), cache.Cache(tmp_path / "cache"))
    assert list(audit.images_trained_on(study, [run])) == []
    old = detector_study.DetectorStudy(name, (8, 8, 1), cache.Cache(tmp_path / "cache"), division=1)
    lines = list(audit.images_trained_on(old, [run]))
    for line, split in zip(lines, ("validation", "calibration"), strict=True):
        held_out = data.load(name, split, division=1).keys
        count = sum(split_of(name)[key] == "train" for key in held_out)
        assert line.startswith(
            f"{count} of the {len(held_out)} {split} images of images were trained on by run"
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_case_20_keys_of_medmnist_are_understood(tmp_path, channels):
    """`train_images`, `val_images`, `test_images`, and labels [N, 1]; grey images are [N, H, W]."""
    rng = np.random.default_rng(0)
    counts, arrays = {"train": 40, "val": 7, "test": 9}, {}
    for name, count in counts.items():
        images = rng.integers(0, 256, [count, 6, 5, channels], np.uint8)
        arrays[f"{name}_images"] = images[..., 0] if channels == 1 else images
        arrays[f"{name}_labels"] = rng.integers(0, 9, [count, 1], np.uint8)
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    name = f"npz:{tmp_path / 'bloodmnist.npz'}"
    test, validation = data.load(name), data.load(name, "validation")
    np.testing.assert_array_equal(test.images, arrays["test_images"].reshape(9, 6, 5, channels))
    np.testing.assert_array_equal(test.labels, arrays["test_labels"][:, 0])
    order = np.argsort([int(key.split(":")[1]) for key in validation.keys])
    np.testing.assert_array_equal(validation.labels[order], arrays["val_labels"][:, 0])
    train, calibration = data.load(name, "train"), data.load(name, "calibration")
    assert len(validation) == 7 and len(train) + len(calibration) == 40
    assert all(key.startswith("train_images:") for key in (*train.keys, *calibration.keys))
