"""A quiet start of TensorFlow for commands.

TensorFlow 2.21 prints a page of notices to stderr while it is imported, and takes no notice of
TF_CPP_MIN_LOG_LEVEL until it has been.
"""

import contextlib
import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow with its notices held back; they are printed if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryFile() as notices:
        try:
            with stderr_to(notices):
                import tensorflow  # noqa: F401
        except BaseException:
            notices.seek(0)
            sys.stderr.buffer.write(notices.read())
            raise


@contextlib.contextmanager
def stderr_to(file):
    """Sends what this process and its children write to stderr to an open file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
