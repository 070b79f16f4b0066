"""A training is killed, or its disk is full, at each operation on files: the same command ends the same.

What a kill leaves at an operation is what is in the folder then: all of that is copied in one training, and
training goes on from each copy. So every kill is tried; some of them by killing processes, too.
"""

import errno
import functools
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests import forked
from tests.faults import injection, tiny_training
from tests.faults.operations import Operations
from tfp_flows import runs
from tfp_flows.checks import UserError
from tfp_flows.runs import checkpoint_files

TINY = "tests.faults.tiny_training"
COPYING = shutil.ignore_patterns("events")  # which are no part of a training's state


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder, and its operations."""
    folder = tmp_path_factory.mktemp("faults")
    return folder, Operations(folder)


@pytest.fixture(scope="module")
def whole(work):
    """A training without a fault, and what was in its folder before each operation."""
    folder, operations = work
    run, copies = folder / "whole", []

    def copy(number, text):
        copies.append((text, folder / "copies" / str(number)))
        if run.exists():
            shutil.copytree(run, copies[-1][1], ignore=COPYING)

    with operations.each(copy):
        tiny_training.train(run)
    assert len(copies) > 25 and tf.train.latest_checkpoint(run / "best")
    return run, copies


def _tensors(folder):
    path = runs.checkpoint_files.named(folder)[0]
    reader = tf.train.load_checkpoint(str(path))
    return path.name, {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _files(run):
    return sorted(
        str(path.relative_to(run))
        for path in run.rglob("*")
        if path.is_file() and "events" not in path.parts
    )


def _check_same(run, whole):
    """All of two runs but the time that they took."""
    assert _files(run) == _files(whole)
    for name in ("checkpoints", "best"):
        (step, ours), (other_step, theirs) = _tensors(run / name), _tensors(whole / name)
        assert (step, ours.keys()) == (other_step, theirs.keys())
        for key, value in theirs.items():
            np.testing.assert_array_equal(ours[key], value, err_msg=key)
    assert (run / "run.json").read_bytes() == (whole / "run.json").read_bytes()
    rows, others = ((each / "metrics.csv").read_text().splitlines() for each in (run, whole))
    assert [row.rpartition(",")[0] for row in rows] == [row.rpartition(",")[0] for row in others]


def _go_on(run, whole):
    tiny_training.train(run)
    _check_same(run, whole)


def _again(copy, folder):
    """A copy of a copy, which stays as it is."""
    if copy.exists():
        shutil.copytree(copy, folder)
    return folder


def test_each_kill(whole, tmp_path, recwarn):
    """Nothing is lost, said to be damaged, or left behind."""
    run, copies = whole
    for number, (text, copy) in enumerate(copies):
        print(text)
        _go_on(_again(copy, tmp_path / str(number)), run)
    assert [str(warning.message) for warning in recwarn if warning.category is runs.RunWarning] == []


@pytest.mark.parametrize("at", [4, 17, 30])
def test_some_kills_of_processes(whole, tmp_path, at):
    """The lock of a process that is gone is no obstacle."""
    run = tmp_path / "run"
    killed = forked.command(TINY, f"--run={run}", before=functools.partial(injection.killing, tmp_path, at))
    assert killed.returncode == injection.KILLED, killed
    assert (run / "lock").exists()
    _go_on(run, whole[0])


def _unnamed(copies):
    """Copies from before a checkpoint is named, with its path in them."""
    for text, copy in copies:
        folder = copy / pathlib.Path(text).parent.name
        if text.startswith("open ") and text.endswith("/checkpoint.tmp"):
            named = checkpoint_files.named(folder) or []
            new = [path.with_suffix("") for path in folder.glob("*.index")]
            yield copy, max(set(new) - set(named), key=checkpoint_files.step_of)


def _data(prefix):
    return prefix.with_name(f"{prefix.name}.data-00000-of-00001")


def _index(prefix):
    return prefix.with_name(f"{prefix.name}.index")


def _truncate(name, share):
    def truncate(prefix):
        os.truncate(name(prefix), int(share * name(prefix).stat().st_size))

    return truncate


def _zero(name):
    return lambda prefix: name(prefix).write_bytes(bytes(name(prefix).stat().st_size))


def _flip(name, share):
    def flip(prefix):
        content = bytearray(name(prefix).read_bytes())
        content[int(share * len(content))] ^= 16
        name(prefix).write_bytes(content)

    return flip


def _remove(*names):
    return lambda prefix: [name(prefix).unlink() for name in names]


def _replace(name, make):
    def replace(prefix):
        name(prefix).unlink()
        make(name(prefix))

    return replace


def _temporary(prefix):
    """As where TensorFlow was writing it."""
    folder = prefix.with_name(prefix.name + "_temp")
    folder.mkdir()
    _data(prefix).rename(folder / "part-00000-of-00001.data-00000-of-00001.tempstate123")
    _index(prefix).unlink()


# What a crash may leave of a checkpoint that was not named yet.
CUT_SHORT = {
    "nothing": _remove(_index, _data),
    "temporary": _temporary,
    "no index": _remove(_index),
    "no data": _remove(_data),
    "empty index": _truncate(_index, 0.0),
    "half an index": _truncate(_index, 0.5),
    "empty data": _truncate(_data, 0.0),
    "half of the data": _truncate(_data, 0.5),
    "nearly all data": _truncate(_data, 0.99),
    "zeros": _zero(_data),
}


@pytest.mark.parametrize("form", CUT_SHORT)
def test_kills_while_a_checkpoint_is_written(whole, tmp_path, form):
    """It is not missed, and its remains are cleared up: those of step 0, and of one of the others."""
    run, copies = whole
    first, *others = _unnamed(copies)
    assert len(others) == 5
    for copy, prefix in (first, others[list(CUT_SHORT).index(form) % len(others)]):
        print(prefix)
        again = _again(copy, tmp_path / copy.name)
        CUT_SHORT[form](again / prefix.relative_to(copy))
        _go_on(again, run)


def _fifo(path):
    path.unlink()
    os.mkfifo(path)


def _folder(path):
    path.unlink()
    path.mkdir()


def _names(prefix):
    return prefix.with_name("checkpoint")


# What may be wrong with the newest checkpoint of a folder, by what the warning says of it.
DAMAGED = {
    "index missing": (_remove(_index), "ckpt-4 cannot be read: its .index file is missing"),
    "index empty": (_truncate(_index, 0.0), "ckpt-4 cannot be read"),
    "index half": (_truncate(_index, 0.5), "ckpt-4 cannot be read"),
    "index zero": (_zero(_index), "ckpt-4 cannot be read"),
    "index flipped": (_flip(_index, 0.3), "ckpt-4 cannot be read"),
    "index pipe": (lambda prefix: _fifo(_index(prefix)), "ckpt-4 cannot be read: ckpt-4.index is no file"),
    "data missing": (_remove(_data), "ckpt-4 cannot be read: its .data file is missing"),
    "data empty": (_truncate(_data, 0.0), "ckpt-4 cannot be read"),
    "data half": (_truncate(_data, 0.5), "ckpt-4 cannot be read"),
    "data cut": (_truncate(_data, 0.999), "ckpt-4 cannot be read"),
    "data zero": (_zero(_data), "ckpt-4 cannot be read"),
    "data flipped first": (_flip(_data, 0.0), "ckpt-4 cannot be read"),
    "data flipped": (_flip(_data, 0.5), "ckpt-4 cannot be read"),
    "data flipped last": (_flip(_data, 0.999), "ckpt-4 cannot be read"),
    "data pipe": (lambda prefix: _fifo(_data(prefix)), "is no file"),
    "both missing": (_remove(_index, _data), "ckpt-4 cannot be read"),
    "names missing": (
        _remove(_names),
        "checkpoint, which names the newest checkpoint, is damaged or missing",
    ),
    "names empty": (_truncate(_names, 0.0), "which names the newest checkpoint, is damaged"),
    "names cut": (_truncate(_names, 0.1), "which names the newest checkpoint, is damaged"),
    "names zero": (_zero(_names), "which names the newest checkpoint, is damaged"),
    "names pipe": (lambda prefix: _fifo(_names(prefix)), "which names the newest checkpoint, is damaged"),
    "names folder": (
        lambda prefix: _folder(_names(prefix)),
        "which names the newest checkpoint, is damaged",
    ),
}


@pytest.mark.parametrize("form", DAMAGED)
def test_a_damaged_checkpoint_is_named_and_done_without(whole, tmp_path, form):
    run, copies = whole
    damage, said = DAMAGED[form]
    for _, copy in copies:
        if [p.name for p in checkpoint_files.named(copy / "checkpoints") or []] == ["ckpt-4", "ckpt-2"]:
            again = _again(copy, tmp_path / "run")
            break
    damage(again / "checkpoints" / "ckpt-4")
    with pytest.warns(runs.RunWarning, match=rf"^`run`: .*{said}.*; .*ckpt-\d is taken\.$"):
        _go_on(again, run)


def _refused(run):
    """Whether a training says in one line, which names a file or folder of the run, that it cannot write."""
    try:
        tiny_training.train(run)
    except (UserError, OSError) as error:
        line = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        assert str(run) in line and "\n" not in line
        return True
    return False


def _is_needed(operation):
    """Whether nothing can take an operation's place; a lock that is left is taken over."""
    return not (
        operation.startswith("os.link") or operation.startswith("os.remove") and "/lock" in operation
    )


