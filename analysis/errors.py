"""The error of this package whose message is meant for the user."""

from tfp_flows.checks.errors import UserError


class AnalysisError(UserError):
    """An analysis does not apply to what it was given; the message is one line that says why."""
