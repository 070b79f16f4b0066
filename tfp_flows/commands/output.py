"""Output that never ends a command: to a terminal that knows no `±`, and into a pipe that was closed."""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast

PLAINLY = "tfp_flows.plainly"  # name of the way to write what an encoding does not have
PLAIN = {
    "±": "+-",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "²": "^2",
    "…": "...",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = (PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing)
    return "".join(plain), error.end


codecs.register_error(PLAINLY, _plainly)


class _Forgiving(io.TextIOBase):
    """A stream of text that goes on, to nowhere, when its reader is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        """Lets the file's descriptor point to nowhere, so that what is still buffered goes there too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def buffer(self) -> object:
        """That of the stream itself."""
        return self._stream.buffer


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Within it, and for what is buffered after it, stdout and stderr take everything.

    A character that their encoding does not have is written plainly, `±` as `+-`. What goes into a pipe
    that nobody reads any more is lost, and the work goes on.
    """
    kept = sys.stdout, sys.stderr
    for stream in kept:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAINLY)
    sys.stdout, sys.stderr = (cast(TextIO, _Forgiving(stream)) for stream in kept)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = kept
