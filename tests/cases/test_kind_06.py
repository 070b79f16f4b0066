"""Paths and names survive, or are refused before any work."""

import csv
import json
import os
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

from tests import forked
from tfp_flows import data, detectors, runs, serving
from tfp_flows.checks import UserError
from tfp_flows.detectors import saving


@pytest.mark.parametrize("character", list("[]*?\\"))
def test_case_29_what_tensorflow_takes_for_a_pattern_is_refused_first(tmp_path, character):
    """Where it would write, and then find nothing; the message names the argument and the character."""
    path = tmp_path / f"a{character}b"
    reached = []
    model = types.SimpleNamespace(event_shape=(8, 8, 1), log_prob=reached.append)
    for argument, call in {
        "run": lambda: runs.Run(path),
        "out": lambda: serving.export(None, path),
        "model": lambda: serving.ExportedModel(path),
        "data_dir": lambda: data.load("mnist", data_dir=path),
    }.items():
        with pytest.raises(
            UserError, match=f"`{argument}`: .* which TensorFlow takes for a pattern"
        ) as error:
            call()
        assert repr(character) in str(error.value) and "\n" not in str(error.value)
    detector = detectors.Likelihood(model)
    with pytest.raises(UserError, match="`out`: .* pattern"):
        saving.save(detector, path)
    assert not reached and not list(tmp_path.iterdir())


TINY = ["--levels=1", "--steps_per_level=1", "--hidden_channels=4", "--batch_size=16", "--warmup=0"]
QUIET = ["--noprogress", "--parts=1"]


def _folder(path, seed=0, count=60):
    """A folder of PNGs 8x8."""
    path.mkdir(parents=True)
    for i, image in enumerate(np.random.default_rng(seed).integers(0, 256, [count, 8, 8], np.uint8)):
        Image.fromarray(image).save(path / f"{i:02d}.png")
    return path


