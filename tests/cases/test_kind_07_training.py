"""A job that goes on is the same job."""

import functools
import os
import pathlib
import shutil
import signal
import socket
import time
import warnings

import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tests.faults import injection, signals, tiny_training
from tfp_flows import data, runs, training
from tfp_flows.checks import UserError
from tfp_flows.runs import checkpoint_files

TINY = "tests.faults.tiny_training"


def _wait_for(path, job):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def test_case_37_the_second_training_in_a_folder_is_refused(tmp_path):
    """In one line that says whose the folder is, and the first goes on; also of `fit`."""
    run = tmp_path / "run"
    first = forked.start(TINY, f"--run={run}", "--steps=1000000")
    _wait_for(run / "checkpoints" / "ckpt-2.index", first)
    second = forked.command(TINY, f"--run={run}", "--steps=1000000")
    who = f"error: --run: {run} is in use by process {first.pid} of {socket.gethostname()} since "
    assert second.returncode == 1 and second.stderr.startswith(who)
    assert (
        second.stderr.endswith("; wait for it, or name another --run.\n") and second.stderr.count("\n") == 1
    )
    with pytest.raises(UserError, match="`run`: .* is in use by process"):
        tiny_training.train(run, steps=1_000_000)
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (run / "lock").exists()
    step = checkpoint_files.step_of(checkpoint_files.named(run / "checkpoints")[0])
    with pytest.raises(_Reached) as reached:
        tiny_training.train(run, steps=1_000_000, callbacks=[_raise_reached])
    assert step < reached.value.args[0] <= step + 2 and not (run / "lock").exists()


class _Reached(Exception):
    """Ends a training."""


def _raise_reached(step, values, model):
    raise _Reached(step)


@pytest.fixture
def family_run(tmp_path):
    """A run of a Glow with checkpoints of steps 2 and 4."""
    config = training.TrainingConfig(steps=4, batch_size=16, checkpoint_every=2, validate_every=0)
    model = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    spec = runs.RunSpec("glow", model, vars(config), "digits", (8, 8, 1))
    run = runs.Run(tmp_path / "family_run")
    digits = data.load("digits", "train").images
    training.train(run, spec, "", digits, digits[:8], progress=False)
    return run


