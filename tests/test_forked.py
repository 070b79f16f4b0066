"""The tools of tests: commands in forked processes, and faults in them."""

import functools
import os
import signal
import time

import pytest

from tests import forked
from tests.faults import injection


def _write_files(folder, count):
    for number in range(count):
        with open(os.path.join(folder, f"{number}.tmp"), "w") as file:
            file.write("x" * 100)
        os.replace(os.path.join(folder, f"{number}.tmp"), os.path.join(folder, f"{number}"))


def _both(first, second):
    first()
    second()


def test_a_command_runs_as_python_would_run_it(tmp_path):
    found = forked.command("tfp_flows", "--version")
    assert (found.returncode, found.stderr) == (0, "") and found.stdout[0].isdigit()
    wrong = forked.command("tfp_flows.evaluate", f"--run={tmp_path / 'none'}", cwd=tmp_path)
    assert wrong.returncode == 1 and "no run in" in wrong.stderr and wrong.stdout == ""


def test_a_command_is_quick_once_the_server_runs():
    forked.command("tfp_flows", "--version")
    start = time.monotonic()
    forked.command("tfp_flows", "--version")
    assert time.monotonic() - start < 3


def test_a_signal_ends_a_command():
    running = forked.start("tfp_flows", "--version", before=functools.partial(time.sleep, 60))
    running.send_signal(signal.SIGKILL)
    assert running.wait().returncode == -signal.SIGKILL
    with pytest.raises(TimeoutError):
        forked.command("tfp_flows", "--version", before=functools.partial(time.sleep, 60), timeout=0.5)


def test_operations_are_counted_and_fail_where_they_are_told_to(tmp_path):
    folder, log = tmp_path / "files", tmp_path / "log"
    folder.mkdir()
    write = functools.partial(_write_files, folder, 3)

    def run(fault):
        return forked.command("tfp_flows", "--version", before=functools.partial(_both, fault, write))

    assert run(functools.partial(injection.counting, folder, log)).returncode == 0
    kinds = [line.split()[0] for line in log.read_text().splitlines()]
    assert kinds == ["open", "os.rename"] * 3
    for file in folder.iterdir():
        file.unlink()
    assert run(functools.partial(injection.killing, folder, 3)).returncode == injection.KILLED
    assert sorted(file.name for file in folder.iterdir()) == ["0", "1.tmp"]
    full = run(functools.partial(injection.full_disk, folder, 2))
    assert full.returncode == 1 and "No space left on device" in full.stderr
    large = run(functools.partial(injection.limit_file_size, 50))
    assert large.returncode == 1 and "File too large" in large.stderr
