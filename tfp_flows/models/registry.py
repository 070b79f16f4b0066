"""The registry of model families: Glow, and those that stand beside this package in a checkout."""

import functools
import importlib.util
import pathlib
import sys

from tfp_flows.checks.errors import UserError
from tfp_flows.models.glow.family import FAMILY as GLOW

# Packages of the checkout that hold a family each, as FAMILY in family.py. They are not installed: a
# wheel knows Glow alone.
BESIDE = ("vae", "pixelcnn")
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def family(name):
    """The family of this name.

    Raises:
      ValueError: If there is none, or it is not at hand; the message says which there are.
    """
    if name == GLOW.name:
        return GLOW
    if name in names():
        return _load(name)
    if name in BESIDE:
        raise UserError(
            f"`family`: {name} needs a checkout of the project; {CHECKOUT} has no folder {name}, and only "
            f"{', '.join(names())} is installed."
        )
    raise UserError(f"`family`: unknown family {name!r}; there are {', '.join(names())}.")


def names():
    """The names of all families at hand."""
    return [GLOW.name, *(name for name in BESIDE if _file(name).exists())]


def _file(name):
    return CHECKOUT / name / "family.py"


@functools.cache
def _load(name):
    """Imports the package `name` of the checkout, by its path: never a stranger's of that name."""
    folder = _file(name).parent
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    found = [pathlib.Path(path).resolve() for path in getattr(sys.modules[name], "__path__", [])]
    if folder not in found:
        raise UserError(f"`family`: another module called {name!r} is imported already, not {folder}.")
    return importlib.import_module(f"{name}.family").FAMILY
