"""A job that goes on is the same job."""

import functools
import os
import signal
import time

import numpy as np
import pytest

from tests.faults.injection import KILLED, killing
from tests.scoring.images import image, keys, rows, save_detector, score, write_png


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return save_detector(tmp_path_factory.mktemp("detector") / "d")


def _killed(images, out, detector):
    """A job that kill -9 ended after some of its batches."""
    before = functools.partial(killing, out.parent, 16)
    assert score(images, out, detector, before=before).wait().returncode == KILLED
    assert out.with_name(f"{out.name}.part").read_bytes().count(b"\n") > 2 and not out.exists()


def _folder(path):
    path.mkdir()
    for number in range(10, 30):
        write_png(path / f"{number}.png", number)
    return path


@pytest.mark.parametrize("change", ["removed", "added", "renamed"])
def test_case_34_what_has_a_row_is_known_by_its_key(tmp_path, detector, change):
    (tmp_path / "x").mkdir()
    folder, out = _folder(tmp_path / "images"), tmp_path / "x" / "x.csv"
    _killed(f"folder:{folder}", out, detector)
    if change == "removed":
        (folder / "10.png").unlink()
    elif change == "added":
        write_png(folder / "00.png", 0)
    else:
        (folder / "10.png").rename(folder / "99.png")
    result = score(f"folder:{folder}", out, detector).wait()
    there = {path.name for path in folder.iterdir()} | {"10.png"}
    assert result.returncode == 0 and f"{len(there)} images scored, 0" in result.stdout
    assert sorted(keys(out)) == sorted(there)
    assert ("1 of the rows is of images" in result.stderr) == (change != "added")


def test_case_35_another_model_at_the_same_path_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    images, out = f"folder:{_folder(tmp_path / 'images')}", tmp_path / "x" / "x.csv"
    _killed(images, out, save_detector(tmp_path / "d"))
    part = out.with_name("x.csv.part").read_bytes()
    save_detector(tmp_path / "d", loc=90.0)
    result = score(images, out, tmp_path / "d").wait()
    assert result.returncode == 1 and "of a job with another model" in result.stderr.splitlines()[-1]
    assert "remove x.csv.progress.json to begin anew" in result.stderr.splitlines()[-1]
    assert out.with_name("x.csv.part").read_bytes() == part
    out.with_name("x.csv.progress.json").unlink()
    assert score(images, out, tmp_path / "d").wait().returncode == 0 and len(rows(out)) == 20


def test_case_35_another_archive_of_the_same_name_is_refused(tmp_path, detector):
    (tmp_path / "x").mkdir()
    images, out = f"npz:{tmp_path / 'a.npz'}", tmp_path / "x" / "x.csv"
    np.savez(tmp_path / "a.npz", images=np.stack([image(n) for n in range(20)]))
    _killed(images, out, detector)
    np.savez(tmp_path / "a.npz", images=np.stack([image(n) for n in range(1, 21)]))
    result = score(images, out, detector).wait()
    assert result.returncode == 1 and "of a job with other images" in result.stderr.splitlines()[-1]


def _long(tmp_path, detector):
    """A job that is running: (its process, its source, its table)."""
    np.savez(tmp_path / "a.npz", images=np.concatenate([[image(n) for n in range(100)]] * 200))
    images, out = f"npz:{tmp_path / 'a.npz'}", tmp_path / "x.csv"
    job = score(images, out, detector, before=_usual_signals)
    part, deadline = out.with_name("x.csv.part"), time.monotonic() + 120
    while not (part.exists() and part.stat().st_size > 2000):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return job, images, out


def _usual_signals():
    """What is started in the background may ignore SIGINT, and under nohup SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


def test_case_36_a_second_job_on_one_table_is_refused(tmp_path, detector):
    job, images, out = _long(tmp_path, detector)
    second = score(images, out, detector).wait()
    assert second.returncode == 1 and "--out: " in second.stderr.splitlines()[-1]
    assert f"is in use by process {job.pid}" in second.stderr.splitlines()[-1]
    job.send_signal(signal.SIGKILL)
    job.wait()
    result = score(images, out, detector, "--batch_size=500").wait()  # takes the dead one's lock over
    assert result.returncode == 0, result.stderr
    assert keys(out) == [f"images:{n}" for n in range(20_000)]
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "x.csv", "x.csv.errors.csv"]


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_case_44_signals_leave_a_job_that_goes_on_and_say_so(tmp_path, detector, number, code):
    job, images, out = _long(tmp_path, detector)
    job.send_signal(number)
    result = job.wait()
    assert result.returncode == code
    said = result.stderr.splitlines()[-2]
    assert f"{out}.part, x.csv.errors.part and x.csv.progress.json; the same command goes on" in said
    assert sorted(os.listdir(tmp_path)) == [
        "a.npz", "x.csv.errors.part", "x.csv.part", "x.csv.progress.json",
    ]  # fmt: skip
    result = score(images, out, detector, "--batch_size=500").wait()
    assert result.returncode == 0 and keys(out) == [f"images:{n}" for n in range(20_000)]
