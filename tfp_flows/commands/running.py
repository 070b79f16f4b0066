"""How a command runs: errors in one line, and its exit status."""

import sys

from absl import app, logging

INTERRUPTED = 130  # exit status after SIGINT, as shells have it


def run(main, errors=()):
    """Runs `main()`; an exception of `errors` becomes one line on stderr and exit status 1.

    So does a file or folder that cannot be read or written; SIGINT ends with exit status 130.

    Args:
      main: Callable without arguments; the flags are parsed before it is called.
      errors: Exception classes whose message is meant for the user.
    """

    def guarded(argv):
        if len(argv) > 1:
            sys.exit(f"error: unexpected argument {argv[1]!r}; flags are given as --name=value.")
        logging.set_verbosity(logging.ERROR)
        try:
            return main()
        except tuple(errors) as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            sys.exit(f"error: {error.filename or 'file'}: {error.strerror or error}.")
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            sys.exit(INTERRUPTED)

    app.run(guarded)
