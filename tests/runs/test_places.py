"""Where the data of a run are looked for."""

import json

import numpy as np
import pytest

import tfp_flows
from analysis import cache, report_page, study
from analysis.errors import AnalysisError
from tfp_flows import runs, training
from tfp_flows.runs import places


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in a project, begun from within it: on an archive, beside outliers and with a data_dir."""
    project = tmp_path / "project"
    for name in ("a.npz", "tfds/x", "imgs/y"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    monkeypatch.chdir(project)
    values = {**vars(training.TrainingConfig(steps=2)), "outlier_dataset": "noise+folder:imgs"}
    spec = runs.RunSpec("glow", tfp_flows.GlowConfig(levels=1), values, "own=npz:a.npz@resize=8", (8, 8, 1))
    run = runs.Run("runs/r")
    run.named = ("folder:tfds/", "mnist")
    run.create(spec, None)
    return runs.Run(project / "runs" / "r")


def test_absolute_then_relative_then_as_written(run, tmp_path, monkeypatch):
    project = run.folder.parents[1]
    assert run.with_data().dataset == "own=npz:a.npz@resize=8", "where it is as it was written"
    monkeypatch.chdir("/")
    assert run.with_data().dataset == f"own=npz:{project}/a.npz@resize=8"
    assert run.find("folder:imgs") == f"folder:{project}/imgs"
    assert run.find_folder("tfds") == f"{project}/tfds/"
    assert run.find("mnist") == "mnist" and run.find("folder:unknown") == "folder:unknown"

    moved = runs.Run(project.rename(tmp_path / "moved") / "runs" / "r")
    assert moved.with_data().dataset == f"own=npz:{tmp_path}/moved/a.npz@resize=8"
    project.mkdir()
    (project / "a.npz").touch()
    assert moved.with_data().dataset == f"own=npz:{project}/a.npz@resize=8", "the absolute one is first"
    (project / "a.npz").unlink()
    (tmp_path / "moved" / "a.npz").unlink()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.npz").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert moved.with_data().dataset == "own=npz:a.npz@resize=8", "at last as it was written"
    (tmp_path / "here" / "a.npz").unlink()
    with pytest.raises(runs.RunError, match=r"not there any more \(.*, .*, a.npz\); `dataset` may name"):
        moved.with_data()
    assert moved.with_data("npz:b.npz").dataset == "npz:b.npz@resize=8", "with the run's operations"
    assert moved.with_data("npz:b.npz@rgb").dataset == "npz:b.npz@rgb", "where it has none of its own"
    assert moved.spec().dataset == "own=npz:a.npz@resize=8", "as it was written"


def test_a_moved_run_may_be_trained_on_data_at_their_new_place_alone(run, tmp_path):
    """Under another name, as long as the old place exists, it is another set."""
    spec = run.spec()
    known = json.loads(run.spec_file.read_text())["places"]
    np.savez(tmp_path / "b.npz", x=1)
    new = f"npz:{tmp_path}/b.npz@resize=8"
    assert not places.same(spec.dataset, new, run.folder, known)
    (run.folder.parents[1] / "a.npz").unlink()
    assert places.same(spec.dataset, new, run.folder, known)
    assert not places.same(spec.dataset, f"npz:{tmp_path}/b.npz", run.folder, known), "other operations"
    assert not places.same(spec.dataset, "mnist@resize=8", run.folder, known)


def test_runs_that_do_not_say_and_names_that_are_none(run, tmp_path):
    values = json.loads(run.spec_file.read_text())
    assert set(values["places"]) == {"own=npz:a.npz@resize=8", "folder:imgs", "folder:tfds/"}
    del values["places"]
    run.spec_file.write_text(json.dumps(values))
    assert run.with_data().dataset == "own=npz:a.npz@resize=8"
    for wrong in ([], {"a": 1}, {"a": {"absolute": "x"}}):
        run.spec_file.write_text(json.dumps({**values, "places": wrong}))
        with pytest.raises(runs.RunError, match="'places' is"):
            run.spec()
    assert places.of_names(["", "my data@home", "digits"], tmp_path, {}) == {}
    assert places.same("my data@home", "my data@home", tmp_path, {})
    assert not places.same("my data@home", "digits", tmp_path, {})


def test_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1.tfr").touch()
    known = places.of_names(["tfrecord:*.tfr"], tmp_path / "run", {})
    assert known["tfrecord:*.tfr"] == {"absolute": f"{tmp_path}/*.tfr", "relative": "../*.tfr"}
    monkeypatch.chdir("/")
    assert places.find("tfrecord:*.tfr", tmp_path / "run", known) == f"tfrecord:{tmp_path}/*.tfr"


def test_a_report_takes_the_new_place_of_the_runs_data(run, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.Run, "checkpoint_digest", lambda self: "")
    new = (run.folder.parents[1] / "a.npz").rename(tmp_path / "b.npz")
    results = cache.Cache(tmp_path)
    with pytest.raises(runs.RunError, match="`dataset` may name"):
        study.RunStudy(run, study.StudyConfig(()), results)
    made = study.RunStudy(run, study.StudyConfig(()), results, f"npz:{new}@resize=8")
    assert made.spec.dataset == f"npz:{new}@resize=8" and made.title == "NVP-Glow on b.npz@resize=8"
    other = runs.Run(tmp_path / "other")
    other.create(runs.RunSpec("glow", tfp_flows.GlowConfig(), run.spec().training, "mnist", (8, 8, 1)), None)
    report_page.check_moved([run, run], "npz:b.npz")
    with pytest.raises(AnalysisError, match="`dataset`: these runs"):
        report_page.check_moved([run, other], "npz:b.npz")


def test_what_is_remote_is_where_it_was(run):
    remote = runs.Run(run.folder.parent / "remote")
    remote.named = ("folder:gs://bucket/tfds/",)
    remote.create(run.spec(), None)
    assert runs.Run(remote.folder).find_folder("gs://bucket/tfds") == "gs://bucket/tfds/"
