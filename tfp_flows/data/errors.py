"""The one exception of the data loader, and its one warning."""

from tfp_flows.checks.errors import UserError


class DataError(UserError):
    """A user's mistake about data: one line that says what was wrong, where, and what to do."""

    def __init__(self, message: str) -> None:
        """Joins the lines of `message`, so that it can be shown as it is."""
        super().__init__(" ".join(message.splitlines()))


class DataWarning(UserWarning):
    """Images are not what a run was trained on, or are what it was trained on; the message is one line."""
