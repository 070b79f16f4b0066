"""What was wrong with an input is said by an error of one kind, in graphs too."""

import pytest
import tensorflow as tf

from tfp_flows.checks.errors import UserError


def _refuse(x):
    raise UserError("`x` must not be.")


@pytest.mark.parametrize(
    "call",
    [_refuse, tf.function(_refuse), lambda x: tf.map_fn(_refuse, x)],
    ids=["eager", "function", "map"],
)
def test_the_error_keeps_its_kind(call):
    with pytest.raises(UserError, match="`x` must not be."):
        call(tf.zeros([2]))
