"""Flag files: one flag a line, `#` before remarks; what a command writes it can read back.

A file is read as UTF-8, with a byte-order mark or without; blanks around a line do not count. Values that
would not survive that (a blank at the end, a line break, bytes that are no UTF-8) are written as in JSON
strings, in a file whose first line is `ESCAPED`.

The flag file in a run's folder means that run: `--flagfile=RUN/flags.flags` has `--run=RUN`, wherever the
folder has been moved.
"""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence

from tfp_flows.checks.errors import UserError

ESCAPED = "# Values are written as in JSON strings."
OF_A_RUN, BESIDE_IT = "flags.flags", "run.json"  # as in tfp_flows.runs, a layer above this one
_FLAG = ("--flagfile", "-flagfile")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def text_of(arguments: Iterable[str]) -> str:
    """The text of a flag file that holds these arguments, each `--name=value`."""
    wanted = list(arguments)
    plain = "".join(f"{argument}\n" for argument in wanted)
    if list(_parsed(plain)) == wanted and all(argument.isprintable() for argument in wanted):
        return plain
    return "".join(f"{line}\n" for line in [ESCAPED, *map(_escaped, wanted)])


def expand(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command with each `--flagfile=PATH` replaced by what is in the file.

    Args:
      arguments: Without the command itself.

    Raises:
      UserError: If a file is not there, is no regular file, is no text, or includes itself.
    """
    return list(_expanded(list(arguments), ()))


def _expanded(arguments: Sequence[str], within: tuple[str, ...]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        name, equals, path = argument.partition("=")
        if argument == "--":
            yield argument
            yield from rest
        elif name in _FLAG:
            path = path if equals else next(rest, "")
            yield from _of_file(path, within)
        elif within and argument.startswith(tuple(f"{flag} " for flag in _FLAG)):
            yield from _of_file(argument.split(" ", 1)[1].strip(), within)
        else:
            yield argument


def _of_file(path: str, within: tuple[str, ...]) -> Iterator[str]:
    """The arguments in a file; in a run's folder, with the folder as the run."""
    found = os.path.expanduser(path)
    if within and not os.path.exists(found):
        found = os.path.join(os.path.dirname(within[-1]), path)
    text = _read(found, path)
    place = os.path.realpath(found)
    if place in map(os.path.realpath, within):
        raise UserError(f"`flagfile`: {path} includes itself.")
    lines = list(_parsed(text, path))
    yield from _expanded(lines, (*within, found))
    folder = os.path.dirname(found) or os.curdir
    if os.path.basename(found) != OF_A_RUN or not os.path.isfile(os.path.join(folder, BESIDE_IT)):
        return
    own = [line.removeprefix("--run=") for line in lines if line.startswith("--run=")]
    if not own or os.path.realpath(own[-1]) != os.path.realpath(folder):
        if own:
            print(f"--flagfile={path} is that of a run: --run={folder}, not {own[-1]}.", file=sys.stderr)
        yield f"--run={folder}"


def _read(path: str, given: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UserError(f"`flagfile`: {given or '(no name)'} is no regular file.")
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"`flagfile`: {given or '(no name)'} cannot be read: {reason}.") from error
    if content[:2] in _UTF_16 or b"\0" in content:
        raise UserError(f"`flagfile`: {given} is no text in UTF-8.")
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _parsed(text: str, given: str = "") -> Iterator[str]:
    """The arguments in the text of a flag file."""
    lines = [line.strip() for line in text.split("\n")]
    escaped = lines[0] == ESCAPED
    for number, line in enumerate(lines, 1):
        if line and not line.startswith(("#", "//")):
            yield _unescaped(line, number, given) if escaped else line


def _unescaped(line: str, number: int, given: str) -> str:
    try:
        return json.loads(f'"{line}"')
    except json.JSONDecodeError as error:
        raise UserError(
            f"`flagfile`: {given} line {number} is none of escaped values ({error.msg}), and its first line "
            f"says that all are: {line!r}."
        ) from error


def _escaped(argument: str) -> str:
    text = "".join(c if c.isprintable() and c not in '"\\' else json.dumps(c)[1:-1] for c in argument)
    kept = text.rstrip(" ")
    return kept + r"\u0020" * (len(text) - len(kept))
