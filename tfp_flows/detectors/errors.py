"""The error of this package whose message is meant for the user."""

from tfp_flows.checks.errors import UserError


class DetectorError(UserError):
    """A detector cannot do what was asked of it; the message is one line that says why."""
