"""The error of this room, and what TensorFlow raises for a damaged checkpoint."""

import tensorflow as tf

from tfp_flows.checks.errors import UserError

# What TensorFlow raises for a damaged checkpoint; IndexError where a file is cut short.
UNREADABLE = (tf.errors.OpError, AssertionError, ValueError, IndexError)


class RunError(UserError):
    """A run's folder is missing, damaged, or does not fit what was asked; the message is one line."""
