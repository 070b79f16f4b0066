"""Whether a path is a file that can be read to its end: a FIFO would be waited for, for ever."""

import os
import stat

from tfp_flows.data.errors import DataError

_OTHERS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_regular(path: str | os.PathLike) -> None:
    """Raises `DataError` unless `path` is a file, or a link to one; the message is the reason alone."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        what = next((name for is_it, name in _OTHERS if is_it(mode)), "something else")
        raise DataError(f"is no file but {what}")
