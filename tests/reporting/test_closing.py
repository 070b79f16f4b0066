"""How a command that evaluated a run ends: a table, a picture, five lines, each from the run's numbers."""

import dataclasses
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data, detectors, evaluation, reporting
from tfp_flows import runs as runs_room
from tfp_flows.pages import pictures
from tfp_flows.reporting import closing, closing_words, run_detector
from tfp_flows.reporting.evaluated import Evaluated, bits_of

ALPHA = 0.05


def row(label, bits, auroc=None, low=None, high=None, split="test", step=7):
    return evaluation.Row(label, split, 100, bits, 0.01, -bits, auroc, low, high, step=step)


def judged(label, scores, num_foreign):
    flags = np.arange(len(scores)) < num_foreign
    return types.SimpleNamespace(label=label, scores=np.asarray(scores), foreign=flags, alpha=ALPHA)


@pytest.fixture
def run(tmp_path):
    return runs_room.Run(tmp_path / "a run")


def evaluated(
    run, rows, judged=(), dataset="fashion_mnist_small", num_calibration=500, is_density=True, **more
):
    spec = types.SimpleNamespace(dataset=dataset, family="glow", is_density=is_density)
    name = "default" if judged else ""
    return Evaluated(run, spec, rows, {}, judged, name, num_calibration=num_calibration, **more)


OWN = row("clothes", 4.0)
DIGITS = row("digits", 2.5, 0.2, 0.18, 0.22)
GREY = row("grey", 3.0, 0.45, 0.4, 0.49)
NEAR = row("near", 4.0, 0.49, 0.45, 0.53)  # its interval holds 0.5
NOISE = row("noise", 9.0, 1.0, 1.0, 1.0)
SEEN = [
    judged("clothes", range(100), 6),
    judged("digits", range(90, 120), 9),
    judged("noise", [200.0] * 5, 5),
]


def test_what_the_likelihood_prefers_is_said_with_its_numbers(run):
    found = evaluated(run, [OWN, NOISE, GREY, NEAR, DIGITS])
    assert [each.dataset for each in found.likelier] == ["digits", "grey"]
    first = closing_words.lines(found, "p.png")[0]
    assert "fooled: the model was trained on clothes and finds digits likelier" in first
    assert "2.50 against 4.00 bits/dim, in 80% of pairs" in first and "So are grey (3.00)." in first
    assert "noise" not in first and "near" not in first


def test_where_it_is_not_fooled_or_nothing_was_compared_that_is_said(run):
    first = closing_words.lines(evaluated(run, [OWN, NOISE, NEAR]), "p.png")[0]
    assert "not fooled" in first and "clothes" in first
    assert "--evaluate_on" in closing_words.lines(evaluated(run, [OWN]), "p.png")[0]


def test_means_that_say_the_contrary_are_said_to_be_means(run):
    """An AUROC is of pairs, a mean may be of a few images: both are said, and neither as the other."""
    odd = dataclasses.replace(DIGITS, bits_per_dim=4.5)
    first = closing_words.lines(evaluated(run, [OWN, odd]), "p.png")[0]
    assert "likelier in 80% of pairs" in first and "not on average, 4.50 against 4.00 bits/dim" in first
    fewer = dataclasses.replace(NOISE, dataset="few", bits_per_dim=3.0, auroc=0.7)
    first = closing_words.lines(evaluated(run, [OWN, NOISE, fewer]), "p.png")[0]
    assert "not fooled" in first and "On average few has fewer bits, 3.00 against 4.00 bits/dim" in first
    assert "in 30% of pairs only." in first and "noise" not in first
    near = dataclasses.replace(NEAR, bits_per_dim=3.9)
    assert "is not sure" in closing_words.lines(evaluated(run, [OWN, near]), "p.png")[0]


def test_a_code_s_likelihood_is_not_called_fooled(run):
    first = closing_words.lines(evaluated(run, [OWN, DIGITS], is_density=False), "p.png")[0]
    assert "fooled" not in first and "no density of images" in first


