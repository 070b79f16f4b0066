"""Paths that TensorFlow can read back what was written to, and folders that may be replaced."""

import fnmatch
import os
import pathlib
from collections.abc import Collection

from tfp_flows.checks.errors import UserError

# TensorFlow looks for the files of checkpoints, SavedModels and data sets by patterns, in which these stand
# for others; there is no way to escape them (TF 2.21).
OF_PATTERNS = "[]*?\\"
OF_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini", ".nfs*")  # which file managers and file systems leave
OF_SAVED_MODELS = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables", "assets*")


def check_path(path: str | os.PathLike, argument: str) -> str | os.PathLike:
    """`path` as it is, to be called before any work is done for it.

    Args:
      path: Of a folder that TensorFlow will write or read.
      argument: What it was given as, for the message.

    Raises:
      UserError: If it has a character of `OF_PATTERNS`: TensorFlow would write there, and find nothing; or
        bytes that are no UTF-8, with which TensorFlow takes no path at all.
    """
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"`{argument}`: {os.fspath(path)!r} is no UTF-8, which TensorFlow needs.") from error
    found = [character for character in OF_PATTERNS if character in os.fspath(path)]
    if found:
        raise UserError(
            f"`{argument}`: {os.fspath(path)!r} has {found[0]!r} in it, which TensorFlow takes for a "
            f"pattern of file names; use a path without any of {' '.join(OF_PATTERNS)}."
        )
    return path


def why_not_replaced(folder: pathlib.Path, what: str, mark: str, own: Collection[str]) -> str | None:
    """Why a folder may not give way to a new one of its kind; None where it may.

    Args:
      folder: Which may not be there, or be empty.
      what: What is to be written there, such as "export".
      mark: Name of the file that each of these has.
      own: Patterns of the names of all that they have: anything else is somebody's, and would be lost.
    """
    if not folder.exists():
        return None
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if not (folder.is_dir() and (mark in names or not names)):
        return f"`out`: {folder} is there already and is no {what}."
    known = (mark, *own, *OF_SYSTEMS)
    others = [name for name in names if not any(fnmatch.fnmatchcase(name, each) for each in known)]
    if not others:
        return None
    return (
        f"`out`: {folder} holds {others[0]} beside the {what}, which would be lost: move it, or take "
        f"another folder."
    )
