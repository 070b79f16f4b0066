"""Files that somebody else may have made: read whole if they are files, and no larger than they may be."""

import json
import os
import stat
from typing import Any

from tfp_flows.checks import sizes
from tfp_flows.checks.errors import UserError


def is_remote(path: str | os.PathLike) -> bool:
    """Whether TensorFlow reads it from another file system, such as gs://BUCKET."""
    return "://" in os.fspath(path)


def read_bytes(path: str | os.PathLike, most: int = sizes.MOST_TEXT) -> bytes:
    """The contents of a file.

    Args:
      path: Local or remote.
      most: Bytes that it may have.

    Raises:
      OSError: If there is no such file, or it cannot be read.
      UserError: If it is no file but a pipe or a device, whose reader might wait for ever, or is too large.
    """
    if is_remote(path):
        import tensorflow as tf  # here: a local file needs none, and no seconds of importing it

        with tf.io.gfile.GFile(os.fspath(path), "rb") as file:
            check_length(tf.io.gfile.stat(os.fspath(path)).length, path, most)
            return file.read()
    check_regular(path)
    with open(path, "rb") as file:
        check_length(os.fstat(file.fileno()).st_size, path, most)
        return file.read(most)


def read_json(path: str | os.PathLike) -> Any:
    """The contents of a file of JSON.

    Raises:
      OSError: If there is no such file, or it cannot be read.
      UserError: If it is no file, too large, or no JSON.
    """
    content = read_bytes(path)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise UserError(f"{os.fspath(path)} is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{os.fspath(path)} is no JSON: {error}") from error


def check_regular(path: str | os.PathLike) -> None:
    """Refuses pipes, sockets and devices.

    Raises:
      OSError: If there is nothing.
      UserError: If it is neither a file nor a folder.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{os.fspath(path)} is no file")


def check_folder(folder: str | os.PathLike) -> None:
    """Refuses a local folder with anything but files and folders in it, at any depth.

    Raises:
      OSError: If it cannot be listed.
      UserError: Naming what is none.
    """
    if is_remote(folder):
        return
    for parent, _, names in os.walk(os.fspath(folder)):
        for name in names:
            check_regular(os.path.join(parent, name))


def check_length(length: int, path: str | os.PathLike, most: int) -> None:
    """Refuses a file of more bytes than `most`.

    Raises:
      UserError: Naming it.
    """
    if length > most:
        raise UserError(f"{os.fspath(path)} has {length:,} bytes, at most {most:,} are read")
