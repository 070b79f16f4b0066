"""How a command runs: errors in one line, and its exit status."""

import sys
from collections.abc import Callable, Iterable, Mapping

from absl import app, logging

from tfp_flows import _start
from tfp_flows.checks.errors import UserError
from tfp_flows.commands import help
from tfp_flows.commands.flags import in_flags

INTERRUPTED = 130  # exit status after SIGINT, as shells have it


def run(main: Callable[[], None], groups: Mapping[str, Iterable[str]] | None = None) -> None:
    """Runs `main()`; a `UserError` becomes one line on stderr and exit status 1.

    So does a file or folder that cannot be read or written; SIGINT ends with exit status 130. Any other
    exception is a fault of the program and shows its traceback.

    Args:
      main: Callable without arguments; the flags are parsed before it is called, and TensorFlow is imported.
      groups: Names of flags by the titles of their groups, as for `help.text`; by default the main module's
        own are one group.
    """
    full = help.asked(sys.argv[1:])
    if full is not None:
        print(help.text(groups or help.own_flags(), full))
        return

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: unexpected argument {argv[1]!r}; flags are given as --name=value.")
        _start.import_tensorflow()
        logging.set_verbosity(logging.ERROR)
        try:
            main()
        except UserError as error:
            sys.exit(f"error: {in_flags(str(error))}")
        except OSError as error:
            sys.exit(f"error: {error.filename or 'file'}: {error.strerror or error}.")
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            sys.exit(INTERRUPTED)

    app.run(guarded)
