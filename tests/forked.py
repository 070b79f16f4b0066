"""Commands in tests: each in a process of its own, forked from one that has imported TensorFlow once.

A command started with `python -m` spends most of a test's time importing TensorFlow. Here a server imports
it and never computes anything, so that each command begins as a fresh process would, at once. What
TensorFlow reads from the environment while it is imported is the server's.
"""

import atexit
import dataclasses
import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess

ROOT = pathlib.Path(__file__).resolve().parents[1]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.forked_preload"])


@dataclasses.dataclass(frozen=True)
class Result:
    """How a command ended.

    Attributes:
      returncode: Its exit status; minus the signal's number where a signal ended it.
      stdout: Its output, as text; bytes that are not UTF-8 as surrogates.
      stderr: Likewise.
    """

    returncode: int
    stdout: str
    stderr: str


class Command:
    """A command that is running."""

    def __init__(self, process: BaseProcess, outputs: tempfile.TemporaryDirectory):
        self._process = process
        self._outputs = outputs

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends the process a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = 300.0) -> Result:
        """Waits for the end; raises `TimeoutError`, having killed the process, where it does not come."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"the command ran longer than {timeout} s\n{self._text('stderr')}")
        return Result(code, self._text("stdout"), self._text("stderr"))

    def _text(self, name: str) -> str:
        return (pathlib.Path(self._outputs.name) / name).read_bytes().decode("utf-8", "surrogateescape")


def start(
    module: str,
    *arguments: str | os.PathLike,
    cwd: str | os.PathLike = ROOT,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Command:
    """Starts `python -m MODULE ARGUMENTS`.

    Args:
      module: "tfp_flows.train".
      *arguments: "--run=...".
      cwd: Working directory.
      env: Variables that the process has besides the server's.
      before: Called in the process before the command; a function of a module, or a `functools.partial` of
        one.
    """
    outputs = tempfile.TemporaryDirectory(prefix="forked")
    for name in ("stdout", "stderr"):
        (pathlib.Path(outputs.name) / name).touch()
    argv = [module, *map(os.fspath, arguments)]
    job = (argv, os.fspath(cwd), dict(env or {}), before, outputs.name)
    process = _SERVER.Process(target=_run, args=job, daemon=False)
    process.start()
    return Command(process, outputs)


def command(
    module: str,
    *arguments: str | os.PathLike,
    cwd: str | os.PathLike = ROOT,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
    timeout: float = 300.0,
) -> Result:
    """Runs `python -m MODULE ARGUMENTS` to its end; as `start`."""
    return start(module, *arguments, cwd=cwd, env=env, before=before).wait(timeout)


def _run(
    argv: list[str], cwd: str, env: dict[str, str], before: Callable[[], None] | None, outputs: str
) -> None:
    _redirect(pathlib.Path(outputs))
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = list(argv)
    code = 1
    try:
        if before is not None:
            before()
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = _status(end.code)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # threads end first, as in an interpreter: what is next takes TensorFlow apart
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _redirect(outputs: pathlib.Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(outputs / name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)


def _status(code: object) -> int:
    """The exit status that Python makes of `sys.exit(code)`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
