"""The whole way that a person walks: two folders of photographs, a report, an export, scores, an alarm."""

import csv
import re
import shutil

import numpy as np
import pytest

from tests import forked, photographs
from tests.pages import browser, walk
from tfp_flows import detectors

CHAIN = "@over=white@rgb@resize=16"
TINY = (
    "--levels=1 --steps_per_level=1 --hidden_channels=4 --steps=4 --batch_size=16 --log_every=2 "
    "--validate_every=4 --checkpoint_every=4"
).split()


def command(name, *arguments, cwd, status=0):
    result = forked.command(f"tfp_flows.{name}", *arguments, cwd=cwd)
    assert result.returncode == status, result.stderr
    return result


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder in which a person has typed the commands, and what the training said."""
    folder = tmp_path_factory.mktemp("walk")
    photographs.make(folder, num_good=200, num_strange=24)
    result = command(
        "train",
        f"--dataset=folder:good{CHAIN}",
        "--evaluate_on=folder:strange",
        "--skip_unreadable",
        "--run=runs/mine",
        "--report",
        "--progress=false",
        *TINY,
        cwd=folder,
    )
    return folder, result.stdout


def test_training_says_what_it_found(walked):
    _, said = walked
    counts = re.search(
        r"(\d+) images to train on, (\d+) for validation, (\d+) for calibration, (\d+) to test; 16x16x3 \(@",
        said,
    )
    assert counts and sum(map(int, counts.groups())) == 199  # one of the 200 is cut off
    assert "truncated.jpg" in said and "24 images to compare with" in said


def test_the_report_is_one_page_with_pictures_and_the_next_commands(walked):
    folder, said = walked
    page = (folder / "runs/mine/report/index.html").read_text(encoding="utf-8")
    for anchor in ("images", "likelihoods", "decomposition", "alarms", "look", "next"):
        assert f'id="{anchor}"' in page
    assert "tfp_flows.score --model=" in page and "truncated.jpg" in page
    assert page.count("data:image/") > 30
    assert "runs/mine/report/index.html" in said


def test_the_report_has_the_detector_that_was_asked_for(walked, tmp_path):
    shutil.copytree(walked[0] / "runs/mine", tmp_path / "mine")
    flags = ("--flagfile=mine/flags.flags", "--report", "--detector=typicality", "--nopictures")
    found = [f"--dataset=folder:{walked[0]}/good{CHAIN}", f"--evaluate_on=folder:{walked[0]}/strange"]
    command("train", *flags, *found, "--noprogress", cwd=tmp_path)
    assert detectors.load(tmp_path / "mine/detector").name == "typicality"
    page = (tmp_path / "mine/report/index.html").read_text(encoding="utf-8")
    assert "typicality" in page


def test_without_a_remedy_it_names_all_that_is_odd(tmp_path):
    photographs.make(tmp_path, num_good=40, num_strange=1)
    result = forked.command(
        "tfp_flows.train", "--dataset=folder:good@resize=16", "--run=run", "--steps=1", cwd=tmp_path
    )
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    for said in ("@over=white", "@rgb", "transparent.png", "grey.png", "cmyk.jpg", "truncated.jpg"):
        assert said in line
    assert not (tmp_path / "run").exists()


def test_export_score_and_monitor_take_the_photographs_as_they_are(walked):
    folder, _ = walked
    command("export", "--run=runs/mine", "--detector=runs/mine/detector", "--out=exported", cwd=folder)
    command(
        "score",
        "--model=exported",
        "--images=folder:strange",
        "--out=scores.csv",
        "--maps=maps",
        "--maps_of=all",
        cwd=folder,
    )
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    assert len(rows) == 24 and len(list((folder / "maps").rglob("*.png"))) == 24
    detector = detectors.load(folder / "runs/mine/detector")
    for row in rows[:3]:
        explained = detector.explain(folder / "strange" / row["key"])
        np.testing.assert_allclose(explained.score, float(row["score"]), rtol=1e-4)
        np.testing.assert_allclose(explained.p_value, float(row["p_value"]), atol=1e-6)
        assert "<img" in explained._repr_html_() or "<svg" in explained._repr_html_()
    result = forked.command(
        "tfp_flows.monitor",
        "--scores=scores.csv",
        "--detector=runs/mine/detector",
        "--out=monitor",
        cwd=folder,
    )
    assert result.returncode in (0, 4), result.stderr
    assert (folder / "monitor/index.html").is_file()
    path = browser.find()
    if path is None:
        pytest.skip("no Chromium on PATH: neither page was opened in a browser")
    with browser.started(path) as opened:
        for page in ("runs/mine/report/index.html", "monitor/index.html"):
            walk.everywhere(opened, (folder / page).as_uri())
