"""How the cells of a table are written."""

import numbers
from typing import Any

UNBROKEN = 8  # letters of a column's title


def shown(value: Any, specification: str | None) -> str:
    """A value as text: with a minus sign, which is longer than a hyphen, or a dash where there is none.

    Args:
      value: Text, a number, or "" or None for nothing.
      specification: Format specification of numbers, or None.
    """
    if value is None or value == "":
        return "–"
    if isinstance(value, str):
        return value
    return (str(value) if specification is None else format(value, specification)).replace("-", "−")


def title(key: str) -> str:
    """Of a column: a short one is not broken."""
    return key.replace(" ", "\N{NO-BREAK SPACE}") if len(key) <= UNBROKEN else key


def is_number(value: Any) -> bool:
    """Whether a cell holds a number, or stands empty where one would be."""
    return value is None or value == "" or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def classes(numeric: bool, mark: str | None = None) -> str:
    """Of a cell in a column of numbers, or not, and with a mark, or not: the value of its `class`."""
    return " ".join(["number"] * numeric + ([mark] if mark else []))
