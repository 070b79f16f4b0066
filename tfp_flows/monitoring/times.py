"""When an image was taken: from a column of the table, or from the date in its key."""

import datetime
import re
from typing import NamedTuple

from tfp_flows.monitoring.errors import MonitoringError

BATCH, DAY, HOUR = "batch", "day", "hour"
KEY = "key"
NO_TIME = "no time"
# A date as 2026-11-28, 2026/11/28, 2026_11_28 or 20261128, and a time of day behind it, T14:30 or _1430.
_DATE = re.compile(
    r"(?<!\d)(?P<Y>\d{4})(?P<s>[-_/.]?)(?P<m>\d\d)(?P=s)(?P<d>\d\d)"
    r"(?:[T _]?(?P<H>\d\d)[:.-]?(?P<M>\d\d)(?:[:.-]?(?P<S>\d\d))?)?(?!\d)"
)
_DIRECTIVES = {"Y": r"(?P<Y>\d{4})", **{name: rf"(?P<{name}>\d\d)" for name in "mdHMS"}, "%": "%"}


class Clock(NamedTuple):
    """How rows are put into groups.

    Attributes:
      by: "day", "hour" or "batch".
      column: Name of the column of times, or None: the key.
      pattern: How the time is written, such as "%Y%m%d_%H%M%S", anywhere in the text; None: as a date of
        ISO 8601, in a column also as seconds since 1970 (UTC).
    """

    by: str = BATCH
    column: str | None = None
    pattern: str | None = None

    def time(self, key: str, text: str) -> datetime.datetime | None:
        """When the image was taken.

        Args:
          key: Of the image.
          text: In the column of times.

        Returns:
          A time without a zone, as it is written; None where it is not.
        """
        source = text if self.column else key
        if self.pattern is None and self.column:
            return _iso(source.strip()) or _searched(_DATE, source, self.by == HOUR)
        return _searched(_DATE if self.pattern is None else compiled(self.pattern), source, self.by == HOUR)

    def label(self, time: datetime.datetime | None) -> str:
        """Of the day or hour."""
        if time is None:
            return NO_TIME
        return time.strftime("%Y-%m-%d" if self.by == DAY else "%Y-%m-%d %H:00")


def compiled(pattern: str) -> re.Pattern[str]:
    """The expression that a pattern with %Y, %m, %d, %H, %M, %S stands for.

    Raises:
      MonitoringError: If it has another directive, or one twice, or no full date.
    """
    found: list[str] = []

    def expression(match: re.Match[str]) -> str:
        name = match[1]
        if name not in _DIRECTIVES or name in found:
            raise MonitoringError(
                f"`time_pattern`: {pattern}: %{name} is not known, or there twice; %Y %m %d %H %M %S are."
            )
        found.extend(name.replace("%", ""))
        return _DIRECTIVES[name]

    pieces = re.split(r"(%.)", pattern)
    text = "".join(re.sub("%(.)", expression, p) if p.startswith("%") else re.escape(p) for p in pieces)
    if not {"Y", "m", "d"} <= set(found):
        raise MonitoringError(f"`time_pattern`: {pattern} needs %Y, %m and %d.")
    return re.compile(text)


def _searched(expression: re.Pattern[str], text: str, with_hour: bool) -> datetime.datetime | None:
    """The first time in a text; `with_hour`: the first that has an hour."""
    for match in expression.finditer(text):
        values = match.groupdict()
        of_day = None if values.get("H") is None else _time(values, "YmdHMS")
        found = of_day or (None if with_hour else _time(values, "Ymd"))  # 2026-11-28_9999: a number, no time
        if found is not None:
            return found
    return None


def _time(values: dict[str, str | None], names: str) -> datetime.datetime | None:
    try:
        return datetime.datetime(*(int(values.get(name) or 0) for name in names))  # type: ignore[arg-type]
    except ValueError:  # month 13: something else
        return None


def _iso(text: str) -> datetime.datetime | None:
    try:
        seconds = float(text)
    except ValueError:
        seconds = None
    try:
        # From 1973 to 2286: smaller is a date such as 20261128, larger one as 202611281430.
        if seconds is not None and 1e8 < seconds < 1e10:
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
        return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None
