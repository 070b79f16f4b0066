"""Kind 7: a job that goes on is the same job; nothing that another did is lost."""

import csv
import json

import numpy as np
import pytest

from tests import forked
from tfp_flows import evaluation, runs, serving
from tfp_flows.pages import pictures


@pytest.fixture
def run(tmp_path, make_run):
    make_run(tmp_path, "glow")
    return runs.Run(tmp_path / "glow")


def _evaluate(run, *names, max_images=20):
    sets = evaluation.load_sets(run.with_data(), names, max_images=max_images)
    return evaluation.evaluate(run, sets, num_samples=0, progress=False)


def _table(run):
    with open(run.evaluation / "bits_per_dim.csv", newline="", encoding="utf-8") as file:
        return [(row["dataset"], row["split"]) for row in csv.DictReader(file)]


OWN = [("digits", "test"), ("digits", "train")]


def test_case_43_evaluations_that_follow_one_another_add_up(run):
    first = _evaluate(run, "noise", "grey=constant=128")
    assert _table(run) == [*OWN, ("noise", "test"), ("grey", "test")]
    before = dict(np.load(run.evaluation / "log_probs.npz"))
    second = _evaluate(run, "digits@contrast=0.5")
    assert _table(run) == [*OWN, ("noise", "test"), ("grey", "test"), ("digits@contrast=0.5", "test")]
    after = dict(np.load(run.evaluation / "log_probs.npz"))
    assert set(after) == {*before, "digits@contrast=0.5 (test)"}
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    assert first[0] == second[0]
    assert "evaluated earlier" in evaluation.report(run, second)
    assert "with those of 2 evaluated earlier" in evaluation.report(run, second)
    _evaluate(run, "noise")
    assert _table(run) == [*OWN, ("noise", "test"), ("grey", "test"), ("digits@contrast=0.5", "test")]
    named = json.loads((run.evaluation / "sets.json").read_text())
    assert named["grey (test)"]["name"] == "grey=constant=128" and named["grey (test)"]["step"] == 3


def test_case_43_evaluations_at_once_lose_nothing(run, monkeypatch):
    """A second evaluation runs from beginning to end while the first one writes its table."""
    draw = pictures.likelihood_histograms
    begun = []

    def interrupted(*arguments):
        if not begun:
            begun.append(True)
            _evaluate(run, "constant")
        draw(*arguments)

    monkeypatch.setattr(pictures, "likelihood_histograms", interrupted)
    _evaluate(run, "noise")
    assert set(_table(run)) == {*OWN, ("noise", "test"), ("constant", "test")}
    assert not [path for path in run.evaluation.iterdir() if path.name.startswith(".")]


def test_case_43_evaluations_of_two_processes_lose_nothing(run):
    arguments = [f"--run={run.folder}", "--max_images=20", "--num_samples=0", "--noprogress"]
    jobs = [
        forked.start("tfp_flows.evaluate", *arguments, f"--datasets={name}")
        for name in ("noise", "constant")
    ]
    for job in jobs:
        result = job.wait()
        assert result.returncode == 0, result.stderr
    assert _table(run)[:2] == OWN and set(_table(run)) == {*OWN, ("noise", "test"), ("constant", "test")}


def test_case_43_what_was_judged_otherwise_stays_and_is_not_compared(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        pictures, "likelihood_histograms", lambda path, bits, *rest: drawn.append(list(bits))
    )
    _evaluate(run, "noise", "constant")
    _evaluate(run, "noise", max_images=10)
    assert _table(run) == [*OWN, ("noise", "test"), ("constant", "test")]
    assert drawn[-1] == ["digits (test)", "digits (train)", "noise (test)"]
    with open(run.evaluation / "bits_per_dim.csv", newline="", encoding="utf-8") as file:
        assert [row["n"] for row in csv.DictReader(file)] == ["10", "10", "10", "20"]


def test_case_43_the_model_card_tells_each_set(run, tmp_path):
    _evaluate(run, "noise")
    _evaluate(run, "grey=constant=128")
    serving.export(run, tmp_path / "exported")
    card = (tmp_path / "exported" / "model_card.md").read_text()
    lines = [line.split(" | ")[0] for line in card.partition("## Evaluation")[2].splitlines() if "|" in line]
    assert lines[2:] == ["| digits", "| digits", "| noise", "| grey"]


def test_case_43_what_version_0_1_wrote_is_read_and_kept(run):
    rows = _evaluate(run, "noise", "constant")
    scores = dict(np.load(run.evaluation / "log_probs.npz"))
    for path in [*(run.evaluation / "sets").iterdir(), run.evaluation / "sets.json"]:
        path.unlink()
    (run.evaluation / "sets").rmdir()
    columns = "dataset split n bits_per_dim bits_per_dim_se log_prob auroc auroc_low auroc_high estimate_se"
    with open(run.evaluation / "bits_per_dim.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns.split())
        for row in rows:
            values = [getattr(row, column) for column in columns.split()]
            writer.writerow(["" if value is None else value for value in values])
    card = serving.model_card
    assert [row["dataset"] for row in card._rows(run.evaluation / "bits_per_dim.csv")][2:] == [
        "noise",
        "constant",
    ]
    _evaluate(run, "digits@contrast=0.5")
    assert _table(run) == [*OWN, ("digits@contrast=0.5", "test"), ("noise", "test"), ("constant", "test")]
    after = dict(np.load(run.evaluation / "log_probs.npz"))
    np.testing.assert_array_equal(after["noise (test)"], scores["noise (test)"])
