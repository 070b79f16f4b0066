"""One command within another: for a while the flags are those of the inner one."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from absl import flags

from tfp_flows.checks.errors import UserError
from tfp_flows.commands import flag_files

FLAGS = flags.FLAGS
T = TypeVar("T")


@contextlib.contextmanager
def flags_of(define: Callable[[], T], arguments: Sequence[str]) -> Iterator[T]:
    """Sets the flags of another command aside, defines and parses those of this one; in the end all is back.

    Args:
      define: Defines the inner command's flags.
      arguments: Its arguments, flag files among them.

    Yields:
      What `define` returns.

    Raises:
      UserError: If the arguments are none of its flags, or a flag file cannot be read.
    """
    aside = {name: FLAGS[name] for name in list(FLAGS) if not _of_absl(name)}
    parsed = FLAGS.is_parsed()
    _remove(aside)
    try:
        defined = define()
        try:
            FLAGS(["within", *flag_files.expand(arguments)])
        except flags.Error as error:
            raise UserError(" ".join(str(error).split())) from error
        yield defined
    finally:
        _remove([name for name in list(FLAGS) if not _of_absl(name)])
        for name, flag in aside.items():
            FLAGS[name] = flag
        if parsed:
            FLAGS.mark_as_parsed()


def _of_absl(name: str) -> bool:
    """Whether a flag is one that every command has."""
    module = FLAGS.find_module_defining_flag(name) or ""
    return module.startswith("absl.") or FLAGS[name].name in ("help", "helpfull", "flagfile", "undefok")


def _remove(names: Iterable[str]) -> None:
    for name in names:
        delattr(FLAGS, name)
