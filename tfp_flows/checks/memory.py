"""How much memory this process may have: the machine's, or what its control group (a container) allows."""

import os
import pathlib

_PROC, _GROUPS = "/proc/self/cgroup", "/sys/fs/cgroup"
_V1 = "memory/memory.limit_in_bytes"
_V2 = "memory.max"


def usable_bytes(proc: str = _PROC, groups: str = _GROUPS) -> int:
    """Bytes of memory that this process may have.

        min(machine's memory, limits of the process's control group and of those above it)

    See https://docs.kernel.org/admin-guide/cgroup-v2.html, `memory.max`.

    Args:
      proc: The file that says which control group the process is in.
      groups: The folder of control groups.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for file in _files(proc, groups) if (limit := _limit(file)) is not None)])


def size_text(num_bytes: int) -> str:
    """A number of bytes as people read it: "1.4 GiB", "20 MiB"."""
    if num_bytes >= 2**30:
        return f"{num_bytes / 2**30:,.1f} GiB"
    return f"{num_bytes / 2**20:,.0f} MiB" if num_bytes >= 10 * 2**20 else f"{num_bytes / 2**20:,.1f} MiB"


def _files(proc: str, groups: str) -> list[pathlib.Path]:
    """The files that may hold a limit: of version 1, and of version 2 from the process's group upwards."""
    root = pathlib.Path(groups)
    found = [root / _V1, root / _V2]
    try:
        lines = pathlib.Path(proc).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in lines:
        number, _, path = line.partition("::")
        if number == "0":
            group = pathlib.PurePosixPath(path.strip("/"))
            found += [root / each / _V2 for each in (group, *group.parents)]
    return found


def _limit(file: pathlib.Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) > 0 else None  # "max": none
