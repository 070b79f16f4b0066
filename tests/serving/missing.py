"""What a process lacks, to be set before a command in `tests.forked`."""

import sys


def without_beam():
    """As where Apache Beam is not installed."""
    sys.modules["apache_beam"] = None  # type: ignore[assignment]