def _ok(module, *arguments, **kwargs):
    result = forked.command(module, *arguments, **kwargs)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with images and, made with relative paths from within it, a run, a detector and an export."""
    folder = tmp_path_factory.mktemp("project") / "old"
    _folder(folder / "imgs")
    _folder(folder / "other", 1, 30)
    train = ["--run=runs/r", "--dataset=folder:imgs", "--evaluate_on=others=folder:other", "--steps=2"]
    _ok("tfp_flows.train", *train, *TINY, *QUIET, cwd=folder)
    detect = ["--run=runs/r", "--detector=typicality", "--out=runs/detector", "--allow_unattainable"]
    _ok("tfp_flows.detect", *detect, *QUIET, cwd=folder)
    _ok("tfp_flows.export", "--run=runs/r", "--out=exported", "--detector=runs/detector", cwd=folder)
    return folder


@pytest.fixture
def moved(project, tmp_path):
    """A copy of it elsewhere, of which nothing is left in the old place."""
    place = tmp_path / "new" / "name"
    shutil.copytree(project, place)
    hidden = project.with_name("away")
    project.rename(hidden)
    yield place
    hidden.rename(project)


def test_case_30_a_project_that_was_moved_works_from_anywhere(moved):
    _ok("tfp_flows.evaluate", f"--run={moved / 'runs/r'}", "--datasets=noise", *QUIET, cwd="/")
    with open(moved / "runs/r/evaluation/bits_per_dim.csv", newline="", encoding="utf-8") as file:
        assert [row["dataset"] for row in csv.DictReader(file)] == ["imgs", "imgs", "others", "noise"]
    detect = ["--detector=likelihood", f"--out={moved / 'second'}", "--allow_unattainable", *QUIET]
    _ok("tfp_flows.detect", f"--run={moved / 'runs/r'}", *detect, cwd="/")
    export = [f"--out={moved / 'again'}", f"--detector={moved / 'runs/detector'}"]
    _ok("tfp_flows.export", f"--run={moved / 'runs/r'}", *export, cwd="/")
    tables = []
    for given in (f"--detector={moved / 'runs/detector'}", f"--model={moved / 'exported'}"):
        out = moved / f"{len(tables)}.csv"
        score = [given, f"--images=folder:{moved / 'other'}", f"--out={out}", "--allow_unattainable"]
        _ok("tfp_flows.score", *score, "--noprogress", cwd="/")
        tables.append(out.read_text().splitlines())
    assert len(tables[0]) == len(tables[1]) == 31


def test_case_30_its_flag_file_means_the_run_it_lies_in(moved):
    old = moved / "runs" / "r"
    (moved / "runs").rename(moved / "trained")
    run = moved / "trained" / "r"
    result = _ok(
        "tfp_flows.train", f"--flagfile={run / 'flags.flags'}", "--steps=3", "--noprogress", cwd="/"
    )
    assert "Trained to step 3" in result.stdout and not old.exists()
    assert f"--run={run}, not runs/r" in result.stderr and result.stderr.count("\n") == 1
    values = json.loads((run / "run.json").read_text())
    assert values["places"]["folder:imgs"] == {
        "absolute": str(moved / "imgs"),
        "relative": "../../imgs",
    }
    result = _ok("tfp_flows.train", f"--flagfile={run / 'flags.flags'}", "--noprogress", cwd=moved.parent)
    assert "Trained to step 3" in result.stdout and result.stderr == ""


def test_case_30_data_that_are_gone_are_named_and_may_be_named_anew(moved):
    run = moved / "runs" / "r"
    data_place = moved.parent / "data"
    (moved / "imgs").rename(data_place)
    for module, arguments in {
        "tfp_flows.evaluate": [],
        "tfp_flows.detect": ["--detector=likelihood", f"--out={moved / 'second'}", "--allow_unattainable"],
        "tfp_flows.train": [f"--flagfile={run / 'flags.flags'}", "--evaluate_on=", "--steps=3"],
    }.items():
        given = [f"--run={run}", *arguments, "--noprogress"]
        result = forked.command(module, *given, cwd="/")
        assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
        line = result.stderr.splitlines()[-1]
        assert (
            line.startswith("error: --run: folder:imgs of ") and "--dataset may name its new place" in line
        )
        assert all(str(path) in line for path in (moved / "imgs", "old/imgs")) and ", imgs)" in line
        _ok(module, *given, f"--dataset=folder:{data_place}", cwd="/")
    assert runs.Run(run).with_data().dataset == f"folder:{data_place}"


def test_case_30_a_reference_to_a_run_that_stayed(moved):
    """A detector that was moved alone finds the run where it was."""
    detector = moved / "runs" / "detector"
    _ok(
        "tfp_flows.detect",
        f"--run={moved / 'runs/r'}",
        "--detector=typicality",
        f"--out={detector}",
        "--allow_unattainable",
        *QUIET,
        cwd="/",
    )
    alone = detector.rename(moved.parent / "alone")
    assert detectors.load(alone).calibration_scores is not None
    (moved / "runs" / "r").rename(moved / "hidden")
    with pytest.raises(runs.RunError, match=f"no run in .*, nor in {moved / 'runs/r'}"):
        detectors.load(alone)


@pytest.mark.parametrize("name", ["ends in a blank ", "two\nlines", '-a="b"', "é\udcff"])
def test_case_32_names_survive_the_flag_file(tmp_path, name):
    try:
        _folder(tmp_path / name, count=40)
    except (OSError, UnicodeEncodeError):
        pytest.skip("no such file name here")
    run = "run" if "\udcff" in name else f"run {name}"  # TensorFlow writes to no such folder
    train = [f"--run={run}", f"--dataset=folder:{name}", "--steps=1", *TINY, *QUIET]
    _ok("tfp_flows.train", *train, cwd=tmp_path)
    flags = tmp_path / run / "flags.flags"
    assert flags.exists()
    result = _ok("tfp_flows.train", f"--flagfile={flags}", "--steps=2", cwd=tmp_path)
    assert "Trained to step 2" in result.stdout and len(list(tmp_path.iterdir())) == 2
    assert result.stderr == ""


def test_case_32_a_folder_that_tensorflow_cannot_name_is_refused_first(tmp_path):
    with pytest.raises(UserError, match=r"`run`: .*no UTF-8") as error:
        runs.Run(os.fsdecode(b"\xff"))
    assert "\n" not in str(error.value)


def test_case_32_a_flag_file_of_a_person(tmp_path):
    _folder(tmp_path / "imgs", count=40)
    lines = "\n".join(["# mine", "--run=run", "--dataset=folder:imgs", "--steps=1", *TINY, *QUIET])
    (tmp_path / "mine.flags").write_text("\ufeff" + lines, encoding="utf-8")
    assert "Trained to step 1" in _ok("tfp_flows.train", "--flagfile=mine.flags", cwd=tmp_path).stdout
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "self.flags").write_text("--flagfile=self.flags\n")
    for path in ("fifo", ".", "nowhere", "self.flags"):
        result = forked.command("tfp_flows.train", f"--flagfile={path}", cwd=tmp_path, timeout=60)
        assert result.returncode == 1 and result.stderr.startswith(f"error: --flagfile: {path} ")
        assert result.stderr.count("\n") == 1


def _ascii():
    sys.stdout = open(1, "w", encoding="ascii", closefd=False)
    sys.stderr = open(2, "w", encoding="ascii", closefd=False, buffering=1)


def _closed_pipe():
    read, write = os.pipe()
    os.dup2(write, 1)
    os.dup2(write, 2)
    os.close(read)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)


def test_case_33_output_never_fails(project, tmp_path):
    run = shutil.copytree(project / "runs", tmp_path / "runs") / "r"
    evaluate = ["tfp_flows.evaluate", f"--run={run}", "--datasets=noise", "--num_samples=0"]
    result = _ok(*evaluate, cwd=project, before=_ascii)
    assert "+-" in result.stdout and result.stdout.isascii() and "are in" in result.stdout
    shutil.rmtree(run / "evaluation")
    result = _ok(*evaluate, cwd=project, before=_closed_pipe)  # progress bars go there too
    assert (run / "evaluation" / "log_probs.npz").exists() and result.stdout == ""
    result = forked.command("tfp_flows.evaluate", f"--run={tmp_path / 'é'}", before=_ascii)
    assert result.returncode == 1 and "\\xe9" in result.stderr
