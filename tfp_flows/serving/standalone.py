"""The reader of StableHLO programs as one file that needs nothing of this package: what an export holds."""

import pathlib
import re

FOLDER = pathlib.Path(__file__).parent
READER = "run_stablehlo"
OTHERS = ("stablehlo_check", "stablehlo_as_jax")  # the second imports the first
_DOCSTRING = re.compile(r'\A""".*?"""\n', re.DOTALL)
_IMPORT = r"^from tfp_flows\.serving\.{} import (\([^)]*\)|[^(\n]*)\n"


def text() -> str:
    """The source of `run_stablehlo`, with those of `OTHERS` in the place where the first is imported."""
    found = _source(READER)
    places = [place for name in OTHERS for place in re.finditer(_IMPORT.format(name), found, re.MULTILINE)]
    start = min(place.start() for place in places)
    others = "".join(_without_imports(_DOCSTRING.sub("", _source(name))) for name in OTHERS)
    return found[:start] + others + _without_imports(found[start:])


def _source(module: str) -> str:
    return (FOLDER / f"{module}.py").read_text(encoding="utf-8")


def _without_imports(source: str) -> str:
    for name in OTHERS:
        source = re.sub(_IMPORT.format(name), "", source, flags=re.MULTILINE)
    return source
