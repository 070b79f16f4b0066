"""Training, evaluation and detectors give the same numbers where the images stay on a disk."""

import csv
import functools
import os
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tests.data.test_copies import write_folder, write_records
from tests.faults.tiny_training import Gaussian
from tfp_flows import data, runs, training
from tfp_flows.checks import UserError

LIMIT = 0.003  # MiB
STEPS = 8


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Names of the same digits as files of each kind."""
    root = tmp_path_factory.mktemp("sources")
    digits = data.load("digits", "train")
    images = np.asarray(digits.images)[:200]
    write_folder(root / "digits", images)
    write_records(root / "digits.tfrecord", images)
    np.savez_compressed(root / "digits.npz", images=images, labels=digits.labels[:200])
    write_folder(root / "other", 255 - images[:60])
    return {
        "folder": f"folder:{root}/digits",
        "tfrecord": f"tfrecord:{root}/*.tfrecord",
        "npz": f"npz:{root}/digits.npz@contrast=0.5",
        "other": f"folder:{root}/other",
    }


def rows(folder):
    """The rows of metrics.csv without the one column that is a time."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]


def check_same_runs(one, other):
    assert rows(one) and rows(one) == rows(other)
    for a, b in zip(*(runs.load_model(runs.Run(each))[0].variables for each in (one, other)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert runs.Run(one).trained_on().digest == runs.Run(other).trained_on().digest


def train(folder, name, image_shape, outliers=None, **where):
    data.clear_cache()
    sets = [data.load(each, split, image_shape=image_shape, **where) for each, split in (
        (name, "train"), (name, "validation"), *([(outliers, "train")] if outliers else []))]  # fmt: skip
    config = training.TrainingConfig(
        steps=STEPS,
        batch_size=12,
        log_every=2,
        checkpoint_every=4,
        validate_every=3,
        outlier_dataset=outliers or "",
    )
    model = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    spec = runs.RunSpec("glow", model, vars(config), name, image_shape, division=data.DIVISION)
    images = [each.images for each in sets]
    training.train(runs.Run(folder), spec, "", *images[:2], False, *images[2:])
    return images


@pytest.mark.parametrize("kind", ["folder", "tfrecord", "npz", "tfds", "outliers"])
def test_losses_and_weights_are_those_in_memory(sources, kind, tmp_path, request):
    where, shape = {}, (8, 8, 1)
    if kind == "tfds":
        where["data_dir"] = request.getfixturevalue("shared_images")
    name = {"tfds": "svhn_cropped@resize=8@luminance", "outliers": sources["folder"]}.get(kind)
    outliers = sources["other"] if kind == "outliers" else None
    train_here = functools.partial(train, name=name or sources[kind], image_shape=shape, outliers=outliers)
    assert all(isinstance(each, np.ndarray) for each in train_here(tmp_path / "here", **where))
    where |= dict(memory_limit_mib=0.001, cache_dir=tmp_path / "cache")
    assert all(isinstance(each, data.Stored) for each in train_here(tmp_path / "there", **where))
    check_same_runs(tmp_path / "here", tmp_path / "there")


FLAGS = [
    *("--levels=1", "--steps_per_level=1", "--hidden_channels=4", "--batch_size=12", "--noprogress"),
    *("--log_every=2", "--checkpoint_every=4", "--validate_every=5", "--steps=20"),
]


def test_a_command_is_killed_and_goes_on_from_the_copy(sources, tmp_path):
    own, other = f"--dataset={sources['folder']}", sources["other"]
    on_disk = [f"--memory_limit_mib={LIMIT}", f"--cache_dir={tmp_path / 'cache'}"]
    here = forked.command("tfp_flows.train", f"--run={tmp_path / 'here'}", own, *FLAGS)
    assert here.returncode == 0, here.stderr
    there = [f"--run={tmp_path / 'there'}", own, *on_disk]
    process = forked.start("tfp_flows.train", *there, *FLAGS)
    while not (tmp_path / "there" / "checkpoints" / "ckpt-4.index").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert "decoded 200 images once" in process.wait().stderr
    reached = len(rows(tmp_path / "there"))
    resumed = forked.command("tfp_flows.train", *there, *FLAGS)
    assert resumed.returncode == 0, resumed.stderr
    assert "decoded" not in resumed.stderr and reached < len(rows(tmp_path / "there"))
    check_same_runs(tmp_path / "here", tmp_path / "there")
    for name, more in (("here", []), ("there", on_disk)):
        run = f"--run={tmp_path / name}"
        end = forked.command("tfp_flows.evaluate", run, f"--datasets={other}", "--noprogress", *more)
        assert end.returncode == 0, end.stderr
        assert ("decoded 60 images once" in end.stderr) == bool(more)
        out = f"--out={tmp_path / name / 'detector'}"
        detect = [run, "--detector=typicality", out, "--allow_unattainable", "--noprogress", *more]
        end = forked.command("tfp_flows.detect", *detect)
        assert end.returncode == 0, end.stderr
    tables = [(tmp_path / n / "evaluation" / "bits_per_dim.csv").read_text() for n in ("here", "there")]
    assert tables[0] == tables[1]
    saved = [tfp_flows.detectors.load(tmp_path / name / "detector") for name in ("here", "there")]
    np.testing.assert_array_equal(*(each.calibration_scores for each in saved))


def test_flags_that_make_no_sense_are_refused(tmp_path):
    end = forked.command(
        "tfp_flows.train", f"--run={tmp_path / 'run'}", "--dataset=digits", "--memory_limit_mib=-1", *FLAGS
    )
    assert end.returncode == 1 and "--memory_limit_mib must be a positive number, got -1.0" in end.stderr


def test_a_copy_that_vanishes_is_one_line(sources, tmp_path):
    where = dict(memory_limit_mib=LIMIT, cache_dir=tmp_path / "cache")
    images = data.load(sources["folder"], "train", **where).images
    os.truncate(images.pieces[0].path, 500)
    with pytest.raises(data.DataError, match="images.npy: was cut short while it was in use$"):
        tfp_flows.fit(Image(), images, steps=3, progress=False)


class Image(tf.Module):
    """A logistic density of each pixel on its own."""

    def __init__(self):
        super().__init__()
        self.loc = tf.Variable(100.0)

    def log_prob(self, x):
        z = (tf.cast(x, tf.float32) - self.loc) / 50.0
        return tf.reduce_sum(-z - 2 * tf.nn.softplus(-z), [1, 2, 3])


@pytest.mark.parametrize("run", [None, "run"])
def test_fit_takes_a_mapped_file(tmp_path, run):
    rng = np.random.default_rng(2)
    points = rng.normal(2.0, 0.5, (90, 2)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    settings = dict(steps=12, batch_size=8, log_every=1, validate_every=5, learning_rate=0.1, progress=False)
    models, histories = [Gaussian(), Gaussian()], []
    for number, (model, values) in enumerate(zip(models, (points, mapped), strict=True)):
        folder = run and tmp_path / f"{run}{number}"
        histories.append(tfp_flows.fit(model, values, values[:9], run=folder, **settings))
    losses = [[row.loss for row in history.rows] for history in histories]
    assert len(losses[0]) == 12 and losses[0] == losses[1]
    assert histories[0].validation[-1].loss == histories[1].validation[-1].loss
    np.testing.assert_array_equal(models[0].loc, models[1].loc)
    broken = np.lib.format.open_memmap(tmp_path / "broken.npy", "w+", np.float32, (90, 2))
    broken[77] = np.nan
    with pytest.raises(UserError, match="`images` has values that are not finite"):
        tfp_flows.fit(Gaussian(), broken, steps=1, progress=False)
