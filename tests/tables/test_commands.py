"""`train`, `evaluate`, `detect`, `export` and `score` take tables: what they make, and of what."""

import csv
import json
import shutil
import signal

import numpy as np
import pytest

import tfp_flows
from tests import forked
from tfp_flows import data, detectors, runs, serving
from tfp_flows.models.registry import VECTORS

RNG = np.random.default_rng(0)
FACTOR = np.array([[1.0, 0.0, 0.0], [0.8, 0.3, 0.0], [0.0, -2.0, 5.0]])
NAMES = ["a", "b", "c"]
ROWS = (RNG.normal(size=[400, 3]) @ FACTOR.T + [0, 10, -300]).round(4)
FOREIGN = ROWS[:20] + [4, 0, 0]
SMALL = ["--num_steps=1", "--hidden_units=4", "--batch_size=32", "--early_stopping=0"]
EVERY = ["--log_every=2", "--validate_every=4", "--checkpoint_every=4"]
TRAIN = [*SMALL, *EVERY, "--warmup=0", "--decay=0", "--noprogress"]


def _write(path, rows, names):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


def _read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _run(module, *arguments, cwd, **more):
    result = forked.command(f"tfp_flows.{module}", *arguments, cwd=cwd, **more)
    assert result.returncode == 0, result.stderr
    return result