def test_likelihood_and_detector_are_compared_on_the_same_images(run):
    """Of a set that is larger than what the detector judges, -log p too is that of these images."""
    bits = {"clothes": np.arange(100.0), "digits": np.concatenate([np.zeros(50), np.full(50, 200.0)])}
    chosen = {"clothes": np.arange(60), "digits": np.arange(40, 80)}
    spec = types.SimpleNamespace(dataset="x", family="glow", is_density=True)
    seen = [judged("clothes", range(60), 3), judged("digits", range(40), 3)]
    found = Evaluated(run, spec, [OWN, DIGITS], bits, seen, "default", num_calibration=500, chosen=chosen)
    header, _, digits = closing_words.table(found)
    assert digits.split()[1] == f"{(10 * (0.5 / 60) + 30) / 40:.3f}" != f"{DIGITS.auroc:.3f}"
    assert "(60 of a set at most)" in header


def test_what_is_judged_of_a_large_set_is_what_is_compared(monkeypatch):
    monkeypatch.setattr(closing, "MOST_JUDGED", 7)
    digits = data.load("digits", "test")
    rows, sets = [row("a", 1.0), row("b", 1.0, 0.5)], [digits, digits.select(np.arange(5))]
    picked = closing._picked(sets, rows)
    assert len(picked["a"]) == 7 and picked["b"].tolist() == list(range(5))
    seen = []
    monkeypatch.setattr(closing, "judge", lambda _, some, *rest: seen.extend(some))
    closing._judged(None, sets, rows, picked, False)
    np.testing.assert_array_equal(seen[0].images, digits.images[picked["a"]])
    assert closing._picked([sets[1]] * 2, rows) == {}


def test_the_detector_stands_beside_the_likelihood(run):
    found = evaluated(run, [OWN, DIGITS, NOISE], SEEN)
    pairs = np.arange(90, 120)[:, None] - np.arange(100)[None]
    area = np.mean((np.sign(pairs) + 1) / 2)
    np.testing.assert_allclose(found.areas["digits"], area, rtol=1e-12)
    header, rule, digits, noise = closing_words.table(found)
    assert header.split()[-3:] == ["the", "detector", "(default)"] and set(rule) == {"-", " "}
    assert digits.split() == ["digits", "0.200", f"{area:.3f}"] and noise.split() == [
        "noise",
        "1.000",
        "1.000",
    ]
    assert len({len(line) for line in (header, rule, digits, noise)}) == 1
    second = closing_words.lines(found, "p.png")[1]
    assert f"tells digits from them with AUROC {area:.3f}" in second and "hardly" not in second
    assert "6.0% of their test split foreign, 5% are expected" in second


def test_a_detector_that_hardly_tells_a_set_says_so(run):
    seen = [SEEN[0], judged("digits", range(20, 100), 4), SEEN[2]]
    found = evaluated(run, [OWN, DIGITS, NOISE], seen)
    second = closing_words.lines(found, "p.png")[1]
    assert f"It hardly tells digits ({found.areas['digits']:.2f})." in second


def test_scores_that_are_no_numbers_count_as_the_strangest(run):
    seen = [judged("clothes", range(100), 6), judged("digits", [np.nan, np.inf, 50.0], 2)]
    np.testing.assert_allclose(evaluated(run, [OWN, DIGITS], seen).areas["digits"], (1 + 1 + 0.505) / 3)


def test_too_few_calibration_images_are_said_and_not_a_rate(run):
    second = closing_words.lines(evaluated(run, [OWN, DIGITS], SEEN[:2], num_calibration=9), "p.png")[1]
    assert "9 calibration images cannot give a p-value of 0.05" in second and "6.0%" not in second


def test_without_a_detector_it_says_why_and_how_to_make_one(run):
    found = evaluated(run, [OWN, DIGITS], why_none="too few images.")
    assert closing_words.table(found) == []
    second = closing_words.lines(found, "p.png")[1]
    assert "(too few images)" in second
    assert f"tfp_flows.detect --run='{run.folder}' --out='{run.folder / 'detector'}'" in second


