"""Steps that are alike, traced once: a flow's graph is built of calls of one function for each kind of step.

Python takes half a millisecond for an operation, and a step has some sixty with as many for its gradient. So
what a tracing takes is what one step takes, and for each other one a call. TensorFlow puts the function's
operations in the place of its calls before it runs a graph: what is computed, and how fast, stays the same.
"""

import contextlib
import contextvars
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from tfp_flows.bijectors import _templates, steps
from tfp_flows.bijectors._one_pass import Pair

LEAST = 3  # of a kind: for fewer a function saves nothing

_on: contextvars.ContextVar[bool] = contextvars.ContextVar("tfp_flows_steps_traced_once", default=False)


@contextlib.contextmanager
def steps_traced_once() -> Iterator[None]:
    """Within it, chains that are called in a `tf.function` trace steps that are alike once.

    They must differ in nothing but their weights: this toolkit's own couplings, with networks of this
    project, and the folded layers before them. All others are traced one by one, as all are outside.
    Values, gradients and derivatives of any order are the same. It concerns the calls of this thread alone.
    An export is traced without it: other converters want operations, not calls.
    """
    token = _on.set(True)
    try:
        yield
    finally:
        _on.reset(token)


def joined(chain: Sequence[steps.Step]) -> list[Callable[[tf.Tensor], Pair]]:
    """The steps of a chain in order, those of one kind as calls of one function.

    Args:
      chain: Steps, in the order in which they are applied.

    Returns:
      Callables `value -> (result, log-determinant)`.
    """
    if not (_on.get() and tf.inside_function()):
        return [step.apply for step in chain]
    units = _units(chain)
    counts = Counter(_key(templates) for _, templates in units if templates)
    functions: dict[tuple, Callable[..., Pair]] = {}
    found: list[Callable[[tf.Tensor], Pair]] = []
    for own, templates in units:
        key = _key(templates)
        if counts[key] < LEAST:
            found += [step.apply for step in own]
            continue
        if key not in functions:
            functions[key] = _function(templates)
        found.append(_call(functions[key], [tensor for one in templates for tensor in one.tensors]))
    return found


def _units(chain: Sequence[steps.Step]) -> list[tuple[list[steps.Step], list[_templates.Template]]]:
    """The chain in pieces of one network each; a step that has no template is one alone, and has none."""
    units: list[tuple[list[steps.Step], list[_templates.Template]]] = []
    for step in chain:
        template = step.template()
        if template is not None and units and _goes_on(units[-1][1], template):
            units[-1][0].append(step)
            units[-1][1].append(template)
        else:
            units.append(([step], [] if template is None else [template]))
    return units


def _goes_on(unit: Sequence[_templates.Template], following: _templates.Template) -> bool:
    """Whether a piece has its network still to come; or began with it, and the next one is not there yet."""
    if not unit:
        return False
    return not following.has_network if unit[0].has_network else not unit[-1].has_network


def _key(templates: Sequence[_templates.Template]) -> tuple:
    return tuple(template.key for template in templates)


def _function(templates: Sequence[_templates.Template]) -> Callable[..., Pair]:
    """Callable (value, *tensors of all templates) -> (result, log-determinant)."""
    counts = [len(template.tensors) for template in templates]

    def unit(value: tf.Tensor, *tensors: tf.Tensor) -> Pair:
        log_det, rest = tf.zeros([], value.dtype), tensors
        for template, count in zip(templates, counts, strict=True):
            own, rest = rest[:count], rest[count:]
            value, term = template.step(own).apply(value)
            log_det += term
        return value, log_det

    return tf.function(unit, autograph=False)


def _call(function: Callable[..., Pair], tensors: Sequence[tf.Tensor]) -> Callable[[tf.Tensor], Pair]:
    return lambda value: function(value, *tensors)
