"""Files that a reader, or a crash, sees whole or not at all."""

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file so that a reader, or a crash, sees the old or the new one, never a part.

    It is written beside (`PATH.tmp`, which a crash may leave and the next writing replaces), brought to the
    disk, and renamed. Two processes that write one path need a lock: see `runs.locked`.

    Args:
      path: Of the file, whose folder is there.
      content: Text, written as UTF-8, or bytes.

    Raises:
      OSError: If it cannot be written; `filename` says which.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(path.name + ".tmp")
    data = content.encode("utf-8") if isinstance(content, str) else content
    with naming_file(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync(path.parent)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """A new folder to fill, which then takes the place of `path`, as a whole or not at all.

    It is made beside, in `.NAME.*`, brought to the disk, and renamed; an earlier `path` is removed, through
    a link if it is one. A process that is killed leaves what is beside; between the two renames, `path` is
    there as `.NAME.*/old`.

    Args:
      path: Of the folder; those that it lies in are made.

    Raises:
      OSError: If it cannot be written; `filename` says which.
    """
    path = pathlib.Path(os.path.realpath(path) if os.path.islink(path) else path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming_file(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
        new = pathlib.Path(beside) / "new"
        new.mkdir()
        yield new
        sync_folder(new)
        old = pathlib.Path(beside) / "old"
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
        sync(path.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Brings all files of a folder and its subfolders to the disk: before it is renamed to its name.

    Raises:
      OSError: If that fails; `filename` says where.
    """
    for parent, _, names in os.walk(os.fspath(folder), onerror=_raise):
        for name in names:
            sync(os.path.join(parent, name))
        sync(parent)


def sync(path: str | os.PathLike) -> None:
    """Brings a file, or the list of a folder's files, to the disk.

    Raises:
      OSError: If that fails; `filename` says where.
    """
    if os.name == "nt" and os.path.isdir(path):  # which Windows cannot open
        return
    with naming_file(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:  # some network's file systems have no such thing for folders
            if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not os.path.isdir(path):
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def naming_file(path: str | os.PathLike) -> Iterator[None]:
    """Puts the file's name into an `OSError` that has none, as a full disk's when something is written."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def _raise(error: OSError) -> None:
    raise error
