"""Signals that end a training, after the step that they come in."""

import contextlib
import signal
import threading
import types
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interruption() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGINT, SIGTERM or SIGHUP came; a second signal acts at once.

    A SIGHUP that is ignored, as `nohup` has it, stays so. Outside the main thread, which alone Python lets
    handle signals, the list stays empty.
    """
    received: list[int] = []
    handlers: dict[signal.Signals, Any] = {}

    def note(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        as_before()

    def as_before() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # there is no SIGHUP on Windows
            before = number and signal.getsignal(number)
            if number and not (name == "SIGHUP" and before is signal.SIG_IGN):
                handlers[number] = before or signal.SIG_DFL
                signal.signal(number, note)
    try:
        yield received
    finally:
        as_before()
