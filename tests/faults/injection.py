"""A fault at the k-th operation on files of a process.

Python tells an audit hook (`sys.addaudithook`) of each file that is opened, renamed, removed or made,
before it happens. The hook counts those under a folder, and at the k-th kills the process, or says that
the disk is full. What TensorFlow's C++ writes is not told; `limit_file_size` reaches that too.

    forked.command("tfp_flows.train", ..., before=functools.partial(counting, folder, file))
    forked.command("tfp_flows.train", ..., before=functools.partial(killing, folder, 5))
"""

import errno
import os
import pathlib
import resource
import signal
import sys
from collections.abc import Callable

KILLED = 137  # exit status of a process that SIGKILL ended, as shells have it
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def counting(folder: str | os.PathLike, file: str | os.PathLike) -> None:
    """Writes each operation of this process on files under `folder` as a line of `file`."""
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _watch(folder, lambda number, text: os.write(out, text.encode("utf-8", "backslashreplace") + b"\n"))


def killing(folder: str | os.PathLike, at: int) -> None:
    """Ends this process as SIGKILL would, just before the operation of that number (from 0)."""

    def kill(number: int, text: str) -> None:
        if number == at:
            os._exit(KILLED)

    _watch(folder, kill)


def full_disk(folder: str | os.PathLike, at: int) -> None:
    """Lets that operation (from 0) fail with ENOSPC, and all that open, make or rename after it."""

    def refuse(number: int, text: str) -> None:
        if number >= at and not text.startswith(("os.remove", "os.rmdir")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), text.split(" ", 1)[1])

    _watch(folder, refuse)


def limit_file_size(size: int) -> None:
    """Lets each write beyond `size` bytes of a file fail with EFBIG, C++'s too."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _watch(folder: str | os.PathLike, act: Callable[[int, str], object]) -> None:
    prefix = os.path.realpath(folder)
    process = os.getpid()
    ending = sys.is_finalizing  # by then this module's names are None, and Python still opens files
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if ending() or event not in _CHANGES and event != "open" or os.getpid() != process:
            return
        path = arguments[0]
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        if not isinstance(path, str | bytes | os.PathLike):
            return
        full = pathlib.Path(os.fsdecode(path)).absolute()
        if os.path.realpath(full.parent).startswith(prefix) or str(full).startswith(prefix):
            number, count = count, count + 1
            act(number, f"{event} {full}")

    sys.addaudithook(hook)
