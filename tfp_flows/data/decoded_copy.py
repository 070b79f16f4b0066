"""Copies of decoded images on a disk: made once, by one process, whole or not at all.

A copy is a folder of the cache. `images.npy` is what `np.save` writes, so other programs can map it; beside
it are `contents.json` (keys, ...), `labels.npy` where there are labels, and `copy.json`, which says what it
is a copy of. Its name ends in a digest of that: of the source, its files' sizes and times, the operations,
and the versions of what decodes. A copy that nothing uses any more may be deleted.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL

from tfp_flows.checks import atomic, sizes
from tfp_flows.checks.memory import size_text
from tfp_flows.data.decoding import Fact
from tfp_flows.data.errors import DataError
from tfp_flows.data.row_file import RowFile
from tfp_flows.data.storage import Storage

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None  # type: ignore[assignment]

IMAGES = "images.npy"
_CONTENTS, _LABELS, _DESCRIPTION = "contents.json", "labels.npy", "copy.json"
_FORMAT = 1
_ROOM = 1.02  # times the images' bytes, for keys and labels


class Contents(NamedTuple):
    """What is known of some images besides their pixels.

    Attributes:
      keys: N strings, or none.
      labels: int64 `[N]`, or None.
      facts: N of what pictures were before they were decoded, or none.
      skipped: (key, reason) of what was left out.
    """

    keys: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    facts: tuple[Fact, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


class DecodedCopy(NamedTuple):
    """A copy on a disk: images uint8 `[N, H, W, C]`, and what else is known of them."""

    images: RowFile
    contents: Contents


def decoded_copy(
    what: Mapping[str, str],
    name: str,
    num_bytes: int,
    write: Callable[[Path], Contents],
    storage: Storage,
) -> DecodedCopy:
    """The copy of something, made if it is not there.

    A second process that wants it at the same time waits for the first. What a writer has left that was
    killed is never taken for a copy, and is removed by the next one.

    Args:
      what: All that decides upon the images, by names; "source" is what its folder is called.
      name: The set, for messages.
      num_bytes: Of the decoded images, at most.
      write: Function that writes them to `IMAGES` in a folder.
      storage: Where.

    Raises:
      DataError: If the disk has no room for it, or it cannot be written; or from `write`.
    """
    description = json.dumps({"format": str(_FORMAT), **_versions(), **what}, indent=2, sort_keys=True)
    path = Path(storage.folder) / _folder_name(what, description)
    found = _opened(path, description)
    if found is not None:
        return found
    with _in_words(name, num_bytes, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path, name):
            found = _opened(path, description)
            if found is not None:
                return found
            for left in path.parent.glob(f".{path.name}.*"):
                shutil.rmtree(left, ignore_errors=True)
            if shutil.disk_usage(path.parent).free < _ROOM * num_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent))
            with atomic.replacing_folder(path) as new:
                _describe(new, description, write(new))
    found = _opened(path, description)
    if found is None:
        raise DataError(f"{name}: its copy in {path} is gone, or was changed, as soon as it was made")
    size = size_text(os.stat(found.images.path).st_size)
    print(f"{name}: decoded {len(found.images):,} images once to {path}: {size}", file=sys.stderr)
    return found


def _folder_name(what: Mapping[str, str], description: str) -> str:
    digest = hashlib.sha256(description.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    readable = re.sub(r"[^A-Za-z0-9]+", "_", os.path.basename(what["source"].rstrip("/")))
    return f"{readable.strip('_')[:40] or 'images'}-{digest}"


def _versions() -> dict[str, str]:
    """Of what decodes and resizes."""
    import tensorflow as tf  # here, so that names can be taken apart without it

    return {"pillow": PIL.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}


def _opened(path: Path, description: str) -> DecodedCopy | None:
    """The copy, or None where there is none, or one that is damaged."""
    try:
        if (path / _DESCRIPTION).read_text(encoding="utf-8") != description:
            return None
        images = RowFile(path / IMAGES)
        sizes.check_held((path / _CONTENTS).stat().st_size, f"{path}", DataError)
        values = json.loads((path / _CONTENTS).read_text(encoding="utf-8"))
        contents = Contents(
            tuple(values["keys"]),
            np.load(path / _LABELS, allow_pickle=False) if values["labels"] else None,
            tuple(Fact(*each) for each in values["facts"]),
            tuple((key, reason) for key, reason in values["skipped"]),
        )
    except (OSError, ValueError, TypeError, KeyError):  # a DataError is a ValueError
        return None
    lengths = {len(each) for each in (contents.keys, contents.facts) if each}
    labels = contents.labels
    fits = lengths <= {len(images)} and (labels is None or labels.shape == (len(images),))
    return DecodedCopy(images, contents) if fits and images.dtype == np.uint8 else None


def _describe(folder: Path, description: str, contents: Contents) -> None:
    """Writes what is not the images."""
    values = contents._replace(labels=None)._asdict() | {"labels": contents.labels is not None}
    (folder / _CONTENTS).write_text(json.dumps(values), encoding="utf-8")
    if contents.labels is not None:
        np.save(folder / _LABELS, contents.labels.astype(np.int64))
    (folder / _DESCRIPTION).write_text(description, encoding="utf-8")


@contextlib.contextmanager
def _alone(path: Path, name: str) -> Iterator[None]:
    """Lets one process at a time make a copy; the kernel takes the lock from one that is killed."""
    with open(path.with_name(f"{path.name}.lock"), "a", encoding="utf-8") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{name}: another process decodes it to {path}; waiting", file=sys.stderr)
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks: two may make it, and the last one's stays
                pass
        yield


@contextlib.contextmanager
def _in_words(name: str, num_bytes: int, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            place = error.filename or folder
            raise DataError(f"`cache_dir`: {place} cannot be written: {error.strerror or error}") from error
        free = size_text(shutil.disk_usage(folder).free) if folder.exists() else "nothing"
        raise DataError(
            f"{name}: its decoded images take {size_text(num_bytes)} on a disk, and {folder} has {free} "
            f"free: make room, or choose another `cache_dir`"
        ) from error
