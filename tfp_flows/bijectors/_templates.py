"""What a step of a chain is besides the tensors that it computes with.

Two steps whose templates have equal keys compute the same of equal tensors: the steps of a Glow's level
differ in their weights alone.
"""

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

OWN = "tfp_flows"
IGNORED = (
    "_self_",
    "_tf_",
    "_name",
    "_scope_name",
    "_owner",
)  # of attributes: what tf.Module keeps, and names
PLAIN = (bool, int, float, str, tf.DType, type(None))


class Template(NamedTuple):
    """A step without its tensors.

    Attributes:
      key: Equal for steps that differ in their tensors alone.
      tensors: What this one computes with besides its input.
      step: Callable, from such tensors to a step that computes with them.
      has_network: Whether a network is part of it.
    """

    key: Hashable
    tensors: Sequence[tf.Tensor]
    step: Callable[[Sequence[tf.Tensor]], Any]
    has_network: bool = False


class Unknown(Exception):
    """An object of which it is not known whether another one computes the same."""


def key(value: object) -> Hashable:
    """Equal for objects that compute the same of equal variables.

    Args:
      value: A variable, a plain value, an array, a list of such, or an object of a class of this package.

    Raises:
      Unknown: If there is anything else in it: another's class or a function may hide a difference.
    """
    if isinstance(value, tf.Variable):
        return "variable", value.dtype.name, tuple(value.shape)
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return tuple(key(item) for item in value)
    if _is_own(value):
        return type(value), tuple((name, key(item)) for name, item in _attributes(value))
    raise Unknown(repr(value))


def variables(value: object) -> list[tf.Variable]:
    """The variables of an object that has a `key`, one for each place that has one."""
    if isinstance(value, tf.Variable):
        return [value]
    if isinstance(value, list | tuple):
        return [variable for item in value for variable in variables(item)]
    if _is_own(value):
        return [variable for _, item in _attributes(value) for variable in variables(item)]
    return []


def with_tensors(value: Any, tensors: Iterator[tf.Tensor]) -> Any:
    """A copy of an object that has a `key`, with the next of `tensors` in the place of each variable."""
    if isinstance(value, tf.Variable):
        return next(tensors)
    if isinstance(value, list | tuple):
        return [with_tensors(item, tensors) for item in value]
    if not _is_own(value):
        return value
    return replaced(value, {name: with_tensors(item, tensors) for name, item in _attributes(value)})


def replaced(value: Any, attributes: Mapping[str, Any]) -> Any:
    """A shallow copy with other attributes, set past tf.Module, which would track them."""
    made = copy.copy(value)
    vars(made).update(attributes)
    return made


def _is_own(value: object) -> bool:
    return type(value).__module__.split(".")[0] == OWN and hasattr(value, "__dict__")


def _attributes(value: object) -> list[tuple[str, Any]]:
    return sorted((name, item) for name, item in vars(value).items() if not name.startswith(IGNORED))