def test_there_are_five_lines_and_the_last_two_are_to_be_typed(run):
    found = evaluated(run, [OWN, DIGITS, NOISE], SEEN)
    lines = closing_words.lines(found, "there/summary.png")
    assert len(lines) == 5 and not any("\n" in line for line in lines)
    assert lines[2].endswith("there/summary.png") and "draws" not in lines[2]
    assert "tfp_flows.evaluate" in lines[3] and "--dataset=folder:GOOD" in lines[4]
    run.folder.mkdir()
    run.flags_file.touch()
    assert f"--flagfile='{run.flags_file}' --report" in closing_words.lines(found, "")[3]
    (run.folder / "report").mkdir()
    (run.folder / "report" / "index.html").touch()
    assert "tfp_flows.export" in closing_words.lines(found, "")[3]
    own = evaluated(run, [OWN], dataset="folder:good@resize=8", drawn=np.zeros([1, 2, 2, 1], np.uint8))
    assert "GOOD" not in closing_words.lines(own, "")[4] and "draws" in closing_words.lines(own, "")[2]


def test_samples_are_kept_with_the_step_of_their_model(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [5, 4, 4, 3], dtype=np.uint8)
    assert evaluation.read_samples(tmp_path, 3) is None
    evaluation.samples.write_samples(tmp_path, images, 3, "title")
    np.testing.assert_array_equal(evaluation.read_samples(tmp_path, 3), images)
    assert evaluation.read_samples(tmp_path, 4) is None  # of a model that was trained further since
    (tmp_path / "samples.npz").write_bytes((tmp_path / "samples.npz").read_bytes()[:60])
    assert evaluation.read_samples(tmp_path, 3) is None


def test_the_picture_has_a_row_for_each_set_over_the_same_numbers():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [9, 8, 8, 1], dtype=np.uint8)
    shown = [
        pictures.SetShown("clothes", images, rng.normal(4, 0.5, 300)),
        pictures.SetShown("digits", images, rng.normal(2.5, 0.3, 200), "AUROC\n0.1"),
        pictures.SetShown("noise", images, rng.normal(90, 0.1, 200), "AUROC\n1.0"),
    ]
    how = pictures.styles(each.label for each in shown)
    figure = pictures.summary_figure(shown, how, images, "title")
    strips = [axes for axes in figure.axes if axes.images]
    numbers = [axes for axes in figure.axes if not axes.images]
    assert len(strips) == 4 and len(numbers) == 3  # the last strip is what the model draws
    assert len({axes.get_xlim() for axes in numbers}) == 1 and numbers[0].get_xlim()[1] < 20
    words = [[text.get_text() for text in axes.texts] for axes in numbers]
    assert words[1] == ["AUROC\n0.1"] and any("off the scale" in text for text in words[2])
    assert strips[0].get_title(loc="left") == f"clothes: {shown[0].bits.mean():.2f} bits/dim"
    pixels = strips[1].images[0].get_array()
    np.testing.assert_array_equal(pixels[:8, :8, 0], images[0, ..., 0])
    assert len(pictures.summary_figure(shown[:1], how).axes) == 2


@pytest.fixture(scope="module")
def trained(runs, tmp_path_factory):
    """A copy of a tiny Glow on digits, evaluated on two sets."""
    folder = tmp_path_factory.mktemp("closing") / "glow"
    shutil.copytree(runs / "glow", folder)
    run = runs_room.Run(folder)
    sets = evaluation.load_sets(run.spec(), ["noise"], max_images=60)
    return run, sets, evaluation.evaluate(run, sets, num_samples=4, progress=False)


