"""A detector's save and an export that are killed, or whose disk is full, at each operation on files.

What a kill leaves at an operation is what is in the folder then: all of that is copied, and looked at.
"""

import errno
import os
import shutil

import pytest

from tests.faults.operations import Operations
from tests.scoring.images import save_detector
from tfp_flows import runs, serving
from tfp_flows.checks import UserError


@pytest.fixture(scope="module")
def work(tmp_path_factory, make_run):
    """A folder with a run and a detector, and its operations."""
    folder = tmp_path_factory.mktemp("faults")
    make_run(folder, "glow")
    return folder, Operations(folder)


def _export(work, out):
    serving.export(runs.Run(work[0] / "glow"), out)


def _save(work, out):
    save_detector(out)


WRITERS = {"detector": (_save, "detector.json"), "export": (_export, "signature.json")}


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_kill_leaves_the_folder_whole_or_none(work, tmp_path, kind):
    write, description = WRITERS[kind]
    folder, operations = work
    place, copies = folder / f"{kind}_place", []
    out = place / "out"

    def copy(number, text):
        copies.append((text, tmp_path / str(len(copies))))
        if place.exists():
            shutil.copytree(place, copies[-1][1])

    with operations.each(copy):
        write(work, out)
    first = _names(out)
    (out / description).write_text("{}")  # the earlier one is told from the next
    earlier = len(copies)
    with operations.each(copy):
        write(work, out)
    assert _names(out) == first and [path.name for path in place.iterdir()] == ["out"]
    between = 0
    for number, (text, left) in enumerate(copies):
        if (left / "out").exists():
            assert _names(left / "out") == first, text
        elif number >= earlier:
            (old,) = left.glob(".out.*/old")
            assert _names(old) == first, text
            between += 1
    assert between == 1
    last = copies[-1][1]
    write(work, last / "out")  # the same command goes on, whatever lies there
    assert _names(last / "out") == first


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_and_the_earlier_folder_stays(work, kind):
    write, _ = WRITERS[kind]
    folder, operations = work
    out = folder / f"{kind}_full" / "out"
    write(work, out)
    count = []
    with operations.each(lambda number, text: count.append(text)):
        write(work, out)
    before, went_on = _contents(out), []
    making = [k for k, text in enumerate(count) if not text.startswith(("os.remove", "os.rmdir"))]
    for at in making[:: 2 if kind == "export" else 1]:  # an export takes seconds

        def refuse(number, text, at=at):
            if number == at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), text.split(" ", 1)[1])

        with operations.each(refuse):
            try:
                write(work, out)
            except (OSError, UserError) as error:
                assert getattr(error, "filename", None) or str(out.parent) in str(error), count[at]
            else:
                before = _contents(out)
                went_on.append(count[at])  # it was there already, or was tried again
        assert _contents(out) == before, count[at]
    assert len(went_on) < len(making) / 2, went_on
