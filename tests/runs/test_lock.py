"""A lock has one holder; of those that are gone it is taken over, of others' it says what to do."""

import json
import os
import signal
import socket
import threading
import time

import pytest

from tfp_flows import runs
from tfp_flows.runs import lock


def _forked(function):
    """Number of a process that runs `function()` and ends with what that returns."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = function()
        finally:
            os._exit(status)
    return pid


def _status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _try(path):
    try:
        with runs.locked(path, "run"):
            return 0
    except runs.InUseError as error:
        assert "\n" not in str(error) and f"process {os.getppid()} of {socket.gethostname()}" in str(error)
        return 1


@pytest.mark.parametrize("is_folder", [True, False])
def test_one_holder_at_a_time(tmp_path, is_folder):
    path = tmp_path if is_folder else tmp_path / "scores.csv"
    with runs.locked(path, "run") as held:
        assert held.file == (tmp_path / "lock" if is_folder else tmp_path / "scores.csv.lock")
        assert _status(_forked(lambda: _try(path))) == 1
        held.check("run")
        assert [p.name for p in tmp_path.iterdir()] == [held.file.name]
    assert _status(_forked(lambda: _try(path))) == 0
    assert list(tmp_path.iterdir()) == []


def test_another_name_of_the_folder_is_the_same_lock(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with runs.locked(tmp_path / "run", "run"):
        assert _status(_forked(lambda: _try(tmp_path / "link"))) == 1


def test_this_process_has_it_once(tmp_path):
    found = []

    def other():
        with pytest.raises(runs.InUseError, match="`out`: .* by this very process, in its MainThread") as e:
            with runs.locked(tmp_path, "out"):
                pass
        found.append(e)

    with runs.locked(tmp_path, "out") as held:
        other()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(found) == 2
        held.check("out")  # it was not released by those that did not get it
    with runs.locked(tmp_path, "out"):
        pass


def _hold(path, then):
    def hold():
        with runs.locked(path, "run"):
            then()
        return 0

    return _forked(hold)


@pytest.mark.parametrize("reaped", [True, False])
def test_what_a_killed_process_left_is_taken_over(tmp_path, reaped):
    pid = _hold(tmp_path, lambda: time.sleep(60))
    while not (tmp_path / "lock").exists():
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    if reaped:
        os.waitpid(pid, 0)
    else:
        while lock._started(pid) is not None:
            time.sleep(0.001)
    with runs.locked(tmp_path, "run") as held:
        assert json.loads(held.file.read_text())["pid"] == os.getpid()
    if not reaped:
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "change", [{"started": 1}, {"boot": "another"}, {"pid": 2**22 + 1}, {"started": None, "pid": 2**22 + 1}]
)
def test_whoever_is_not_the_process_it_was_is_gone(tmp_path, change):
    """Its number is used again, or was before the host started again."""
    owner = vars(lock.Owner.this_process()) | {"pid": os.getppid(), "started": lock._started(os.getppid())}
    (tmp_path / "lock").write_text(json.dumps(owner))
    assert not lock.Owner(**owner).is_gone()
    with pytest.raises(runs.InUseError, match=f"by process {os.getppid()} of .* since .*; wait for it"):
        with runs.locked(tmp_path, "run"):
            pass
    (tmp_path / "lock").write_text(json.dumps(owner | change))
    with runs.locked(tmp_path, "run"):
        pass


def test_another_hosts_is_named_and_left(tmp_path):
    owner = vars(lock.Owner.this_process()) | {"host": "elsewhere", "pid": 2**22 + 1}
    (tmp_path / "lock").write_text(json.dumps(owner))
    with pytest.raises(runs.InUseError, match=f"of elsewhere since .* is dead, remove {tmp_path}/lock"):
        with runs.locked(tmp_path, "run"):
            pass
    assert json.loads((tmp_path / "lock").read_text()) == owner


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"host": 3}', "\0" * 100])
def test_a_damaged_one_is_named(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    with pytest.raises(runs.InUseError, match=f"the lock {tmp_path}/lock cannot be read; remove it if"):
        with runs.locked(tmp_path, "run"):
            pass


def test_a_holder_that_has_another_number_here_is_there(tmp_path):
    """As in a container of its own that has this host's name."""
    pid = _hold(tmp_path, lambda: time.sleep(60))
    while not (tmp_path / "lock").exists():
        time.sleep(0.001)
    owner = json.loads((tmp_path / "lock").read_text())
    with open(tmp_path / "lock", "r+") as file:  # the same file
        file.write(json.dumps(owner | {"started": owner["started"] + 1}) + "\n")
    with pytest.raises(runs.InUseError, match="or by one that it has started; if none is left, remove"):
        with runs.locked(tmp_path, "run"):
            pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with runs.locked(tmp_path, "run"):
        pass


def test_a_process_that_was_forked_does_not_release_it(tmp_path):
    with runs.locked(tmp_path, "run") as held:

        def release():
            held.release()
            return 0

        assert _status(_forked(release)) == 0
        held.check("run")


def test_a_lock_or_a_folder_that_was_removed_is_noticed(tmp_path):
    with runs.locked(tmp_path, "run") as held:
        held.file.unlink()
        with pytest.raises(runs.InUseError, match="`run`: .* was removed, or taken over by another job"):
            held.check("run")
        held.file.write_text("another job's")
        with pytest.raises(runs.InUseError):
            held.check("run")
    assert (tmp_path / "lock").read_text() == "another job's"


@pytest.mark.parametrize("links", [True, False])
def test_of_many_that_take_over_one_wins(tmp_path, monkeypatch, links):
    """Whoever holds it appends its number twice; nobody's numbers are between another's."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links")))
    record = tmp_path / "record"

    def once():
        for _ in range(20):
            try:
                with runs.locked(tmp_path, "run"):
                    for _ in range(2):
                        with open(record, "a") as file:
                            file.write(f"{os.getpid()}\n")
                        time.sleep(0.001)
                    os._exit(0)  # as if killed: the lock stays
            except runs.InUseError:
                time.sleep(0.003)
        return 1

    (tmp_path / "lock").write_text(json.dumps(vars(lock.Owner.this_process()) | {"started": 1}))
    processes = [_forked(once) for _ in range(12)]
    statuses = [_status(pid) for pid in processes]
    numbers = record.read_text().split()
    assert statuses.count(0) > 1 and len(numbers) == 2 * statuses.count(0)
    assert numbers[::2] == numbers[1::2]


def test_what_a_killed_one_left_half_made_is_cleared_up(tmp_path):
    (tmp_path / "lock.123.456.tmp").write_text("")
    with runs.locked(tmp_path, "run"):
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
