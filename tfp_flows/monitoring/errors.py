"""What goes wrong in monitoring."""

from tfp_flows.checks.errors import UserError


class MonitoringError(UserError):
    """Scores cannot be monitored; the message is one line that says why."""
