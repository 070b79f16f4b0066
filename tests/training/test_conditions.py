"""`train --condition`: trained, resumed, loaded, evaluated, detected, exported, scored."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tests.training.test_larger_than_memory import check_same_runs
from tfp_flows import data, runs, serving, training

GLOW = ["--levels=1", "--steps_per_level=1", "--hidden_channels=4"]
PIXELCNN = ["--num_resnet=1", "--num_hierarchies=1", "--num_filters=4"]
VAE = ["--architecture=small", "--latent_size=3", "--likelihood=logistic", "--detector=none"]
FLAGS = {
    "glow": ["--condition=label", *GLOW],
    "vae": ["--condition=label", *VAE],
    "pixelcnn": ["--condition=label", *PIXELCNN],
    "lowres": ["--family=glow", "--condition=lowres", *GLOW],
    "autoencoder": ["--family=pixelcnn", "--condition=autoencoder", "--code_size=3", *PIXELCNN],
}
CODED = ("autoencoder", "lowres")  # whose log p is of an image given something of it
SHARED = ["--dataset=digits", "--batch_size=16", "--log_every=2", "--decay=0", "--warmup=0", "--noprogress"]
SHARED += ["--validate_every=4", "--checkpoint_every=4"]


def _train(folder, name, steps, *more):
    family = [] if name in CODED else [f"--family={name}"]
    flags = [*family, *FLAGS[name], *SHARED, f"--steps={steps}", *more]
    return forked.command("tfp_flows.train", f"--run={folder}", *flags)


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=FLAGS)
def trained(request, tmp_path_factory):
    """(what it is, its folder): trained in two goes, then evaluated."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param) / "run"
    for steps in (4, 8):
        result = _train(folder, name, steps, *(["--evaluate_on=noise"] if steps == 8 else []))
        assert result.returncode == 0, result.stderr
    (folder.parent / "said.txt").write_text(result.stdout)
    return name, folder


def test_a_resumed_run_goes_on_to_the_bit(trained, tmp_path):
    name, folder = trained
    result = _train(tmp_path / "again", name, 8)
    assert result.returncode == 0, result.stderr
    check_same_runs(folder, tmp_path / "again")
    assert runs.Run(folder).spec() == runs.Run(tmp_path / "again").spec()


def test_a_run_keeps_what_it_was_given(trained):
    name, folder = trained
    spec, model = runs.Run(folder).spec(), tfp_flows.load(folder)
    train = data.load("digits", "train")
    assert spec.is_density == (name not in CODED)
    if name == "autoencoder":
        assert (spec.classes, spec.code_size) == (None, 3)
        assert model.encode(train.images[:2]).shape == (2, 3)
        return
    if name == "lowres":
        assert (spec.classes, spec.code_size, spec.low_resolution) == (None, 0, True)
        assert model.encode(train.images[:2]).shape == (2, 4, 4, 1)
        return
    assert spec.classes.names == tuple("0123456789")
    assert spec.classes.counts == tuple(np.bincount(train.labels).tolist())
    np.testing.assert_allclose(
        model.mixture_distribution.probs_parameter(), np.bincount(train.labels) / len(train)
    )
    validation = data.load("digits", "validation")
    as_validated = {"num_importance_samples": 1} if name == "vae" else {}
    found = tfp_flows.load(folder, **as_validated).log_prob(validation.images, condition=validation.labels)
    rows = _rows(folder / "metrics.csv")
    expected = np.mean(tfp_flows.bits_per_dim(found, (8, 8, 1)))
    assert float(rows[-1]["validation_bits_per_dim"]) == pytest.approx(expected, rel=1e-5)