def _weights(folder):
    return [variable.numpy() for variable in runs.load_model(runs.Run(folder))[0].variables]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with tables, a run `run` of one of them, its detector and its export."""
    folder = tmp_path_factory.mktemp("tables")
    _write(folder / "t.csv", ROWS.tolist(), NAMES)
    _write(folder / "other.csv", [["x", c, a, b] for a, b, c in FOREIGN.tolist()], ["kind", "c", "a", "b"])
    flags = ["--dataset=t.csv", "--run=run", "--evaluate_on=strange=other.csv", *TRAIN, "--steps=8"]
    said = _run("train", *flags, cwd=folder).stdout
    return folder, said


def test_a_run_of_a_table_says_what_it_is(made):
    folder, said = made
    assert (
        "t.csv: " in said and "3 columns: a, b, c." in said and "strange: 20 rows to compare with." in said
    )
    spec = runs.Run(folder / "run").spec()
    assert (spec.family, spec.columns, spec.image_shape) == (VECTORS, ("a", "b", "c"), (3,))
    assert spec.dataset == "table:t.csv" and spec.model.num_steps == 1 and spec.model.prior == "student_t"
    head = (folder / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "nats_per_dim" in head and "bits" not in head
    text = (folder / "run" / "flags.flags").read_text()
    assert "--family=vector_flow" in text and not any(
        flag in text for flag in ("--levels", "--flip", "--outlier", "--condition", "--pictures")
    )
    again = _run("train", "--flagfile=run/flags.flags", cwd=folder).stdout
    assert "Trained to step 8" in again


def test_the_evaluation_is_in_nats_and_says_how_well_rows_are_told_apart(made):
    folder, said = made
    assert "nats per row" in said and "bits" not in said
    rows = {(row["dataset"], row["split"]): row for row in _read(folder / "run" / "evaluation" / "nats.csv")}
    test, train, strange = rows["t.csv", "test"], rows["t.csv", "train"], rows["strange", "all"]
    assert float(strange["auroc"]) > 0.95 and float(strange["detector_auroc"]) > 0.95
    assert float(strange["foreign"]) > 0.8 and float(test["foreign"]) < 0.25 and not test["auroc"]
    assert train["n"] == test["n"] and float(test["nats_se"]) > 0
    with np.load(folder / "run" / "evaluation" / "log_probs.npz") as arrays:
        scores = arrays["strange (all)"]
    flow = tfp_flows.load(folder / "run")
    np.testing.assert_allclose(scores, flow.log_prob(FOREIGN.astype(np.float32)), rtol=1e-5)
    assert -scores.mean() == pytest.approx(float(strange["nats"]))
    drawn = _read(folder / "run" / "evaluation" / "samples.csv")
    assert len(drawn) == 64 and list(drawn[0]) == NAMES
    assert abs(np.mean([float(row["c"]) for row in drawn]) + 300) < 4
    assert (folder / "run" / "evaluation" / "likelihoods.png").stat().st_size > 5_000


def test_neither_the_order_of_rows_nor_that_of_columns_matters_and_a_run_goes_on_to_the_bit(made):
    """A run of shuffled rows, in two parts: `--columns` puts the columns in their order."""
    folder, _ = made
    order = RNG.permutation(len(ROWS))
    _write(folder / "s.csv", [[c, a, b, "w"] for a, b, c in ROWS[order].tolist()], ["c", "a", "b", "kind"])
    flags = ["--dataset=s.csv", "--run=shuffled", "--columns=a,b,c", *TRAIN]
    _run("train", *flags, "--steps=5", cwd=folder)
    _run("train", *flags, "--steps=8", cwd=folder)
    for one, other in zip(_weights(folder / "run"), _weights(folder / "shuffled"), strict=True):
        np.testing.assert_array_equal(one, other)
    others = [*flags[:2], *TRAIN, "--ignore=kind,a", "--steps=8"]
    refused = forked.command("tfp_flows.train", *others, cwd=folder)
    assert refused.returncode == 1 and "was made with other settings (columns:" in refused.stderr


def _ended(step):
    import tfp_flows.training.loop as loop

    validate = loop.Loop._validate

    def ending(self, now, validation):
        if now == step:
            signal.raise_signal(signal.SIGTERM)
        return validate(self, now, validation)

    loop.Loop._validate = ending


def _ended_at_four():
    _ended(4)


def test_a_run_that_is_interrupted_is_resumed_to_the_same_weights(made):
    folder, _ = made
    flags = ["--dataset=t.csv", "--run=interrupted", *TRAIN, "--steps=8"]
    result = forked.command("tfp_flows.train", *flags, cwd=folder, before=_ended_at_four)
    assert result.returncode == 128 + signal.SIGTERM
    assert "Interrupted at step 4; the same command resumes." in result.stdout
    _run("train", *flags, cwd=folder)
    for one, other in zip(_weights(folder / "run"), _weights(folder / "interrupted"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluate_finds_columns_by_names_and_a_table_that_was_moved(made):
    folder, _ = made
    (folder / "elsewhere").mkdir()
    rows = [[c, a, b] for a, b, c in ROWS[:30].tolist()]
    _write(folder / "elsewhere" / "p.csv", [*rows, ["NA", 1, 2]], ["c", "a", "b"])
    arguments = ["--run=../run", "--datasets=p.csv", "--num_samples=0", "--noprogress"]
    result = forked.command("tfp_flows.evaluate", *arguments, cwd=folder / "elsewhere")
    assert result.returncode == 1 and "row 30 must hold 3 numbers, got 'NA,1,2'" in result.stderr
    result = _run("evaluate", *arguments, "--skip_unreadable", cwd=folder / "elsewhere")
    assert "p.csv" in result.stdout and "bits" not in result.stdout
    trained_on = {*data.read_table(str(folder / "t.csv")).divided()["train"].keys}
    seen = sum(key in trained_on for key in data.read_table(str(folder / "t.csv")).keys[:30])
    assert f"warning: {seen} of the 30 rows of p.csv (all) were trained on" in result.stderr
    with np.load(folder / "run" / "evaluation" / "log_probs.npz") as arrays:
        scores = arrays["p.csv (all)"]
    flow = tfp_flows.load(folder / "run")
    np.testing.assert_allclose(scores, flow.log_prob(ROWS[:30].astype(np.float32)), rtol=1e-5)


@pytest.fixture(scope="module")
def served(made):
    """The folder, in which a detector and an export have scored the other table; what `detect` said."""
    folder, _ = made
    said = _run("detect", "--run=run", "--out=detector", "--noprogress", cwd=folder).stdout
    _run("export", "--run=run", "--detector=detector", "--out=exported", cwd=folder)
    for flag in ("--detector=detector", "--model=exported"):
        out = f"--out={flag.split('=')[1]}.csv"
        _run("score", flag, "--images=other.csv", out, cwd=folder)
    return folder, said


def test_detect_fits_to_validation_and_calibrates_with_calibration_rows(served):
    folder, said = served
    parts = data.read_table(str(folder / "t.csv")).divided()
    counts = [len(parts[split]) for split in ("validation", "calibration")]
    assert f"fitted to {counts[0]} rows, calibrated with {counts[1]}" in said
    detector = detectors.load(folder / "detector")
    flow = tfp_flows.load(folder / "run")
    by_hand = detectors.Default(flow).fit(parts["validation"].rows).calibrate(parts["calibration"].rows)
    np.testing.assert_array_equal(detector.score(FOREIGN), by_hand.score(FOREIGN))
    np.testing.assert_array_equal(detector.p_value(FOREIGN), by_hand.p_value(FOREIGN))
    test = parts["test"]
    strangest = test.places[np.argmax(detector.score(test.rows))]
    (line,) = [line for line in said.splitlines() if line.startswith(f"row {strangest}: default")]
    assert "strangest columns, in standard deviations given the others: " in line


def test_scores_are_those_of_the_detector_whatever_scores_and_name_the_strange_columns(served):
    folder, _ = served
    detector = detectors.load(folder / "detector")
    expected = detector.p_value(FOREIGN)
    by_detector, by_export = _read(folder / "detector.csv"), _read(folder / "exported.csv")
    for rows in (by_detector, by_export):
        np.testing.assert_allclose([float(row["p_value"]) for row in rows], expected, rtol=1e-5)
        called = ["out" if p <= np.float32(0.05) else "in" for p in expected]
        assert [row["verdict"] for row in rows] == called
    residuals = detector.columns(FOREIGN)
    for row, residual in zip(by_detector, residuals, strict=True):
        if row["verdict"] == "in":
            assert not row["columns"]
            continue
        strangest = np.argmax(np.abs(residual))
        assert row["columns"].startswith(f"{NAMES[strangest]} ({residual[strangest]:+.1f}); ")
    assert sum(row["verdict"] == "out" for row in by_detector) > 10
    assert serving.ExportedVectors(folder / "exported").columns == NAMES
    assert json.loads((folder / "detector" / "detector.json").read_text())["columns"] == NAMES


def test_a_detector_whose_names_are_damaged_is_refused(served, tmp_path):
    shutil.copytree(served[0] / "detector", tmp_path / "detector")
    path = tmp_path / "detector" / "detector.json"
    described = json.loads(path.read_text())
    wrong = {"its columns are": [1, 2, 3], "1 names of columns for": ["a"], "columns are 'abc'": "abc"}
    for says, columns in wrong.items():
        path.write_text(json.dumps({**described, "columns": columns}))
        with pytest.raises(detectors.DetectorError, match=says):
            detectors.load(tmp_path / "detector", model=tfp_flows.load(served[0] / "run"))
