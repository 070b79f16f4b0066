"""How a command starts TensorFlow: quietly, and with oneDNN.

TensorFlow 2.21 prints a page of notices to stderr while it is imported, and takes no notice of
TF_CPP_MIN_LOG_LEVEL until it has been. On x86 it uses oneDNN by itself only where there are instructions
made for neural networks (AVX-512 VNNI and later); with AVX2 alone, training takes 1.4 times as long without
it, and half as much memory again (benchmarks/PROFILES.md).
"""

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow reads it once, while it is imported


def import_tensorflow() -> None:
    """Imports TensorFlow with its notices held back; they are printed if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(ONEDNN, "1")
    with tempfile.TemporaryFile() as notices:
        try:
            with stderr_to(notices):
                import tensorflow  # noqa: F401
        except BaseException:
            notices.seek(0)
            sys.stderr.buffer.write(notices.read())
            raise


@contextlib.contextmanager
def stderr_to(file: IO[bytes]) -> Iterator[None]:
    """Sends what this process and its children write to stderr to an open file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
