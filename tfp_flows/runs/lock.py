"""A lock that one job has on a folder or a file, so that no other one writes there at the same time.

It is a file: LOCK inside of a folder, PATH.lock beside a file. It says which process of which host holds it
and since when. What a process of this host left behind that is gone (killed, or before the host started
again) is taken over. Of another host's nobody here can know whether it is alive: the error says what to do.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

from tfp_flows.runs.atomic import naming_file
from tfp_flows.runs.errors import RunError

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
TRIES, PAUSE = 100, 0.01  # seconds


class InUseError(RunError):
    """Another job writes there; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Owner:
    """The process that holds a lock.

    Attributes:
      host: Its host's name.
      pid: Its number.
      started: When it was started, in the kernel's ticks since the host was (/proc/PID/stat, field 22), by
        which a number that is used again is told apart; None where there is no /proc.
      boot: The host's boot; None likewise.
      since: When it took the lock, as people write it.
    """

    host: str
    pid: int
    started: int | None
    boot: str | None
    since: str

    @classmethod
    def this_process(cls) -> "Owner":
        """This one, now."""
        since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()), _boot(), since)

    @classmethod
    def of(cls, text: str) -> "Owner":
        """From a lock file's contents; `UNKNOWN` where they are damaged."""
        try:
            values = json.loads(text)
            owner = cls(**values)
            return owner if isinstance(owner.pid, int) and isinstance(owner.host, str) else UNKNOWN
        except (ValueError, TypeError):
            return UNKNOWN

    def is_gone(self) -> bool:
        """Whether it is known to be gone; False of another host's."""
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot():
            return True
        if self.pid == os.getpid() and self.started == _started(self.pid):
            return True  # this very process, before it replaced itself by another program
        if self.started is not None:
            return self.started != _started(self.pid)
        return not _is_there(self.pid)


UNKNOWN = Owner("", 0, None, None, "")


class Lock:
    """A lock that this process holds.

    Attributes:
      path: What is locked.
      file: The lock file.
    """

    def __init__(self, path: pathlib.Path, file: pathlib.Path, descriptor: int):
        """Takes what `locked` has made."""
        self.path = path
        self.file = file
        self._descriptor = descriptor
        self._pid = os.getpid()

    def check(self, argument: str) -> None:
        """To be called before something is written that must not be another job's.

        Args:
          argument: What the path was given as, for the message.

        Raises:
          InUseError: If the lock file, or the whole folder, was removed or replaced meanwhile.
        """
        if not self._is_ours():
            raise InUseError(
                f"`{argument}`: {self.path} was removed, or taken over by another job, while this one was "
                f"writing to it: its lock, {self.file}, is gone."
            )

    def release(self) -> None:
        """Removes the lock file if it still is this one's."""
        if self._pid == os.getpid():  # not in a process that was forked from this one
            with contextlib.suppress(OSError):
                if self._is_ours():
                    self.file.unlink()
        os.close(self._descriptor)

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.file), os.fstat(self._descriptor))
        except OSError:
            return False


_held: dict[tuple[int, str], str] = {}  # (process, lock file) -> thread
_guard = threading.Lock()


@contextlib.contextmanager
def locked(path: str | os.PathLike, argument: str) -> Iterator[Lock]:
    """Holds a lock as long as the `with` block runs.

    Args:
      path: A folder, which must be there, or a file, which need not be.
      argument: What it was given as, for the message: "run", "out".

    Yields:
      `Lock`.

    Raises:
      InUseError: If another job has it, of this process or another.
      OSError: If nothing can be written there.
    """
    path = pathlib.Path(path)
    own = pathlib.Path(os.path.realpath(path))
    file = own / LOCK if own.is_dir() else own.with_name(f"{own.name}.{LOCK}")
    key = (os.getpid(), str(file))
    with _guard:
        if key in _held:
            raise InUseError(
                f"`{argument}`: {path} is in use by this very process, in its {_held[key]}; "
                f"wait for it, or name another `{argument}`."
            )
        _held[key] = threading.current_thread().name
    try:
        with naming_file(file):
            lock = Lock(path, file, _take(path, file, argument))
        try:
            yield lock
        finally:
            lock.release()
    finally:
        with _guard:
            del _held[key]


