"""The one base of all errors whose message is meant for whoever gave the input."""


class UserError(ValueError):
    """What was given cannot be used; the message says in one line what was wrong, where, and what to do.

    A message names arguments in backquotes, as in "`steps` must be positive, got 0"; a command prints those
    that are flags of its own as flags: "--steps must be positive, got 0".
    """

    # `tf.function` and `tf.map_fn` raise an error of their own in the place of one whose constructor is not
    # this very one, as ValueError's is not.
    __init__ = Exception.__init__
