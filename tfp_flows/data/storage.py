"""From which size on decoded images are kept on a disk instead of in memory, and where.

Both are settings of the process, as `choose` sets them: they change no result.
"""

import dataclasses
import os
from pathlib import Path

from tfp_flows.checks import memory
from tfp_flows.data.errors import DataError

_FRACTION = 4  # of memory that a set may take: in being made it takes up to three times as much
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Storage:
    """Where large sets are kept.

    Attributes:
      memory_limit: Bytes that the decoded images of a set may take in memory.
      folder: For copies of those that would take more.
    """

    memory_limit: int
    folder: str


@dataclasses.dataclass(frozen=True)
class Copying:
    """How a large source is copied.

    Attributes:
      storage: Where copies lie.
      num_bytes: Of the copy, at most.
      image_bytes: Of one image in it, about.
      fingerprint: Of the source's files.
    """

    storage: Storage
    num_bytes: int
    image_bytes: int
    fingerprint: str


_chosen: dict[str, float | str | None] = {"memory_limit_mib": None, "cache_dir": None}


def choose(memory_limit_mib: float | None = None, cache_dir: str | os.PathLike | None = None) -> None:
    """Sets what `load` takes by default, in this process.

    Args:
      memory_limit_mib: MiB that the decoded images of a set may take in memory; None for a quarter of the
        memory that this process may have.
      cache_dir: Folder for copies of those that would take more; None for $XDG_CACHE_HOME/tfp_flows, or else
        ~/.cache/tfp_flows.

    Raises:
      DataError: If the limit is no positive number.
    """
    storage(memory_limit_mib, cache_dir)
    _chosen["memory_limit_mib"] = memory_limit_mib
    _chosen["cache_dir"] = None if cache_dir is None else os.fspath(cache_dir)


def storage(memory_limit_mib: float | None = None, cache_dir: str | os.PathLike | None = None) -> Storage:
    """The `Storage` of these settings; where one is None, as `choose` has it.

    Raises:
      DataError: As `choose`.
    """
    limit = _chosen["memory_limit_mib"] if memory_limit_mib is None else memory_limit_mib
    folder = _chosen["cache_dir"] if cache_dir is None else os.fspath(cache_dir)
    if limit is None:
        num_bytes = memory.usable_bytes() // _FRACTION
    elif isinstance(limit, int | float) and 0 < limit < float("inf"):
        num_bytes = int(limit * _MIB)
    else:
        raise DataError(f"`memory_limit_mib` must be a positive number, got {limit!r}")
    path = os.path.expanduser(str(folder)) if folder else _default_folder()
    return Storage(num_bytes, os.path.abspath(path))


def _default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "tfp_flows"
