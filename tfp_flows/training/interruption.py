"""Signals that end a training, after the step that they come in."""

import contextlib
import signal
import threading
import types
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interruption() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGINT or SIGTERM came; a second signal acts at once.

    Outside the main thread, which alone Python lets handle signals, it stays empty.
    """
    received: list[int] = []
    handlers: dict[signal.Signals, Any] = {}

    def note(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        signal.signal(number, handlers[signal.Signals(number)])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.getsignal(number)
            signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