def test_the_evaluation_says_what_labels_are_worth(trained):
    name, folder = trained
    said = (folder.parent / "said.txt").read_text()
    rows, model = _rows(folder / "evaluation" / "bits_per_dim.csv"), tfp_flows.load(folder)
    test = data.load("digits", "test")
    bits = tfp_flows.bits_per_dim(model.log_prob(test.images), (8, 8, 1))
    assert float(rows[0]["bits_per_dim"]) == pytest.approx(np.mean(bits), rel=1e-5)
    if name in CODED:
        picture = "reconstructions.png" if name == "autoencoder" else "super_resolution.png"
        assert (folder / "evaluation" / picture).exists() and not rows[0]["accuracy"]
        assert not (folder / "evaluation" / "samples.png").exists()
        told = "a code of each image, of 3 numbers: log p(x | h(x)) is no density of x"
        assert (told if name == "autoencoder" else "log p(x | l(x)) is no density of x") in said
        assert "fooled" not in said and "more likely than" not in said
        return
    accuracy = (model.posterior(test.images).mode().numpy() == test.labels).mean()
    given = tfp_flows.bits_per_dim(model.log_prob(test.images, condition=test.labels), (8, 8, 1))
    assert float(rows[0]["accuracy"]) == pytest.approx(accuracy, abs=1e-9)
    assert float(rows[0]["bits_per_dim_given_label"]) == pytest.approx(np.mean(given), rel=1e-5)
    assert rows[1]["accuracy"] and not rows[2]["accuracy"], "noise has no labels"
    assert f"is right for {accuracy:.1%} of them (the most frequent one: 10." in said
    for picture in ("samples.png", "samples_by_class.png"):
        assert (folder / "evaluation" / picture).stat().st_size > 1000


@pytest.mark.parametrize("trained", ["glow", "autoencoder", "lowres"], indirect=True)
def test_detectors_and_scores_take_it_as_any_other_model(trained, tmp_path):
    _, folder = trained
    out, test = tmp_path / "detector", data.load("digits", "test").images[:20]
    flags = [f"--run={folder}", f"--out={out}", "--detector=typicality", "--max_images=40", "--noprogress"]
    result = forked.command("tfp_flows.detect", *flags)
    assert result.returncode == 0, result.stderr
    table = tmp_path / "table.csv"
    scored = ["--images=digits", f"--out={table}", "--noprogress"]
    result = forked.command("tfp_flows.score", f"--detector={out}", *scored)
    assert result.returncode == 0, result.stderr
    by_detector = _rows(table)
    found = [float(row["log_prob"]) for row in by_detector[:20]]
    np.testing.assert_allclose(found, tfp_flows.load(folder).log_prob(test), rtol=1e-5)
    exported = tmp_path / "exported"
    result = forked.command("tfp_flows.export", f"--run={folder}", f"--out={exported}", f"--detector={out}")
    assert result.returncode == 0, result.stderr
    again = ["--images=digits", f"--out={tmp_path / 'again.csv'}", "--noprogress"]
    result = forked.command("tfp_flows.score", f"--model={exported}", *again)
    assert result.returncode == 0, result.stderr
    for one, other in zip(by_detector, _rows(tmp_path / "again.csv"), strict=True):
        assert float(one["log_prob"]) == pytest.approx(float(other["log_prob"]), rel=1e-5)


