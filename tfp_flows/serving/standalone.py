"""The reader of StableHLO programs as one file that needs nothing of this package: what an export holds."""

import pathlib
import re

FOLDER = pathlib.Path(__file__).parent
READER, CHECK = "run_stablehlo.py", "stablehlo_check.py"
_IMPORT = re.compile(r"^from tfp_flows\.serving\.stablehlo_check import \([^)]*\)\n", re.MULTILINE)
_DOCSTRING = re.compile(r'\A""".*?"""\n', re.DOTALL)


def text() -> str:
    """The source of `run_stablehlo`, with that of `stablehlo_check` in the place where it is imported."""
    reader, check = ((FOLDER / name).read_text(encoding="utf-8") for name in (READER, CHECK))
    (found,) = _IMPORT.findall(reader)
    return reader.replace(found, _DOCSTRING.sub("", check))
