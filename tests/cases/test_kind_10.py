"""Kind 10: a report tells what it found."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import chapters, detector_chapters, detector_study, page, report, separation
from tests import forked
from tfp_flows import detectors


def _result(auroc, kind=detectors.Likelihood, foreign="other"):
    estimate = separation.Estimate(auroc, auroc, auroc)
    candidate = detector_study.Candidate("t", "r", kind, {}, (), None)
    found = separation.Separation(estimate, estimate, estimate)
    return detector_study.Result(candidate, foreign, (20, 20), 20, 20, found, 0.0, 1.0, 0.001)


class _Study:
    """log p of 60 own images and of so many others."""

    own = "own"

    def __init__(self, count):
        self._count = count

    def log_probs(self, candidate, name, split):
        count = 60 if split != "test" else self._count
        return np.random.default_rng(count).normal(-100 if name == "own" else -120, 3, count)


@pytest.mark.parametrize("count", [20, 25, 3, 1])
def test_case_54_groups_are_of_as_many_images_as_there_are(tmp_path, count):
    made = page.Page(tmp_path, "title", "lead")
    results = [_result(0.5, detectors.Typicality)]
    detector_chapters.groups_of_images(made, _Study(count), results)
    made.write([])
    with open(tmp_path / "tables" / "typicality.csv", newline="", encoding="utf-8") as file:
        rows = {row["images"]: row for row in csv.DictReader(file)}
    for size in detector_chapters.GROUP_SIZES:
        rates = [rows[name][f"M = {size}"] for name in ("own", "other")]
        if size > count:
            assert rates == ["", ""]
        else:
            assert float(rates[0]) <= 1 and float(rates[1]) > 0.9
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("areas", "words"),
    [
        ([0.11], "The likelihood does not: its AUROC is 0.110."),
        ([0.11, 0.3], "The likelihood does not: its AUROC is 0.110 to 0.300."),
        ([0.87], "Here the likelihood does in part: its AUROC is 0.870."),
        ([0.97, 0.99], "Here the likelihood does: its AUROC is 0.970 to 0.990."),
        (
            [0.2, 0.9, 0.99],
            "The likelihood does not in 1 of 3 comparisons: its AUROC is 0.200 to 0.990.",
        ),
    ],
)
def test_case_55_what_is_said_of_the_likelihood_follows_its_auroc(areas, words):
    others = [_result(0.2, detectors.Typicality), _result(0.99, detectors.WAIC)]
    said = detector_chapters.lead([*map(_result, areas), *others])
    assert said.startswith(words + " Here is every remedy")
    assert "likelihood" not in detector_chapters.lead(others)


@pytest.mark.parametrize(
    ("areas", "title", "counted"),
    [
        ((0.1, 0.9), "Why the likelihood is fooled", "in 1 of 2 comparisons"),
        ((0.6, 0.9), "Where the likelihood is not fooled", "in none of 2 comparisons"),
    ],
)
def test_case_55_the_title_of_a_report_follows_its_numbers(areas, title, counted):
    study = SimpleNamespace(others=["a", "b"], auroc=lambda name: (areas["ab".index(name)], None, None))
    fooled, judged = chapters.count_fooled([study])
    assert (fooled, judged) == (sum(a < 0.5 for a in areas), 2)
    found, lead = report.heading(fooled, judged)
    assert found == title and counted in lead and "  " not in lead
    said = chapters._fooled_text(fooled, judged)
    assert ("nowhere" in said) == (fooled == 0) and f"Of {judged} comparisons" in said


def test_case_57_help_is_no_failure():
    found = forked.command("tfp_flows.train", "--help", env={"COLUMNS": "100"})
    assert found.returncode == 0 and found.stderr == ""
    assert found.stdout.startswith("Trains a model") and len(found.stdout.splitlines()) < 50
