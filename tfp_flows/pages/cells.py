"""How the cells of a table are written."""

import numbers
from typing import Any

UNBROKEN = 8  # letters of a column's title, which are not broken


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


def is_number(value: Any) -> bool:
    """Whether a cell holds a number, or stands empty where one would be."""
    return value is None or value == "" or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def classes(numeric: bool, mark: str | None = None, title: str | None = None) -> str:
    """The value of a cell's `class`.

    Args:
      numeric: Whether its column is one of numbers.
      mark: "right", "wrong" or None.
      title: Its text if it is a column's title.
    """
    short = ["short"] if title is not None and len(title) <= UNBROKEN else []
    return " ".join(["number"] * numeric + ([mark] if mark else []) + short)
