"""A scoring job that is killed, or whose disk is full, at each operation on a file; then the same command.

The end is that of a job that nothing happened to, byte for byte.
"""

import functools
import os
import pathlib

import numpy as np
import pytest

from tests.scoring.images import image, keys, save_detector, score, write_png

from .injection import KILLED, counting, full_disk, killing

SOME_FAILED = 3
AT_ONCE = 3


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """(source, detector) of ten images, one of which is none, in four batches."""
    root = tmp_path_factory.mktemp("source")
    (root / "images").mkdir()
    for number in range(10):
        write_png(root / "images" / f"{number}.png", number)
    (root / "images" / "4.png").write_bytes(b"none")
    return f"folder:{root / 'images'}", save_detector(root / "detector")


def _start(source, out, before=None):
    return score(source[0], out, source[1], "--batch_size=3", before=before)


@pytest.fixture(scope="module", params=["csv", "parquet"])
def whole(request, source, tmp_path_factory):
    """(name of the table, folder of an undisturbed job, the operations on files of that)."""
    folder = tmp_path_factory.mktemp("whole")
    name, noted = f"x.{request.param}", folder / "operations"
    before = functools.partial(counting, folder / "out", noted)
    result = _start(source, folder / "out" / name, before).wait()
    assert result.returncode == SOME_FAILED, result.stderr
    operations = noted.read_text().splitlines()
    assert len(operations) > 20 and operations[-1] == f"os.remove {folder / 'out' / name}.lock"
    return name, folder / "out", operations


def _in_turn(jobs):
    """Starts some at once; yields the results in order."""
    jobs = list(jobs)
    for first in range(0, len(jobs), AT_ONCE):
        running = [job() for job in jobs[first : first + AT_ONCE]]
        yield from [job.wait() for job in running]


def _same(folder, expected):
    assert sorted(os.listdir(folder)) == sorted(os.listdir(expected))
    for path in expected.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def _disturbed(source, whole, tmp_path, fault):
    """Results of a job for each operation at which the fault comes, and whether anything was done then."""
    name, _, operations = whole
    folders = [tmp_path / str(k) for k in range(len(operations))]
    starts = [
        functools.partial(_start, source, folder / name, functools.partial(fault, folder, k))
        for k, folder in enumerate(folders)
    ]
    return zip(folders, _in_turn(starts), strict=True)


def _again(source, whole, folders):
    name, expected, _ = whole
    starts = [functools.partial(_start, source, folder / name) for folder in folders]
    for folder, result in zip(folders, _in_turn(starts), strict=True):
        assert result.returncode == SOME_FAILED, (folder, result.stderr)
        assert "9 images scored, 1 could not be read" in result.stdout
        _same(folder, expected)


def test_killed_at_each_operation(source, whole, tmp_path):
    folders = []
    for folder, result in _disturbed(source, whole, tmp_path, killing):
        assert result.returncode == KILLED
        folders.append(folder)
    *folders, done = folders
    _again(source, whole, folders)
    # At the last operation, which removes the lock, there is nothing left to do.
    result = _start(source, done / whole[0]).wait()
    assert result.returncode == 1 and "is there already" in result.stderr
    _same(done, whole[1])


def test_a_full_disk_at_each_operation(source, whole, tmp_path):
    """One line that names the file; and what the same command is good for, where there is anything."""
    folders = []
    failed = 0
    for folder, result in _disturbed(source, whole, tmp_path, full_disk):
        if result.returncode == SOME_FAILED:  # the disk was full when all that was left was to clear up
            _same(folder, whole[1])
            continue
        failed += 1
        assert result.returncode == 1 and "Traceback" not in result.stderr
        last = result.stderr.splitlines()[-1]
        assert last.startswith(f"error: {folder}") and "No space left on device" in last
        left = [pathlib.Path(folder, f"{whole[0]}{end}") for end in (".part", ".errors.part")]
        has_rows = any(path.exists() and path.read_bytes().count(b"\n") > 1 for path in left)
        assert ("the same command goes on" in last) == has_rows
        folders.append(folder)
    assert failed > 10
    _again(source, whole, folders)


def test_two_jobs_beside_each_other(source, whole, tmp_path):
    name, expected, _ = whole
    (tmp_path / "a").mkdir()
    jobs = [_start(source, tmp_path / "a" / name), _start(source, tmp_path / "b" / name)]
    for job, folder in zip(jobs, ("a", "b"), strict=True):
        assert job.wait().returncode == SOME_FAILED
        _same(tmp_path / folder, expected)


def test_many_jobs_on_one_table(tmp_path, source):
    """Started at once: one does it, or one after the other; whoever is refused says so in one line."""
    np.savez(tmp_path / "a.npz", images=np.stack([image(n) for n in range(300)]))
    out = tmp_path / "x.csv"
    jobs = [score(f"npz:{tmp_path / 'a.npz'}", out, source[1]) for _ in range(4)]
    results = [job.wait() for job in jobs]
    assert sorted(result.returncode for result in results) == [0, 1, 1, 1]
    for result in results:
        if result.returncode:
            last = result.stderr.splitlines()[-1]
            assert "--out: " in last and ("in use" in last or "is there already" in last)
    assert keys(out) == [f"images:{n}" for n in range(300)]
