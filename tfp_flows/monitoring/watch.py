"""Tables into a monitor: which rows are new, when they are from, and by what they are compared."""

import dataclasses
import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_flows.monitoring.calibrated import Calibrated, guess_num_calibration
from tfp_flows.monitoring.errors import MonitoringError
from tfp_flows.monitoring.monitor import Alarm, Monitor
from tfp_flows.monitoring.state import Seen
from tfp_flows.monitoring.tables import CALIBRATE, Faults, Row
from tfp_flows.monitoring.times import BATCH, Clock

_FEW = 20  # different p-values from which a guess may be wrong


@dataclasses.dataclass(frozen=True)
class Settings:
    """How rows are watched.

    Attributes:
      level: As in `Monitor`.
      alpha: As in `Monitor`.
      seed: As in `Monitor`.
      batch_size: As in `Monitor`.
      clock: What makes groups of rows.
    """

    level: float = 0.01
    alpha: float = 0.05
    seed: int = 0
    batch_size: int = 100
    clock: Clock = Clock()


class Watch:
    """A `Monitor` that takes rows of tables, each once.

    Attributes:
      faults: What was left out.
      said: Lines about what was found out or guessed.
      repeated: Rows that had been seen before.
      late: Rows that are older than one before them.
      monitor: None until the number of calibration images is known.
    """

    def __init__(self, settings: Settings, calibrated: Calibrated | None, faults: Faults) -> None:
        """Begins anew.

        Args:
          settings: How.
          calibrated: None: the number of calibration images is guessed from the first p-values.
          faults: Where rows that are left out are counted.
        """
        self.faults = faults
        self.said: list[str] = []
        self.repeated = self.late = 0
        self.monitor: Monitor | None = None if calibrated is None else _monitor(settings, calibrated)
        self._settings = settings
        self._seen = Seen()
        self._newest: datetime.datetime | None = None
        self._grid: np.ndarray = np.zeros(2, np.int64)  # rows whose p-values are on the grid, and off it

    def take(self, rows: Sequence[Row], sort: bool = True) -> Alarm | None:
        """Takes those rows that are new; where it raises, they count as not seen.

        Args:
          rows: In the order of the table.
          sort: Whether they are put in the order of time first, where times are known.

        Returns:
          The first alarm, now or earlier; None while there is none.

        Raises:
          MonitoringError: If they do not fit the calibration images.
        """
        found = self._seen.new(rows)
        new = list(found.values())
        self.repeated += len(rows) - len(new)
        if not new:
            return None if self.monitor is None else self.monitor.alarm
        if self.monitor is None:
            self.monitor = _monitor(self._settings, self._guessed(new))
        labels = None
        if self._settings.clock.by != BATCH:
            new, labels = self._in_time(new, sort)
        alarm = self._update(self.monitor, new, labels)
        self._seen.add(found)
        return alarm

    def _guessed(self, rows: Sequence[Row]) -> Calibrated:
        p_values = np.array([row.p_value for row in rows])
        found = guess_num_calibration(p_values)
        if found is None:
            raise MonitoringError(
                "`scores`: no number of calibration images gives these p-values; give `num_calibration`, "
                "or the `detector` that they are from."
            )
        different = len(np.unique(p_values))
        sure = "" if different >= _FEW else f"; only {different} different ones, so it may be wrong"
        self.said.append(
            f"{found:,} calibration images, guessed: the fewest that give these p-values{sure}. "
            "--detector, --model or --num_calibration says it."
        )
        return Calibrated(found)

    def _in_time(self, rows: list[Row], sort: bool) -> tuple[list[Row], list[str]]:
        clock = self._settings.clock
        timed = [(clock.time(row.key, row.time), row) for row in rows]
        if self._newest is None and not any(time for time, _ in timed):
            where = f"column {clock.column}" if clock.column else "key"
            text = rows[0].time if clock.column else rows[0].key
            raise MonitoringError(
                f"`by={clock.by}`: no {where} has a time that is understood, such as {text!r}; "
                "give `time_pattern`, or `time_column`, or `by=batch`."
            )
        if self._newest is None:
            time, row = next(pair for pair in timed if pair[0])
            text = f"column {clock.column}: {row.time}" if clock.column else f"keys: {row.key}"
            self.said.append(f"Times are from {text} is {time}.")
        if sort:
            timed.sort(key=lambda pair: pair[0] or datetime.datetime.max)
        for time, row in timed:
            if time is None:
                self.faults.note("rows without a time, watched as one group", row.key)
            elif self._newest is not None and time < self._newest:
                self.late += 1
            else:
                self._newest = time
        return [row for _, row in timed], [clock.label(time) for time, _ in timed]

    def _update(self, monitor: Monitor, rows: list[Row], labels: list[str] | None) -> Alarm | None:
        with_scores = monitor.calibrated.scores is not None
        good = self._with_scores(monitor, rows) if with_scores else self._on_grid(monitor, rows)
        chosen = np.flatnonzero(good).tolist()
        rows = [rows[i] for i in chosen]
        labels = labels and [labels[i] for i in chosen]
        keys = [row.key for row in rows]
        scores = np.array([np.nan if row.score is None else row.score for row in rows])
        if with_scores:
            return monitor.update(scores, keys, labels)
        order = np.nan_to_num(scores, nan=0.0, posinf=np.inf, neginf=-np.inf)
        return monitor.update_p_values([row.p_value for row in rows], keys, labels, order)

    def _on_grid(self, monitor: Monitor, rows: list[Row]) -> np.ndarray:
        n = monitor.calibrated.num_calibration
        good = monitor.calibrated.ranks_of_p_values(np.array([row.p_value for row in rows])) > 0
        counts = self._grid + np.array([good.sum(), (~good).sum()])
        if counts[1] > counts[0]:  # of all so far, as a piece may be one row
            value = rows[int(np.argmin(good))].p_value
            raise MonitoringError(
                f"`scores`: p-values such as {value:g} are not k / {n + 1}, as {n} calibration images give: "
                "another detector was used, or the number is wrong (give `num_calibration` or `detector`, "
                "and begin a new `state`)."
            )
        self._grid = counts
        for i in np.flatnonzero(~good):
            self.faults.note(f"rows whose p-value is not k / {n + 1}", rows[i].key)
        return good

    def _with_scores(self, monitor: Monitor, rows: list[Row]) -> np.ndarray:
        good = np.array([row.score is not None for row in rows])
        for i in np.flatnonzero(~good):
            self.faults.note("rows without a score", rows[i].key)
        scores = np.array([row.score for row in rows if row.score is not None], np.float32)
        given = np.array([row.p_value for row in rows if row.score is not None])
        # Between neighbouring p-values, and beyond the rounding of one in float32.
        close = 1e-3 / len(monitor.counts) + 2.0**-23 * given
        other = np.abs(monitor.calibrated.p_values(scores) - given) > close
        if other.any():
            raise MonitoringError(
                f"`detector`: {int(other.sum()):,} of {len(rows):,} p-values are not those that its "
                "calibration scores give: the table was scored with another detector."
            )
        return good

    def need_monitor(self) -> Monitor:
        """The monitor.

        Raises:
          MonitoringError: If there were no rows.
        """
        if self.monitor is None or not self.monitor.rows:
            raise MonitoringError(
                "`scores`: there is no row with a p-value. "
                + (" ".join(f"{line}." for line in self.faults.lines()) or "The tables are empty.")
                + f" If the scores have none: {CALIBRATE}."
            )
        return self.monitor

    def lines(self) -> list[str]:
        """What was found out, guessed and left out."""
        lines = [*self.said, *(f"{line}." for line in self.faults.lines())]
        if self.repeated:
            lines.append(f"{self.repeated:,} rows were seen before and are left out.")
        if self.late:
            lines.append(f"{self.late:,} rows are older than one before them; they count when they came.")
        if self._settings.clock.by == BATCH:
            lines.append("Batches are in the order of the table; `time_from` and `time_column` make days.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """What `from_json` goes on from.

        Raises:
          MonitoringError: If there were no rows yet.
        """
        monitor = self.need_monitor()
        return {
            "settings": _settings_json(self._settings),
            "calibration": _digest(monitor.calibrated),
            "newest": self._newest and self._newest.isoformat(),
            "late": self.late,
            "monitor": monitor.to_json(),
            "seen": self._seen.to_json(),
        }

    @classmethod
    def from_json(
        cls, values: dict[str, Any], settings: Settings, calibrated: Calibrated | None, faults: Faults
    ) -> "Watch":
        """Goes on from `to_json`.

        Args:
          values: From `to_json`.
          settings: As they were.
          calibrated: As it was, or None: as many calibration images as there were.
          faults: As in the constructor.

        Raises:
          MonitoringError: If something was other than it is now, or the values are none of it.
        """
        try:
            before, now = values["settings"], _settings_json(settings)
            changed = [name for name in now if before[name] != now[name]]
            if changed:
                raise MonitoringError(
                    f"`state`: it was begun with {changed[0]} {before[changed[0]]}, now it is "
                    f"{now[changed[0]]}; begin a new one for that."
                )
            if calibrated is None:
                calibrated = Calibrated(values["monitor"]["num_calibration"])
            if values["calibration"] != _digest(calibrated):
                raise MonitoringError(
                    "`state`: it was begun with other calibration images; give the same `detector`, `model` "
                    "or `num_calibration`, or begin a new one."
                )
            found = cls(settings, calibrated, faults)
            found.monitor = Monitor.from_json(values["monitor"], calibrated)
            found._seen = Seen.from_json(values["seen"])
            newest = values["newest"]
            found._newest = newest and datetime.datetime.fromisoformat(newest)
            found.late = int(values["late"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, MonitoringError) and "`" in str(error):
                raise
            raise MonitoringError(f"`state`: it cannot be gone on with: {error}.") from error
        return found


def _monitor(settings: Settings, calibrated: Calibrated) -> Monitor:
    return Monitor(calibrated, settings.level, settings.alpha, settings.seed, settings.batch_size)


def _settings_json(settings: Settings) -> dict[str, Any]:
    found = {name: getattr(settings, name) for name in ("level", "alpha", "seed", "batch_size")}
    return found | {f"clock's {name}": value for name, value in settings.clock._asdict().items()}


def _digest(calibrated: Calibrated) -> str:
    """Of the scores; where they are not known, their number."""
    if calibrated.scores is None:
        return str(calibrated.num_calibration)
    return hashlib.sha256(calibrated.scores.tobytes()).hexdigest()
