"""What was meant by a name that is a path, without the `folder:` or `npz:` before it."""

import contextlib
import os
from collections.abc import Iterator

from tfp_flows.data.decoding import SUFFIXES
from tfp_flows.data.errors import DataError
from tfp_flows.data.names import TABLE, Source, take_apart

_MARKS = ("/", "./", "../", "~")


@contextlib.contextmanager
def meant(source: Source, name: str) -> Iterator[None]:
    """Has what goes wrong with a TFDS name, where a file or folder is called so, say what to type.

    Args:
      source: Of the name.
      name: As it was given.

    Raises:
      DataError: At once, where the name can be nothing but a path; else in the place of another.
    """
    if source.kind == TABLE:
        raise DataError(f"{name}: a table of numbers holds no images")
    kind = _kind(source.argument) if source.kind == "tfds" and source.argument == source.text else ""
    if source.kind != "tfds" or source.argument != source.text:
        yield
    elif kind and _is_path(source.argument):
        raise DataError(_hint(name, kind))
    elif _is_path(source.argument):
        raise DataError(f"{name}: no such file or folder")
    else:
        try:
            yield
        except DataError as error:
            if not kind:
                raise
            raise DataError(f"{_hint(name, kind)} ({str(error).removesuffix('.')})") from error


def _kind(path: str) -> str:
    """The kind of source that lies at a path; "" for none."""
    place = os.path.expanduser(path)
    if os.path.isdir(place):
        return "folder"
    file = os.path.basename(place).lower()
    if not os.path.exists(place):
        return ""
    if file.endswith(".npz"):
        return "npz"
    if ".tfrecord" in file or file.endswith(".tfr"):
        return "tfrecord"
    return "folder" if os.path.splitext(file)[1] in SUFFIXES else ""


def _is_path(text: str) -> bool:
    return text.startswith(_MARKS) or text.endswith(("/", ".npz", ".tfrecord")) or text in (".", "..")


def _hint(name: str, kind: str) -> str:
    parts = take_apart(name)
    alias = parts.alias and f"{parts.alias}="
    return f"'{name}' is a path: did you mean {alias}{kind}:{parts.text}?"
