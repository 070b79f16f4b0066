"""How a command runs: errors and warnings in one line, and its exit status."""

import re
import signal
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping

from absl import app, flags, logging

from tfp_flows import _start
from tfp_flows.checks.errors import UserError
from tfp_flows.commands import flag_files, help, output
from tfp_flows.commands.flags import in_flags

# What absl says of flags, and what is said here.
_WORDS = {
    r"flag --(\w+)=None: Flag --\1 must have a value other than None": r"--\1 is missing",
    r"flags (\w+)=None, (\w+)=None: Exactly one of .*": r"--\1 or --\2 is missing",
    r"flags (\w+)=.*, (\w+)=.*: Exactly one of .*": r"--\1 and --\2 cannot both be given",
    r"invalid literal for int\(\) with base 10: .*": "not a whole number",
    r"could not convert string to float: .*": "not a number",
    r"\('Non-boolean argument to boolean flag', .*\)": "neither true nor false",
    r" missing\. (?=--)": " missing; ",
}
SIGNALLED = 128  # and a signal's number: the exit status after it, as shells have it


def run(main: Callable[[], None], groups: Mapping[str, Iterable[str]] | None = None) -> None:
    """Runs `main()`; a `UserError` becomes one line on stderr and exit status 1, a warning one line.

    So does a file or folder that cannot be read or written. SIGINT, SIGTERM and SIGHUP end with exit status
    130, 143 and 129, each after what `with` blocks have to clear up; a SIGHUP that is ignored, as `nohup`
    has it, stays so. Any other exception is a fault of the program and shows its traceback. Flag files are
    read by `flag_files.expand`, and no output fails, as `output.forgiving` has it.

    Args:
      main: Callable without arguments; the flags are parsed before it is called. What it refuses without
        TensorFlow it refuses seconds earlier: TensorFlow is imported, quietly, when it is first needed.
      groups: Names of flags by the titles of their groups, as for `help.text`; by default the main module's
        own are one group.
    """

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: unexpected argument {argv[1]!r}; flags are given as --name=value.")
        _start.when_needed()
        logging.set_verbosity(logging.ERROR)
        warnings.formatwarning = _one_line
        received = _interrupting_signals()
        try:
            main()
        except UserError as error:
            sys.exit(f"error: {in_flags(str(error))}")
        except OSError as error:
            sys.exit(f"error: {error.filename or 'file'}: {error.strerror or error}.")
        except KeyboardInterrupt:
            number = [*received, signal.SIGINT][0]
            print("Interrupted." if number == signal.SIGINT else f"Ended by {number.name}.", file=sys.stderr)
            sys.exit(SIGNALLED + number)

    with output.forgiving():
        full = help.asked(sys.argv[1:])
        if full is not None:
            print(help.text(groups or help.own_flags(), full))
            return
        try:
            arguments = flag_files.expand(sys.argv[1:])
        except UserError as error:
            sys.exit(f"error: {in_flags(str(error))}")
        app.run(guarded, argv=[sys.argv[0], *arguments], flags_parser=_parsed)


def _parsed(argv: list[str]) -> list[str]:
    """What of the arguments is no flag; a flag that cannot be is an error in one line, as any other."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {_said(error)}; --helpfull describes the flags.")


def _said(error: flags.Error) -> str:
    """What absl says of flags, in the words of a person."""
    said = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, flags.UnrecognizedFlagError):
        near = re.search(r"Did you mean: (.*?) \?$", said)
        meant = f" (did you mean --{near[1].replace(', ', ', --')}?)" if near else ""
        return f"there is no flag --{error.flagname}{meant}"
    for pattern, words in _WORDS.items():
        said = re.sub(pattern, words, said)
    return said.removeprefix("flag ")


def _interrupting_signals() -> list[signal.Signals]:
    """Lets the signals that end a process act as SIGINT does; the list names the one that came."""
    received: list[signal.Signals] = []

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, interrupt)
    return received


_usual_format = warnings.formatwarning


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning for whoever gave the input in one line; others, which are for programmers, as usual."""
    if issubclass(category, UserWarning):
        return f"warning: {in_flags(str(message))}\n"
    return _usual_format(message, category, filename, lineno, line)
