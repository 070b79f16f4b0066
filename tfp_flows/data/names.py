"""The grammar of a data set's name: [ALIAS=]SOURCE[@OPERATION]...

The same names hold everywhere: to train on, to evaluate on, to score. `mnist` and `tfds:mnist` are one
name; a picture's file, `photo.jpg`, is a folder of one. An alias is what tables, legends and files call the
set: `birds=folder:photos/birds@resize=32`. It has no `=`, `@`, `:` or `/`, and is not `constant`:
`constant=128` is a source.

A table of numbers, `points.csv` or `table:PATH`, is no set of images: see `tfp_flows.data.tables`.

In `folder:PATH`, `npz:PATH`, `tfrecord:GLOB` and `table:PATH` the path may contain `@` itself. There the
operations are the longest run of trailing pieces that begin with the name of a known operation, and end in
no slash: `folder:me@home/x@resize=32` is the folder `me@home/x`, resized. A folder that is really called
`x@rgb` is written with a slash at its end: `folder:x@rgb/`. Everywhere else each `@` starts an
operation.
"""

import dataclasses
import os
import re
from typing import NamedTuple

from tfp_flows.data.decoding import SUFFIXES
from tfp_flows.data.errors import DataError
from tfp_flows.data.operations import OPERATION_KINDS, Operation, parse_operation

TABLE = "table"
TABLE_SUFFIXES = (".csv", ".npy")  # and .npz, which may hold images too
PATH_KINDS = ("folder", "npz", "tfrecord", TABLE)
EMBEDDED_KINDS = ("photos", "digits", "fashion_mnist_small", "mnist_small")
SYNTHETIC_KINDS = ("constant", "noise")
SOURCE_CHOICES = (
    "fashion_mnist_small, mnist_small, photos, digits, constant, constant=128, noise, folder:PATH, "
    "npz:PATH, tfrecord:GLOB"
)
_OPERATION_PIECE = re.compile(rf"(?:{'|'.join(OPERATION_KINDS)})(?:=[^/]*)?")
_ALIAS = re.compile(r"\s*(?!constant=)([^=@:/]*[^=@:/\s])\s*=(.+)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
      kind: "folder", "npz", "tfrecord", "photos", "digits", "fashion_mnist_small", "mnist_small",
        "constant", "noise" or "tfds"; "table" for what holds vectors, "memory" for what cannot be loaded.
      argument: The path, the grey level of `constant=128` ("" for all), or the TFDS name.
      text: The source as it was written.
    """

    kind: str
    argument: str
    text: str


class Identity(NamedTuple):
    """What a name means, however it is spelled: two names of one identity name the same images.

    Attributes:
      kind: Of the source.
      argument: Of the source; a path is absolute and without symbolic links.
      operations: From left to right.
    """

    kind: str
    argument: str
    operations: tuple[Operation, ...]


@dataclasses.dataclass(frozen=True)
class Name:
    """A name, taken apart.

    Attributes:
      alias: What the set is called, or "".
      source: Where its images come from.
      operations: What is done to them, from left to right.
      pieces: The operations as they were written, without their `@`.
    """

    alias: str
    source: Source
    operations: tuple[Operation, ...]
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """The name as it was written, without its alias."""
        return "@".join([self.source.text, *self.pieces])

    @property
    def identity(self) -> Identity:
        """What it means."""
        return Identity(*_same_place(self.source), self.operations)

    def with_path(self, path: str) -> str:
        """The same name, of a source of the same kind at another path."""
        slash = "/" if self.source.argument.endswith("/") and not path.endswith("/") else ""
        alias = self.alias and f"{self.alias}="
        return alias + "@".join([f"{self.source.kind}:{path}{slash}", *self.pieces])


def take_apart(name: str) -> Name:
    """Takes a name apart. Whether the source exists is not looked at here.

    Args:
      name: A name like "digits=mnist@resize=32@rgb".

    Returns:
      `Name`.

    Raises:
      DataError: If an operation, a grey level or an empty path makes no sense.
    """
    match = _ALIAS.fullmatch(name)
    alias, rest = (match[1], match[2]) if match else ("", name)
    pieces = rest.split("@")
    count = 1
    if pieces[0].startswith(tuple(f"{kind}:" for kind in PATH_KINDS)):
        count = len(pieces)
        while count > 1 and _OPERATION_PIECE.fullmatch(pieces[count - 1]):
            count -= 1
    source = _parse_source("@".join(pieces[:count]))
    operations = tuple(parse_operation(piece, name) for piece in pieces[count:])
    return Name(alias, source, operations, tuple(pieces[count:]))


def understood(text: str) -> Name:
    """As `take_apart`; a text that is no name, which a user has given to images in memory, is as it is."""
    try:
        return take_apart(text)
    except DataError:
        return Name("", Source("memory", text, text), (), ())


def parse_name(name: str) -> tuple[Source, tuple[Operation, ...]]:
    """The source of a name, and its operations from left to right.

    Raises:
      DataError: As `take_apart`.
    """
    parts = take_apart(name)
    return parts.source, parts.operations


def identity(name: str) -> Identity:
    """What a name means, however it is spelled: `npz:a.npz` is `npz:./a.npz`.

    Raises:
      DataError: As `take_apart`.
    """
    return take_apart(name).identity


def with_operations(name: str, text: str) -> str:
    """The name with these operations, where it has none of its own and is not made in any shape.

    Args:
      name: A name.
      text: Operations such as "@resize=32@rgb", or "".

    Raises:
      DataError: As `take_apart`.
    """
    return name + text if takes_operations(name) else name


def takes_operations(name: str) -> bool:
    """Whether `with_operations` adds to a name.

    Raises:
      DataError: As `take_apart`.
    """
    parts = take_apart(name)
    return not parts.operations and parts.source.kind not in SYNTHETIC_KINDS


def same_source(one: str, other: str) -> bool:
    """Whether two names are of one source, whatever operations follow.

    Raises:
      DataError: As `take_apart`.
    """
    return identity(one)[:2] == identity(other)[:2]


def is_synthetic(name: str) -> bool:
    """Whether a name's images are made, in whatever shape is asked for.

    Raises:
      DataError: As `take_apart`.
    """
    return take_apart(name).source.kind in SYNTHETIC_KINDS


def _same_place(source: Source) -> tuple[str, str]:
    """(kind, argument) that are equal for all spellings of one source."""
    if source.kind in PATH_KINDS:
        return source.kind, os.path.realpath(os.path.expanduser(source.argument))
    return source.kind, source.argument


def _parse_source(text: str) -> Source:
    prefix, colon, argument = text.partition(":")
    if colon and prefix in (*PATH_KINDS, "tfds"):
        if not argument:
            what = {"tfds": "set: write tfds:NAME", "tfrecord": "file: write tfrecord:GLOB"}
            raise DataError(f"'{text}' names no {what.get(prefix, f'path: write {prefix}:PATH')}")
        return Source(prefix, argument, text)
    if text in EMBEDDED_KINDS + SYNTHETIC_KINDS:
        return Source(text, "", text)
    if text.startswith("constant="):
        level = text.removeprefix("constant=")
        if not (level.isascii() and level.isdigit() and int(level) <= 255):
            raise DataError(f"'{text}': the grey level must be an integer 0..255")
        return Source("constant", str(int(level)), text)
    if os.path.splitext(text)[1].lower() in SUFFIXES:
        return Source("folder", text, text)  # a set of one picture
    if os.path.splitext(text)[1].lower() in TABLE_SUFFIXES:
        return Source(TABLE, text, text)
    return Source("tfds", text, text)
