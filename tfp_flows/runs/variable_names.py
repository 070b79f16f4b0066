"""Names of a model's variables that say where they are, such as `level0/step3/coupling/first_kernel`."""

import re
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

# Of a bijector's name, whose parts a flow joins: level0_step3_coupling.
_PART = re.compile(r"^((?:level\d+|step\d+|checkerboard\d*|multiscale|noise)_)+")


def variables_by_name(model: tf.Module) -> dict[str, tf.Variable]:
    """The variables of a model by their names, in the order of `model.variables`.

    A name is made of those of the modules that a variable is in, from the innermost bijector on, and of the
    variable's own. Where two are the same, further ones get a number.

    Args:
      model: Any `tf.Module`: a distribution, a network.
    """
    places = {id(variable): path for path, variable in _with_places(model)}
    found: dict[str, tf.Variable] = {}
    for variable in model.variables:
        base = _name(places.get(id(variable), ()), variable)
        name, number = base, 1
        while name in found:
            name, number = f"{base}_{number}", number + 1
        found[name] = variable
    return found


def nested(variables: dict[str, tf.Variable]) -> dict[str, Any]:
    """Variables by slashed names as dicts in dicts: {"level0": {"step3": ...}}."""
    tree: dict[str, Any] = {}
    for name, variable in variables.items():
        *parts, last = name.split("/")
        node = tree
        for part in parts:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ValueError(f"{name} is below a variable")
        node[last] = variable
    return tree


def _with_places(model: tf.Module) -> list[tuple[tuple[tf.Module, ...], tf.Variable]]:
    """(modules from the outermost to the innermost, variable) for each variable, where it is met first."""
    found: list[tuple[tuple[tf.Module, ...], tf.Variable]] = []
    seen: set[int] = set()

    def visit(value: Any, path: tuple[tf.Module, ...]) -> None:
        if isinstance(value, tf.Variable):
            found.append((path, value))
        if id(value) in seen or not isinstance(value, tf.Module | dict | list | tuple):
            return
        seen.add(id(value))
        if isinstance(value, tf.Module):
            path = (*path, value)
            children = [vars(value)[key] for key in sorted(vars(value))]
        else:
            children = list(value.values()) if isinstance(value, dict) else list(value)
        for child in children:
            visit(child, path)

    visit(model, ())
    return list({id(variable): (path, variable) for path, variable in reversed(found)}.values())


def _name(path: tuple[tf.Module, ...], variable: tf.Variable) -> str:
    bijectors = [i for i, module in enumerate(path) if isinstance(module, tfb.Bijector)]
    names = [module.name for module in path[bijectors[-1] if bijectors else 1 :]]
    own = variable.name.split(":")[0]
    prefix = next((f"{name}_" for name in reversed(names) if own.startswith(f"{name}_")), "")
    within = [name.removeprefix(f"{outer}_") for outer, name in zip(["", *names], names, strict=False)]
    parts = [_PART.sub(lambda match: match[0].replace("_", "/"), name) for name in within]
    return "/".join([*parts, own.removeprefix(prefix)])