def test_the_export_takes_a_class_and_says_which(trained, tmp_path):
    name, folder = trained
    serving.export(runs.Run(folder), tmp_path / "exported")
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    methods = json.loads((tmp_path / "exported" / "signature.json").read_text())["methods"]
    model, test = tfp_flows.load(folder), data.load("digits", "test")
    images, classes = tf.constant(test.images[:5]), tf.constant(test.labels[:5], tf.int32)
    seed = tf.constant(3, tf.int64)
    found = loaded.signatures["serving_default"](images=images)
    np.testing.assert_allclose(found["log_prob"], model.log_prob(images), rtol=1e-5)
    if name == "autoencoder":
        assert "sample" not in methods
        codes = loaded.signatures["encode"](images=images)["codes"]
        np.testing.assert_allclose(codes, model.encode(images), rtol=1e-4, atol=1e-4)
        drawn = loaded.signatures["decode"](codes=codes, seed=seed)["images"]
        np.testing.assert_array_equal(drawn, model.sample(codes, seed=(0, 3)).numpy().astype(np.uint8))
        return
    if name == "lowres":
        assert "sample" not in methods
        low = loaded.signatures["encode"](images=images)["low_resolution"]
        np.testing.assert_array_equal(low, model.encode(images))
        drawn = loaded.signatures["decode"](low_resolution=low, seed=seed)["images"].numpy().astype(int)
        assert abs(drawn - model.sample(low, seed=(0, 3)).numpy()).max() <= 1
        given = loaded.signatures["log_prob_given"](images=images, low_resolution=low[::-1])["log_prob"]
        np.testing.assert_allclose(given, model.log_prob(images, low[::-1]), rtol=1e-5)
        return
    found = loaded.signatures["log_prob_given"](images=images, classes=classes)["log_prob"]
    np.testing.assert_allclose(found, model.log_prob(images, condition=classes), rtol=1e-5)
    probs = loaded.signatures["posterior"](images=images)["probs"]
    np.testing.assert_allclose(probs, model.posterior(images).probs_parameter(), rtol=1e-2, atol=1e-4)
    drawn = loaded.signatures["sample_given"](classes=classes, seed=seed)["images"].numpy().astype(int)
    expected = model.sample(5, seed=(0, 3), condition=classes).numpy()
    assert drawn.shape == (5, 8, 8, 1) and abs(drawn - expected).max() <= 1
    card = (tmp_path / "exported" / "model_card.md").read_text()
    assert "| given | the class of an image: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 |" in card


def test_what_cannot_be_given_is_refused_in_one_line(tmp_path):
    for flags, says in (
        (
            ["--family=vae", "--condition=autoencoder"],
            "--condition=autoencoder is for the families pixelcnn, not for vae",
        ),
        (["--condition=autoencoder"], "--condition=autoencoder is for the families pixelcnn, not for glow"),
        (["--family=vae", "--condition=lowres"], "--condition=lowres is for the families glow, not for vae"),
        (["--condition=label", "--outlier_kinds=noise"], "--outlier_kinds: outliers have no labels"),
        (["--code_size=3"], "--code_size is for --condition=autoencoder"),
        (["--condition=label", "--dataset=photos"], "photos: its images have no labels"),
    ):
        result = forked.command("tfp_flows.train", f"--run={tmp_path / 'run'}", *SHARED, *flags)
        assert result.returncode == 1 and says in result.stderr, result.stderr
        assert result.stderr.strip().count("\n") == 0


def test_a_run_of_other_classes_is_another_run(tmp_path):
    config = training.TrainingConfig(steps=2, batch_size=8)
    glow = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    spec = runs.RunSpec(
        "glow", glow, vars(config), "digits", (8, 8, 1), classes=data.Classes(("a", "b"), (3, 4))
    )
    run = runs.Run(tmp_path / "run")
    run.create(spec, "")
    assert run.spec() == spec
    run.check_same(dataclasses.replace(spec, classes=data.Classes(("a", "b"), (5, 6))), {})
    for classes in (None, data.Classes(("a", "c"), (3, 4))):
        with pytest.raises(runs.RunError, match="classes"):
            run.check_same(dataclasses.replace(spec, classes=classes), {})


def test_labels_of_a_folder_that_is_larger_than_memory(tmp_path):
    """The classes are its subfolders, and training on them the same from a disk and from memory."""
    from PIL import Image

    digits = data.load("digits", "train")
    for i in range(120):
        kind = tmp_path / "digits" / ("even" if digits.labels[i] % 2 == 0 else "odd")
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[i, ..., 0]).save(kind / f"{i:03d}.png")
    folders = [tmp_path / "memory", tmp_path / "disk"]
    limit = ["--memory_limit_mib=0.003", f"--cache_dir={tmp_path / 'cache'}"]
    for folder, more in zip(folders, ([], limit), strict=True):
        result = _train(folder, "glow", 4, f"--dataset=folder:{tmp_path / 'digits'}", *more)
        assert result.returncode == 0, result.stderr
    check_same_runs(*folders)
    assert runs.Run(folders[1]).spec().classes.names == ("even", "odd")