def test_it_makes_a_detector_once_and_then_takes_that(trained, monkeypatch):
    run, sets, rows = trained
    said = reporting.close(run, sets, rows, progress=False)
    assert "No detector" in "\n".join(said) and not (run.folder / "detector").exists()
    said = reporting.close(run, sets, rows, detector_name="likelihood", progress=False)
    assert (run.folder / "evaluation" / closing.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert len(said) == 10 and said[2].startswith("---")  # "", three of a table, "", and the five lines
    _, area, same = said[3].split()
    assert area == same == f"{rows[2].auroc:.3f}"  # the detector is -log p itself
    monkeypatch.setattr(run_detector, "make", None)  # what is there is not made again
    assert reporting.close(run, sets, rows, detector_name="likelihood", progress=False) == said


def test_a_detector_of_another_model_is_not_taken(trained, runs, tmp_path):
    run, _, _ = trained
    other = runs_room.Run(tmp_path / "run")
    shutil.copytree(runs / "glow", other.folder)
    assert run_detector.read(other) is None
    shutil.copytree(runs / "vae_detector", other.folder / "detector")
    assert run_detector.read(other) is None
    (other.folder / "detector" / "detector.json").write_text("{")
    assert run_detector.read(other) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (detectors.DetectorError("no images left."), "No detector (no images left);"),
        (np.linalg.LinAlgError("Singular\nmatrix"), "No detector (LinAlgError: Singular);"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "No detector (ResourceExhaustedError: OOM);"),
    ],
)
def test_what_keeps_it_from_a_detector_is_said_and_the_evaluation_stands(
    trained, monkeypatch, error, expected
):
    run, sets, rows = trained
    shutil.rmtree(run.folder / "detector", ignore_errors=True)

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(run_detector, "make", refuse)
    said = reporting.close(run, sets, rows, detector_name="default", progress=False)
    assert len(said) == 6 and expected in said[2]
    assert (run.folder / "evaluation" / closing.PICTURE).exists()


def test_bits_are_found_of_a_set_that_is_called_as_an_earlier_one(tmp_path):
    run = runs_room.Run(tmp_path / "run")
    own = dataclasses.replace(row("digits", 1.0), name="digits")
    for folder, nats in (("a", -1.0), ("b", -2.0)):
        (tmp_path / folder / "x").mkdir(parents=True)
        name = f"folder:{tmp_path / folder / 'x'}"
        rows = [own, dataclasses.replace(row("x", 1.0, split="all"), name=name)]
        evaluation.kept.keep(run.evaluation, rows, [np.zeros([2]), np.full([3], nats)], "way")
        evaluation.kept.write_all(run.evaluation, "title", (2, 2, 1), "{}")
        found = bits_of(run, rows, (2, 2, 1))
        np.testing.assert_allclose(found["x"], [-nats / 4 / np.log(2)] * 3)


def test_a_detector_that_looks_at_no_model_and_one_of_several_are_taken(tmp_path, monkeypatch):
    def taken(**attributes):
        model = {"needs_model": True, "models": [], "image_shape": (8, 8, 1), "calibration_scores": [0.5]}
        detector = types.SimpleNamespace(**(model | attributes))
        monkeypatch.setattr(run_detector.detectors, "load", lambda folder: detector)
        return run_detector.read(run) is detector

    of = {d: types.SimpleNamespace(run_reference=types.SimpleNamespace(digest=d)) for d in ("own", "other")}
    spec = types.SimpleNamespace(image_shape=(8, 8, 1))
    run = types.SimpleNamespace(folder=tmp_path, checkpoint_digest=lambda: "own", spec=lambda: spec)
    (tmp_path / "detector").mkdir()
    assert taken(needs_model=False) and not taken(needs_model=False, image_shape=(9, 9, 1))
    assert taken(models=[of["own"]]) and taken(models=[of["own"], of["other"]])
    assert not taken(models=[of["other"], of["own"]]) and not taken(models=[object()])
    assert not taken(), "what is stored as statistics alone may be of any model"
    assert not taken(models=[of["own"]], calibration_scores=None)


def test_bits_are_those_that_the_evaluation_wrote(trained):
    run, sets, rows = trained
    found = bits_of(run, rows, sets[0].image_shape)
    assert list(found) == ["digits", "digits (train)", "noise"]
    for values, each in zip(found.values(), rows, strict=True):
        np.testing.assert_allclose(values.mean(), each.bits_per_dim, rtol=1e-6)
    assert [len(values) for values in found.values()] == [len(image_set) for image_set in sets]
    assert dataclasses.is_dataclass(rows[0]) and data.ALL not in found