def test_case_37_a_reader_beside_a_training_takes_the_next(family_run, monkeypatch):
    """Whose checkpoint is removed between looking and reading, as often as that happens; without a word."""
    removed, load_checkpoint = [], tf.train.load_checkpoint

    def rotate(prefix):
        step = checkpoint_files.step_of(checkpoint_files.named(family_run.checkpoints)[0])
        if step < 8:
            for suffix in (".data-00000-of-00001", ".index"):
                files = family_run.checkpoints / f"ckpt-{step}{suffix}"
                files.rename(family_run.checkpoints / f"ckpt-{step + 2}{suffix}")
            names = f'model_checkpoint_path: "ckpt-{step + 2}"\n'
            (family_run.checkpoints / "checkpoint").write_text(names)
            removed.append(step)
        return load_checkpoint(prefix)

    monkeypatch.setattr(tf.train, "load_checkpoint", rotate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runs.load_model(family_run)[1] == 4  # as the renamed one says
    assert removed == [4, 6]


def test_case_38_killed_at_the_first_checkpoint(tmp_path):
    """Nothing was lost, so that training begins anew; the forms are in tests/faults."""
    run = tmp_path / "run"
    tiny_training.train(run)
    shutil.rmtree(run / "best")
    for path in (run / "checkpoints").iterdir():
        if path.name.startswith("ckpt-6"):
            path.rename(path.with_name(path.name.replace("-6", "-0")))
        else:
            path.unlink()
    (run / "checkpoints" / "ckpt-0.index").unlink()
    _, history = tiny_training.train(run)
    assert [row.step for row in history.rows] == [2, 4, 6]


@pytest.mark.parametrize("file", ["ckpt-4.data-00000-of-00001", "ckpt-4.index"])
@pytest.mark.parametrize("change", ["cut", "flipped", "missing"])
def test_case_39_the_newest_good_checkpoint_is_evaluated(family_run, file, change):
    """With a warning that names the bad one; for training see tests/faults."""
    path = family_run.checkpoints / file
    content = bytearray(path.read_bytes())
    path.unlink()
    if change == "cut":
        path.write_bytes(content[: len(content) // 2])
    if change == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.warns(runs.RunWarning, match="checkpoints/ckpt-4 cannot be read: .*; .*/ckpt-2 is taken"):
        model = tfp_flows.load(family_run.folder)
    with pytest.warns(runs.RunWarning):
        assert runs.load_model(family_run)[1] == 2
    with pytest.warns(runs.RunWarning):
        assert model.run_reference.digest == family_run.checkpoint_digest()


def test_case_39_files_are_on_the_disk_before_they_are_named(tmp_path, monkeypatch):
    told, fsync, replace = [], os.fsync, os.replace

    def name(path):
        return pathlib.Path(path).name

    def syncing(descriptor):
        told.append(name(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", lambda a, b: (told.append(f"{name(b)} is named"), replace(a, b)))
    checkpoint = tf.train.Checkpoint(v=tf.Variable(1.0))
    checkpoint_files.write(checkpoint, tmp_path, 3, keep=2)
    assert told == [
        *("writing.data-00000-of-00001", "writing.index"),
        *("ckpt-3.data-00000-of-00001 is named", "ckpt-3.index is named", tmp_path.name),
        *("checkpoint.tmp", "checkpoint is named", tmp_path.name),
    ]
    assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-3")


LOST = "metrics.csv has lost its rows of {} of 3 steps, from {} to {}; training goes on from step 6"


@pytest.mark.parametrize(
    ("cut", "said", "left"),
    [
        (lambda text: "", LOST.format(3, 2, 6), []),
        (lambda text: text[:9], LOST.format(3, 2, 6), []),
        (lambda text: text[:-1], LOST.format(1, 6, 6), [2, 4]),
        (lambda text: text[: text.index("\n4,") + 8], LOST.format(2, 4, 6), [2]),
        (lambda text: text.replace("\n4,", "\n\0,"), LOST.format(1, 4, 4), [2, 6]),
        (lambda text: text + "8,1.0,1.0", None, [2, 4, 6]),
        (lambda text: text + "8,1.0,1.0,1.0,,1.0\n", None, [2, 4, 6]),
    ],
)
def test_case_40_a_cut_table_of_metrics_is_mended(tmp_path, recwarn, cut, said, left):
    """Rows after the checkpoint's step are dropped, cut ones too; what is lost is said."""
    table = tmp_path / "run" / "metrics.csv"
    tiny_training.train(tmp_path / "run")
    table.write_text(cut(table.read_text()))
    recwarn.clear()
    _, history = tiny_training.train(tmp_path / "run", steps=8)
    found = [str(warning.message) for warning in recwarn if warning.category is runs.RunWarning]
    assert (len(found) == 1 and said in found[0] and str(tmp_path) in found[0]) if said else found == []
    assert [row.step for row in history.rows] == [*left, 8]
    assert [line.split(",")[0] for line in table.read_text().splitlines()[1:]] == [
        str(step) for step in sorted({*left, *_validated(table), 8})
    ]


def _validated(table):
    return [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:] if line.split(",")[4]]


def test_case_41_a_diverged_training_says_what_can_be_done(tmp_path):
    """A folder keeps its settings, so that others need another one; which works."""
    settings = dict(warmup=0.0, optimizer="adam", ema_decay=0.0, steps=30)
    message = f"{tmp_path}/run/.* is intact; try a lower `learning_rate`.* in another `run`"
    with pytest.raises(training.TrainingDiverged, match=message):
        tiny_training.train(tmp_path / "run", learning_rate=1e30, **settings)
    with pytest.raises(runs.RunError, match="choose another `run`"):
        tiny_training.train(tmp_path / "run", learning_rate=0.01, **settings)
    tiny_training.train(tmp_path / "other", learning_rate=0.01, **settings)


def test_case_42_a_full_disk_is_one_line(tmp_path):
    """That names the checkpoint; each file and operation is in tests/faults."""
    run = tmp_path / "run"
    full = functools.partial(injection.limit_file_size, 1350)  # less than a checkpoint, more than the rest
    result = forked.command(TINY, f"--run={run}", before=full)
    assert result.returncode == 1 and result.stderr == (
        f"error: --run: the checkpoint {run}/checkpoints/ckpt-0 cannot be written: File too large; what was "
        f"there before is intact, and the same command goes on once it can write again.\n"
    )
    assert forked.command(TINY, f"--run={run}").returncode == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_case_44_a_signal_ends_a_command_as_shells_expect(tmp_path, number, status):
    """A training with a checkpoint, any other with one line."""
    run = tmp_path / "run"
    job = forked.start(
        "tfp_flows.train",
        *(f"--run={run}", "--dataset=digits", "--levels=1", "--steps_per_level=1", "--hidden_channels=4"),
        *("--steps=1000000", "--checkpoint_every=2", "--log_every=2", "--noprogress"),
        before=signals.usual,
    )
    _wait_for(run / "checkpoints" / "ckpt-2.index", job)
    job.send_signal(number)
    result = job.wait()
    step = runs.load_model(runs.Run(run))[1]
    said = f"Interrupted at step {step:,}; the same command resumes.\n"
    assert (result.returncode, result.stderr) == (status, "") and result.stdout.endswith(f".\n{said}")
    assert not (run / "lock").exists()
    job = forked.start(TINY, f"--run={tmp_path / 'file'}", "--wait", before=signals.usual)
    _wait_for(tmp_path / "file", job)
    job.send_signal(number)
    result = job.wait()
    said = "Interrupted.\n" if number == signal.SIGINT else f"Ended by {number.name}.\n"
    assert (result.returncode, result.stdout, result.stderr) == (status, "", said)


def test_case_44_nohup_is_heeded(tmp_path):
    job = forked.start(TINY, f"--run={tmp_path / 'run'}", "--steps=40", before=signals.ignore_hangup)
    _wait_for(tmp_path / "run" / "checkpoints" / "ckpt-0.index", job)
    job.send_signal(signal.SIGHUP)
    assert job.wait().returncode == 0
