"""Signals that end a training, after the step that they come in."""

import contextlib
import signal
import threading
import types
from collections.abc import Iterator


@contextlib.contextmanager
def interruption() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGINT or SIGTERM came; a second signal acts at once.

    Outside the main thread, which alone Python lets handle signals, it stays empty.
    """
    received: list[int] = []
    handlers = {}

    def note(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        signal.signal(number, handlers[number])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.getsignal(number)
            signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
