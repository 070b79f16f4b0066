"""Packages that only some of the toolkit needs: imported where they are used, installed by an extra."""

import contextlib
from collections.abc import Iterator

from tfp_flows.checks.errors import UserError


@contextlib.contextmanager
def needed(extra: str, what: str) -> Iterator[None]:
    """Says which extra to install, where an import inside fails.

        with extras.needed("parquet", "a .parquet table"):
            import pyarrow

    Args:
      extra: One of the optional dependencies in pyproject.toml.
      what: What needs it, for the message.

    Raises:
      UserError: Where a package is not installed; in one line, with the command that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(f'{what} needs {error.name}: pip install "tfp-flows[{extra}]".') from error
