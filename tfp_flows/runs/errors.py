"""The error of this room, and its warning."""

from tfp_flows.checks.errors import UserError


class RunError(UserError):
    """A run's folder is missing, damaged, or does not fit what was asked; the message is one line."""


class RunWarning(UserWarning):
    """Something of a run's folder is damaged, and can be done without; the message is one line."""
