"""How a process takes signals, to be set before a command in `tests.forked`."""

import signal


def usual():
    """As at first: also where these tests were started in the background, which ignores some."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_hangup():
    """As `nohup` does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