@pytest.mark.parametrize("for_good", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_each_operation_that_fails(whole, work, number, for_good):
    """A full disk, and a folder that can only be read: from that operation on, or at that one alone."""
    whole_run, copies = whole
    folder, operations = work
    failed = []

    def refuse(at, now, text):
        removes = text.startswith("os.remove") and number == errno.ENOSPC
        if (now >= at if for_good else now == at) and not removes:
            failed.append(text)
            raise OSError(number, os.strerror(number), text.split(" ", 1)[1])

    stride = 1 if (number, for_good) == (errno.ENOSPC, True) else 3
    for at in range(0, len(copies), stride):
        run = folder / f"fails_{errno.errorcode[number]}_{for_good}" / str(at)
        run.parent.mkdir(exist_ok=True)
        failed.clear()
        with operations.each(functools.partial(refuse, at)):
            refused = _refused(run)
        print(failed)
        assert refused == any(map(_is_needed, failed))
        _go_on(run, whole_run)


def test_a_full_disk_under_tensorflow(whole, tmp_path):
    """Each file that it writes, at some length: one line, exit status 1, and the same command goes on."""
    for name in ("run.json", "trained_on.npz", "checkpoints/ckpt-6.data-00000-of-00001"):
        run = tmp_path / name.partition("/")[0]
        size = (whole[0] / name).stat().st_size - 1
        limit = functools.partial(injection.limit_file_size, size)
        result = forked.command(TINY, f"--run={run}", before=limit)
        assert result.returncode == 1 and result.stdout == "", result
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
        said = "the checkpoint" if run.name == "checkpoints" else f"{run / run.name}: File too large"
        assert "File too large" in result.stderr and str(run) in result.stderr and said in result.stderr
        _go_on(run, whole[0])


def test_a_full_disk_under_tensorboard(tmp_path):
    """Its events grow while the files of checkpoints do not."""
    arguments = (f"--run={tmp_path / 'run'}", "--steps=40")
    limit = functools.partial(injection.limit_file_size, 2000)
    result = forked.command(TINY, *arguments, before=limit)
    message = f"error: --run: no events can be written to {tmp_path / 'run' / 'events'}: File too large."
    assert (result.returncode, result.stderr) == (1, message + "\n")
    assert forked.command(TINY, *arguments).returncode == 0
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows if row.split(",")[1]] == list(range(2, 41, 2))


def test_a_folder_that_is_removed_stays_so(tmp_path):
    def remove(step, values, model):
        if step == 3:
            shutil.rmtree(tmp_path / "run")

    message = f"`run`: {tmp_path}/run was removed, or taken over by another job"
    with pytest.raises(runs.InUseError, match=message) as error:
        tiny_training.train(tmp_path / "run", callbacks=[remove])
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()
