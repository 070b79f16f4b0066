"""The error of this package whose message is meant for the user."""


class DetectorError(ValueError):
    """A detector cannot do what was asked of it; the message is one line that says why."""
