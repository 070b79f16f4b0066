"""Paths that TensorFlow can read back what was written to."""

import os

from tfp_flows.checks.errors import UserError

# TensorFlow looks for the files of checkpoints, SavedModels and data sets by patterns, in which these stand
# for others; there is no way to escape them (TF 2.21).
OF_PATTERNS = "[]*?\\"


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
