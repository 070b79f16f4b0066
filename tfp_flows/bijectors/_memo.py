"""What a bijector remembers of a value that it returned: the argument it came from, and the log-determinant.

It is kept on the returned tensor itself. So it lives no longer than that tensor, belongs to that tensor's
graph, is the same for all threads, and a bijector holds nothing that a copy of it would have to leave out.
A value keeps its argument alive; an argument refers to a value only weakly, since Python does not collect
circles of eager tensors.
"""

import dataclasses
import weakref
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

_RETURNED = "_tfp_flows_returned"
_ASKED = "_tfp_flows_asked"
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclasses.dataclass(frozen=True, eq=False)
class _Returned:
    """How a value came to be: by which bijector, in which direction, of what argument and conditions."""

    bijector: weakref.ref
    inverse: bool
    argument: tf.Tensor
    conditions: object
    log_det: tf.Tensor

    def is_of(self, bijector: tfp.bijectors.Bijector, inverse: bool, conditions: Mapping) -> bool:
        return self.bijector() is bijector and self.inverse == inverse and _same(self.conditions, conditions)


def remember(
    value: tf.Tensor,
    bijector: tfp.bijectors.Bijector,
    inverse: bool,
    argument: tf.Tensor,
    conditions: Mapping,
    log_det: tf.Tensor,
) -> None:
    """Notes on `value` that `bijector` computed it, in which direction and of what."""
    try:
        setattr(
            value,
            _RETURNED,
            _Returned(weakref.ref(bijector), inverse, argument, _copied(conditions), log_det),
        )
    except AttributeError:  # a kind of tensor that takes none: it is computed anew
        pass


def recall(
    value: tf.Tensor, bijector: tfp.bijectors.Bijector, inverse: bool, conditions: Mapping
) -> tuple[tf.Tensor, tf.Tensor] | None:
    """(argument, log-determinant) undoing what `bijector` computed, if it was `value` and in this graph."""
    made = getattr(value, _RETURNED, None)
    if made is None or not made.is_of(bijector, not inverse, conditions) or not _is_of_this_graph(value):
        return None
    try:
        setattr(made.argument, _ASKED, weakref.ref(value))
    except AttributeError:
        pass
    return made.argument, -made.log_det


def recall_log_det(
    value: tf.Tensor, bijector: tfp.bijectors.Bijector, inverse: bool, conditions: Mapping
) -> tf.Tensor | None:
    """The log-determinant at `value`, if `bijector` computed `value`, or has just handed it back.

    The latter is what `log_prob(sample)` does: `inverse(x)` of an x that `forward(z)` made returns z, and
    the log-determinant at z follows. It is told once.
    """
    undone = recall(value, bijector, inverse, conditions)
    if undone is not None:
        return undone[1]
    asked = getattr(value, _ASKED, None)
    partner = None if asked is None else asked()
    if partner is None:
        return None
    delattr(value, _ASKED)
    made = getattr(partner, _RETURNED, None)
    if made is None or made.argument is not value or not _is_of_this_graph(partner):
        return None
    return made.log_det if made.is_of(bijector, inverse, conditions) else None


def _is_of_this_graph(tensor: tf.Tensor) -> bool:
    if tf.executing_eagerly():
        return not tf.is_symbolic_tensor(tensor)
    return tf.is_symbolic_tensor(tensor) and tensor.graph is tf.compat.v1.get_default_graph()


def _copied(value: object) -> object:
    """Conditions as they are now: an array or a list may be changed later."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(kept: object, value: object) -> bool:
    """Whether conditions are those that were kept: the same tensors, equal arrays and numbers."""
    if isinstance(kept, dict):
        return (
            isinstance(value, Mapping)
            and kept.keys() == value.keys()
            and all(_same(kept[key], value[key]) for key in kept)
        )
    if isinstance(kept, list):
        return (
            isinstance(value, list | tuple)
            and len(kept) == len(value)
            and all(_same(one, other) for one, other in zip(kept, value, strict=True))
        )
    if isinstance(kept, np.ndarray):
        return isinstance(value, np.ndarray) and kept.dtype == value.dtype and np.array_equal(kept, value)
    return kept is value or (isinstance(kept, _PLAIN) and type(kept) is type(value) and kept == value)