def _take(path: pathlib.Path, file: pathlib.Path, argument: str) -> int:
    """Makes the lock file; returns its open descriptor."""
    for _ in range(TRIES):
        owner = _owner(file)
        if owner is None:
            descriptor = _make(file)
            if descriptor is not None:
                return descriptor
        elif owner is not UNKNOWN and not owner.is_gone():
            break
        elif owner is UNKNOWN or not _remove_stale(file):
            time.sleep(PAUSE)  # someone else is making it, or taking it over, just now
    raise InUseError(_in_use(path, file, argument, owner))


def _in_use(path: pathlib.Path, file: pathlib.Path, argument: str, owner: Owner | None) -> str:
    if owner is UNKNOWN:
        return f"`{argument}`: the lock {file} cannot be read; remove it if no other job uses {path}."
    if owner is None:
        return f"`{argument}`: several jobs begin to use {path} at the same time; name another `{argument}`."
    where = f"`{argument}`: {path} is in use by process {owner.pid} of {owner.host} since {owner.since}"
    if owner.host != socket.gethostname():
        return f"{where}; if that job is dead, remove {file}."
    if owner.is_gone():
        return f"{where}, or by one that it has started; if none is left, remove {file}."
    return f"{where}; wait for it, or name another `{argument}`."


def _make(file: pathlib.Path) -> int | None:
    """Makes the lock file, whole from its first moment; None where there is one already."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(descriptor, json.dumps(dataclasses.asdict(Owner.this_process())).encode() + b"\n")
        os.fsync(descriptor)
        _try_flock(descriptor)  # by which the kernel, too, knows whether this process is there
        made = _link(temporary, file)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    if made:
        _remove_temporaries(file)
        return descriptor
    os.close(descriptor)
    return None


def _link(temporary: pathlib.Path, file: pathlib.Path) -> bool:
    """Gives the temporary file its name; False where there is one of that name already."""
    try:
        os.link(temporary, file)
        return True
    except (FileExistsError, FileNotFoundError):  # the latter where another one has cleared up
        return False
    except OSError:  # a file system without links
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            return False
        try:
            os.replace(temporary, file)
        except OSError:
            file.unlink()
            raise
        return True


def _remove_temporaries(file: pathlib.Path) -> None:
    """Removes what processes left that were killed while they made the lock; who is alive tries again."""
    for path in file.parent.iterdir():
        if path.name.startswith(f"{file.name}.") and path.name.endswith(".tmp"):
            with contextlib.suppress(OSError):
                path.unlink()


def _owner(file: pathlib.Path) -> Owner | None:
    """Who holds the lock; None where nobody does."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    try:
        text = os.read(descriptor, 4096).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    return Owner.of(text)


def _remove_stale(file: pathlib.Path) -> bool:
    """Removes the lock of a process that is gone, unless it is not gone; False if so.

    Several may want to: whoever has the kernel's lock on this very file removes it, and all others find
    another file of that name, or none.
    """
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        if not _try_flock(descriptor):
            return False  # its holder is there after all: in a container where it has another number
        with contextlib.suppress(FileNotFoundError):
            owner = Owner.of(os.read(descriptor, 4096).decode("utf-8", "replace"))
            if os.path.samestat(os.stat(file), os.fstat(descriptor)) and owner.is_gone():
                file.unlink()
        return True
    finally:
        os.close(descriptor)


def _try_flock(descriptor: int) -> bool:
    """Whether this process has the kernel's lock on the file now, or there is no such lock here."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks
        return True
    return True


def _started(pid: int) -> int | None:
    """When a process was started; None where it is gone, a zombie included, or there is no /proc."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # a program's name, the second field, may have blanks
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str | None:
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
