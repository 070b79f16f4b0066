"""The grammar of a data set's name: SOURCE[@OPERATION]...

In `folder:PATH` and `npz:PATH` the path may contain `@` itself. There the operations are the
longest run of trailing pieces that begin with the name of a known operation, and end in no slash:
`folder:me@home/x@resize=32` is the folder `me@home/x`, resized. A folder that is really called
`x@rgb` is written with a slash at its end: `folder:x@rgb/`. Everywhere else each `@` starts an
operation.
"""

import dataclasses
import re

from tfp_flows.data.errors import DataError
from tfp_flows.data.operations import OPERATION_KINDS, Operation, parse_operation

PATH_KINDS = ("folder", "npz")
EMBEDDED_KINDS = ("photos", "digits")
SYNTHETIC_KINDS = ("constant", "noise")
SOURCE_CHOICES = "photos, digits, constant, constant=128, noise, folder:PATH, npz:PATH"
_OPERATION_PIECE = re.compile(rf"(?:{'|'.join(OPERATION_KINDS)})(?:=[^/]*)?")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
      kind: "folder", "npz", "photos", "digits", "constant", "noise" or "tfds".
      argument: The path, the grey level of `constant=128` ("" for all), or the TFDS name.
      text: The source as it was written.
    """

    kind: str
    argument: str
    text: str


def parse_name(name: str) -> tuple[Source, tuple[Operation, ...]]:
    """Takes a name apart. Whether the source exists is not looked at here.

    Args:
      name: A name like "mnist@resize=32@rgb".

    Returns:
      The source, and the operations from left to right.

    Raises:
      DataError: If an operation, a grey level or an empty path makes no sense.
    """
    pieces = name.split("@")
    count = 1
    if pieces[0].startswith(tuple(f"{kind}:" for kind in PATH_KINDS)):
        count = len(pieces)
        while count > 1 and _OPERATION_PIECE.fullmatch(pieces[count - 1]):
            count -= 1
    source = _parse_source("@".join(pieces[:count]))
    return source, tuple(parse_operation(piece, name) for piece in pieces[count:])


def _parse_source(text: str) -> Source:
    prefix, colon, path = text.partition(":")
    if colon and prefix in PATH_KINDS:
        if not path:
            raise DataError(f"'{text}' names no path: write {prefix}:PATH")
        return Source(prefix, path, text)
    if text in EMBEDDED_KINDS + SYNTHETIC_KINDS:
        return Source(text, "", text)
    if text.startswith("constant="):
        level = text.removeprefix("constant=")
        if not (level.isascii() and level.isdigit() and int(level) <= 255):
            raise DataError(f"'{text}': the grey level must be an integer 0..255")
        return Source("constant", level, text)
    return Source("tfds", text, text)
