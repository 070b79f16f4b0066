"""What lies in a folder: pictures, what cannot be had, and what else there is.

Files are found in all subfolders, those that are links too. A folder is read once: real folders before links
to them, so that no picture is there under two names, and a loop of links ends. Names that start with a dot
are left out. A file is a picture by its suffix, in any case; one without a suffix by its first bytes.
"""

import collections
import dataclasses
import os
import stat
from collections.abc import Iterator

from tfp_flows.data.decoding import SUFFIXES, looks_like_picture
from tfp_flows.data.errors import DataError
from tfp_flows.data.files import check_regular

# Pictures all the same, which a person would miss.
NOT_READ = frozenset(".heic .heif .hif .jxl .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .psd .tga".split())
_Folders = list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Listing:
    """What lies in a folder; paths are relative to it, with slashes, ascending.

    Attributes:
      images: The pictures, as far as their names tell.
      skipped: (path, reason) of what would be a picture, or a folder, but cannot be had.
      doubled: (path, reason) of links to folders that are read under another name.
      unknown: Files without a suffix that are no pictures.
      others: (suffix, number) of all other files.
    """

    images: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    doubled: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    others: tuple[tuple[str, int], ...] = ()


def list_folder(path: str) -> Listing:
    """Lists a folder; or one picture, by the name of its file.

    Args:
      path: The folder, or the file; `~` is expanded.

    Raises:
      DataError: If there is no such folder.
    """
    root = os.path.expanduser(path)
    if os.path.isfile(root):
        return Listing((os.path.basename(root),))
    if not os.path.isdir(root):
        if suffix_of(root) in SUFFIXES:
            raise DataError(f"folder:{path}: no such file")
        raise DataError(
            f"folder:{path}: no such folder (an '@' starts an operation only where a known one follows it)"
        )
    return _Walk(root).listing()


def root_of(path: str) -> str:
    """The folder that the paths of a `Listing` are relative to."""
    root = os.path.expanduser(path)
    return os.path.dirname(root) or "." if os.path.isfile(root) else root


class _Walk:
    """One walk through a folder."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._seen: set[tuple[int, int]] = set()
        self._links: _Folders = []
        self._images: list[str] = []
        self._skipped: list[tuple[str, str]] = []
        self._doubled: list[tuple[str, str]] = []
        self._unknown: list[str] = []
        self._others: collections.Counter[str] = collections.Counter()

    def listing(self) -> Listing:
        above = set(_above(self._root))
        folders: _Folders = [(self._root, "")]
        while folders or self._links:
            is_link = not folders
            folder, relative = folders.pop() if folders else self._links.pop(0)
            identity = _identity(folder)
            if is_link and identity in above:
                self._doubled.append((relative, "is a link back to a folder that holds it"))
            elif is_link and identity in self._seen:
                self._doubled.append((relative, "is a link to a folder that was read already"))
            else:
                self._seen.add(identity)
                folders += self._read(folder, relative)
        return Listing(
            tuple(sorted(self._images)),
            tuple(sorted(self._skipped)),
            tuple(sorted(self._doubled)),
            tuple(sorted(self._unknown)),
            tuple(sorted(self._others.items())),
        )

    def _read(self, folder: str, relative: str) -> Iterator[tuple[str, str]]:
        """Takes the files of a folder, and gives its real subfolders; links to folders wait."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not relative:
                raise DataError(f"folder:{folder}: {why_unreadable(error)}") from error
            self._skipped.append((relative, why_unreadable(error)))
            return
        for entry in found:
            if entry.name.startswith("."):
                continue
            path = f"{relative}/{entry.name}" if relative else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield entry.path, path
            elif entry.is_symlink() and entry.is_dir():
                self._links.append((entry.path, path))
            else:
                self._file(entry, path)

    def _file(self, entry: os.DirEntry[str], path: str) -> None:
        suffix = suffix_of(entry.name)
        if suffix and suffix not in SUFFIXES and suffix not in NOT_READ:
            self._others[suffix] += 1
        elif not entry.is_file():
            self._skipped.append((path, why_not_there(entry.path)))
        elif suffix in NOT_READ:
            self._skipped.append((path, why_not_read(suffix)))
        elif suffix or looks_like_picture(entry.path):
            self._images.append(path)
        else:
            self._unknown.append(path)


def why_not_there(path: str) -> str:
    """Why something is no file that can be read; "" where it can."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            os.scandir(path).close()
        check_regular(path)
    except OSError as error:
        what = "is a link that leads nowhere" if os.path.islink(path) else "cannot be read"
        return f"{what}: {error.strerror or error}"
    except (DataError, ValueError) as error:
        return str(error)
    suffix = suffix_of(path)
    return why_not_read(suffix) if suffix in NOT_READ else ""


def why_not_read(suffix: str) -> str:
    """What is said of a format that is not read."""
    return f"is {suffix[1:].upper()}, which is not read: save it as PNG or JPEG"


def why_unreadable(error: OSError) -> str:
    """What is said of a file or folder that cannot be opened."""
    return f"cannot be read: {error.strerror or error}"


def suffix_of(name: str) -> str:
    """The suffix in lower case; "" where there is none."""
    suffix = os.path.splitext(name)[1].lower()
    return "" if suffix == "." else suffix


def _identity(folder: str) -> tuple[int, int]:
    try:
        status = os.stat(folder)
    except OSError:
        return (-1, hash(folder))
    return status.st_dev, status.st_ino


def _above(root: str) -> Iterator[tuple[int, int]]:
    """The folders that hold the root."""
    place = os.path.realpath(root)
    while place != os.path.dirname(place):
        place = os.path.dirname(place)
        yield _identity(place)
