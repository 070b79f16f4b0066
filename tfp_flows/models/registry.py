"""The registry of model families: Glow, and those that stand beside this package in a checkout.

Nothing is imported but what is asked for: `names` and `settings` need no TensorFlow.
"""

import functools
import importlib.util
import pathlib
import sys
import types
from typing import TYPE_CHECKING

from tfp_flows.checks.errors import UserError
from tfp_flows.models.settings import CONDITIONS, Settings

if TYPE_CHECKING:
    from tensorflow_probability import distributions as tfd

    from tfp_flows.data import Classes
    from tfp_flows.models.family import Family

GLOW = "glow"
VECTORS = "vector_flow"  # of vectors, such as the rows of a table; the others are of images
OWN = {GLOW: "tfp_flows.models.glow", VECTORS: "tfp_flows.models.vectors"}
# Packages of the checkout that hold a family each, as FAMILY in family.py. They are not installed: a
# wheel knows Glow alone.
BESIDE = ("vae", "pixelcnn")
NONE = CONDITIONS[0]
NO_FAMILY = ""  # of a stranger's model
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def family(
    name: str, classes: "Classes | None" = None, code_size: int = 0, low_resolution: bool = False
) -> "Family":
    """The family of this name.

    Args:
      name: As in `--family`.
      classes: Those whose labels its models are given (`labelled.of_labels`); None for none.
      code_size: Numbers of an encoder's code that they are given; 0 for none.
      low_resolution: Whether they are given an image's low resolution.

    Raises:
      UserError: If there is none, it is not at hand, or its models are given no such thing; the message says
        which there are.
    """
    found = importlib.import_module(f"{_package(name)}.family").FAMILY
    if classes is not None:
        check_condition(name, "label")
        from tfp_flows.models import labelled

        return labelled.of_labels(found, classes)
    if code_size:
        check_condition(name, "autoencoder")
        return found.with_code(code_size)
    if low_resolution:
        check_condition(name, "lowres")
        from tfp_flows.models.low_resolution import of_low_resolution

        return of_low_resolution(found)
    return found


def check_condition(name: str, condition: str) -> None:
    """Raises `UserError` where the models of the family `name` cannot be given such a condition."""
    if condition != NONE and condition not in settings(name).conditions:
        able = [other for other in names() if condition in settings(other).conditions]
        raise UserError(f"`condition={condition}` is for the families {', '.join(able)}, not for {name}.")


def settings(name: str) -> Settings:
    """The dataclasses of a family's settings. Raises as `family`."""
    return importlib.import_module(f"{_package(name)}.config").SETTINGS


def _package(name: str) -> str:
    """The package of the family of this name, which can then be imported."""
    if name in OWN:
        return OWN[name]
    if name == NO_FAMILY:
        raise UserError(
            "`run`: its model belongs to no family, so that only its own code can build it: build it as "
            "before, and tfp_flows.fit with the run's folder restores it."
        )
    if name in names():
        _load(name)
        return name
    if name in BESIDE:
        raise UserError(
            f"`family`: {name} needs a checkout of the project; {CHECKOUT} has no folder {name}, and only "
            f"{', '.join(names())} is installed."
        )
    raise UserError(f"`family`: unknown family {name!r}; there are {', '.join(names())}.")


def family_of(model: "tfd.Distribution") -> "Family | None":
    """The family whose kind of model this is; None for a stranger's model.

    A model may be of a family without its making: any `Dequantized` is trained as a Glow is.
    """
    # Whoever holds a model of a package beside this one has imported that.
    known = [*OWN, *(name for name in BESIDE if _is_ours(sys.modules.get(name), name))]
    found = next((f for f in map(family, known) if isinstance(model, f.model_class)), None)
    from tfp_flows.models import labelled, low_resolution

    if found is None and isinstance(model, labelled.ClassMixture):
        inner = family_of(model.conditional)
        return inner and labelled.of_mixtures(inner)
    if found is None and isinstance(model, low_resolution.SuperResolution):
        inner = family_of(model.conditional)
        return inner and low_resolution.of_low_resolution(inner)
    return found


def names() -> list[str]:
    """The names of all families of images at hand."""
    return [GLOW, *(name for name in BESIDE if _file(name).exists())]


def every_name() -> list[str]:
    """The names of all families at hand, that of vectors last."""
    return [*names(), VECTORS]


def _file(name: str) -> pathlib.Path:
    return CHECKOUT / name / "family.py"


@functools.cache
def _load(name: str) -> None:
    """Imports the package `name` of the checkout, by its path: never a stranger's of that name."""
    folder = _file(name).parent
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    if not _is_ours(sys.modules[name], name):
        raise UserError(f"`family`: another module called {name!r} is imported already, not {folder}.")


def _is_ours(module: types.ModuleType | None, name: str) -> bool:
    """Whether a module is the package `name` of the checkout."""
    found = [pathlib.Path(path).resolve() for path in getattr(module, "__path__", [])]
    return _file(name).parent in found
