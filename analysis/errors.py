"""The error of this package whose message is meant for the user."""


class AnalysisError(ValueError):
    """An analysis does not apply to what it was given; the message is one line that says why."""
