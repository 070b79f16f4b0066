"""Whole numbers among arguments and settings, of Python or of NumPy; nothing here needs TensorFlow."""

from collections.abc import Mapping
from typing import Any

from tfp_flows.checks.errors import UserError


def whole(value: Any, least: int) -> int | None:
    """`value` as a Python `int` where it is a whole number, 3 or 3.0, of at least `least`; else None."""
    try:
        number = least - 1 if isinstance(value, bool | str | bytes) else int(value)
        good = number == value and number >= least
    except (TypeError, ValueError, OverflowError):
        return None
    return number if good else None


def wanted(least: int) -> str:
    """What a setting must be: "a positive integer", or "an integer of 0 or more"."""
    return "a positive integer" if least == 1 else f"an integer of {least} or more"


def keep_whole(config: Any, least: Mapping[str, int], owner: str = "") -> None:
    """Makes fields of a frozen dataclass Python's whole numbers.

    Args:
      config: Changed: NumPy's numbers become Python's, as JSON has them.
      least: The smallest value by field.
      owner: Its name, for messages.

    Raises:
      UserError: Naming the first field that is none.
    """
    for field, smallest in least.items():
        value = getattr(config, field)
        number = whole(value, smallest)
        if number is None:
            prefix = f"{owner}: " if owner else ""
            raise UserError(f"{prefix}`{field}` must be {wanted(smallest)}, got {value!r}.")
        object.__setattr__(config, field, number)
