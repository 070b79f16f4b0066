"""How the cells of a table are written."""

import numbers
from typing import Any

UNBROKEN = 8  # letters of a column's title, which are not broken
LONGEST_LINE = 40  # letters of a cell that is no sentence


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


def classes(
    numeric: bool, mark: str | None = None, title: str | None = None, text: str | None = None
) -> str:
    """The value of a cell's `class`.

    Args:
      numeric: Whether its column is one of numbers.
      mark: "right", "wrong" or None.
      title: Its text if it is a column's title.
      text: Its text if it is none; a long one, a sentence, is broken into lines.
    """
    short = ["short"] if title is not None and len(title) <= UNBROKEN else []
    long = ["long"] if text is not None and len(text) > LONGEST_LINE else []
    return " ".join(["number"] * numeric + ([mark] if mark else []) + short + long)
