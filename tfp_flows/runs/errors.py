"""The error of this room, and what TensorFlow raises for a damaged checkpoint."""

import tensorflow as tf

from tfp_flows.checks.errors import UserError

# What TensorFlow raises for a damaged checkpoint, IndexError where a file is cut short; and what the system
# raises where it is removed.
UNREADABLE = (tf.errors.OpError, AssertionError, ValueError, IndexError, OSError)


class RunError(UserError):
    """A run's folder is missing, damaged, or does not fit what was asked; the message is one line."""


class RunWarning(UserWarning):
    """Something of a run's folder is damaged, and can be done without; the message is one line."""
