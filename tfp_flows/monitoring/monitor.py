"""A stream of scores against those of the calibration images: an alarm with a guarantee, and counts."""

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfp_flows.detectors import calibration as levels
from tfp_flows.monitoring.calibrated import Calibrated
from tfp_flows.monitoring.errors import MonitoringError
from tfp_flows.monitoring.groups import Group
from tfp_flows.monitoring.martingale import Martingale
from tfp_flows.monitoring.two_samples import Comparison
from tfp_flows.monitoring.urn import Urn

BATCH_SIZE = 100
_POINTS = 2_000  # of the wealth over time that are kept
_CHUNK = 4_096


@dataclasses.dataclass(frozen=True)
class Alarm:
    """When the wealth reached 1 / level for the first time.

    Attributes:
      row: Number of the row, from 1, of those that counted.
      key: Of its image.
      group: Its day, hour or batch.
      log_wealth: ln M.
      meaning: What drifted, in words.
      since: Row at which the wealth had been lowest: the drift began about there.
    """

    row: int
    key: str
    group: str
    log_wealth: float
    meaning: str
    since: int


class Monitor:
    """Watches scores for drift away from the calibration images.

    Null hypothesis: the images that come are exchangeable with the calibration images, as images drawn alike
    and independently are. Ranks among the calibration scores become independent uniform p-values (`Urn`),
    and a `Martingale` bets against these. Under the null hypothesis an alarm is raised, *ever*, with a
    probability of at most `level`, however long the stream and however often one looks.

        monitor = monitoring.Monitor(detector.calibration_scores)
        monitor.update(detector.score(images_of_monday))       # None, or an Alarm
        monitor.update(detector.score(images_of_tuesday))

    The stream may come in pieces of any size; the result is the same. Where a calibration score equals a
    score, or the martingale needs a uniform number, it is drawn from `seed` and the number of the row.

    Attributes:
      calibrated: `Calibrated`.
      martingale: `Martingale`.
      groups: {label: `Group`}, in the order in which they came.
      rows: Images so far.
      alarm: The first `Alarm`, or None.
      wealth: [(row, ln M)], thinned out.
      foreign_rank: k: an image is called foreign where its rank is at most k, that is p <= alpha; 0 where
        the calibration images are too few for a p-value of alpha.
      settings: level, alpha, seed and batch_size by name.
    """

    def __init__(
        self,
        calibration: "npt.ArrayLike | int | Calibrated",
        level: float = 0.01,
        alpha: float = 0.05,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Begins with no images.

        Args:
          calibration: The detector's calibration scores `[n]`; or n, for `update_p_values` alone.
          level: Probability, at most, of an alarm without drift.
          alpha: p-value at or below which an image is called foreign.
          seed: Of what is drawn at random.
          batch_size: Rows in a batch, where no groups are given.

        Raises:
          MonitoringError: If a value makes no sense.
          DetectorError: If `alpha` is no number in (0, 1).
        """
        if not 0 < level < 1:
            raise MonitoringError(f"`level` must be in (0, 1), got {level}.")
        if batch_size < 1:
            raise MonitoringError(f"`batch_size` must be 1 or more, got {batch_size}.")
        if seed < 0:
            raise MonitoringError(f"`seed` must not be negative, got {seed}.")
        self.calibrated = calibration if isinstance(calibration, Calibrated) else Calibrated(calibration)
        self.settings = {"level": level, "alpha": alpha, "seed": seed, "batch_size": batch_size}
        self._seed, self._batch_size = seed, batch_size
        self.foreign_rank = levels.rank(alpha, self.calibrated.num_calibration)
        self.martingale = Martingale()
        self.groups: dict[str, Group] = {}
        self.alarm: Alarm | None = None
        self.wealth: list[tuple[int, float]] = []
        self._urn = Urn(self.calibrated.num_calibration)
        self._stride = 1

    @property
    def rows(self) -> int:
        """Images so far."""
        return self.martingale.steps

    @property
    def counts(self) -> np.ndarray:
        """How many images have each rank 1, ..., n + 1: int64 `[n + 1]`."""
        return self._urn.counts

    def update(
        self, scores: npt.ArrayLike, keys: Sequence[str] | None = None, groups: Sequence[str] | None = None
    ) -> Alarm | None:
        """Takes the next images by their scores; ties with calibration scores are broken at random.

        Args:
          scores: `[m]`, higher is more foreign; in the order of time. Float32, as the detector's are.
          keys: Of the images; by default their numbers.
          groups: Label of the day or hour of each; by default batches of `batch_size`.

        Returns:
          The first alarm, now or earlier; None while there is none.

        Raises:
          MonitoringError: If a score is NaN, or only the number of calibration images is known.
        """
        found = np.asarray(scores, np.float32).ravel()
        if np.isnan(found).any():
            raise MonitoringError("`scores` must not be NaN.")
        uniforms = self._uniforms(len(found))
        ranks = self.calibrated.ranks(found, uniforms[:, 0], self._seed)
        return self._take(ranks, uniforms[:, 1], found.astype(np.float64), keys, groups)

    def update_p_values(
        self,
        p_values: npt.ArrayLike,
        keys: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        scores: npt.ArrayLike | None = None,
    ) -> Alarm | None:
        """Takes the next images by their split conformal p-values, K / (n + 1).

        The guarantee then needs that no score equals a calibration score.

        Args:
          p_values: `[m]`, in the order of time.
          keys: As in `update`.
          groups: As in `update`.
          scores: `[m]`: which of those with one p-value is the stranger; has no influence on the alarm.

        Returns:
          As `update`.

        Raises:
          MonitoringError: If a p-value is not of this form.
        """
        found = np.asarray(p_values, np.float64).ravel()
        ranks = self.calibrated.ranks_of_p_values(found)
        if not ranks.all():
            n = self.calibrated.num_calibration
            raise MonitoringError(
                f"`p_values`: {found[ranks == 0][0]:g} is not k / {n + 1}, as {n} calibration images give."
            )
        order = np.zeros(len(found)) if scores is None else np.asarray(scores, np.float64).ravel()
        return self._take(ranks, self._uniforms(len(found))[:, 1], order, keys, groups)

    def compare(self) -> dict[str, Comparison]:
        """Each group against the calibration images, by its label."""
        n, k = self.calibrated.num_calibration, self.foreign_rank
        return {label: group.compare(n, k) for label, group in self.groups.items()}

    def overall(self) -> Group:
        """All groups as one."""
        whole = Group("all", 1, self.rows)
        for group in self.groups.values():
            whole.counts.update(group.counts)
            whole.consider(group.strangest)
        return whole

    def _uniforms(self, count: int) -> np.ndarray:
        """Two numbers for each of the next rows, that are its own however the stream is cut."""
        stream = np.random.PCG64([self._seed, 0])
        stream.advance(2 * self.rows)
        return np.random.Generator(stream).random((count, 2))

    def _take(
        self,
        ranks: np.ndarray,
        uniforms: np.ndarray,
        scores: np.ndarray,
        keys: Sequence[str] | None,
        groups: Sequence[str] | None,
    ) -> Alarm | None:
        for given in (keys, groups):
            if given is not None and len(given) != len(ranks):
                raise MonitoringError(f"`keys` and `groups` must be {len(ranks)} each, got {len(given)}.")
        first = self.rows + 1
        names = [f"row {first + i}" for i in range(len(ranks))] if keys is None else keys
        labels = self._batches(len(ranks)) if groups is None else groups
        for start in range(0, len(ranks), _CHUNK):
            piece = slice(start, start + _CHUNK)
            self._take_piece(ranks[piece], uniforms[piece], scores[piece], names[piece], labels[piece])
        return self.alarm

    def _batches(self, count: int) -> list[str]:
        size = self._batch_size
        starts = [(self.rows + i) // size * size for i in range(count)]
        return [f"rows {start + 1} to {start + size}" for start in starts]

    def _take_piece(
        self,
        ranks: np.ndarray,
        uniforms: np.ndarray,
        scores: np.ndarray,
        keys: Sequence[str],
        labels: Sequence[str],
    ) -> None:
        first = self.rows + 1
        logs = self._bet(self._urn.draw(ranks, uniforms), keys, labels)
        self._note_wealth(first, logs)
        for start, end in _runs(labels):
            label = labels[start]
            group = self.groups.setdefault(label, Group(label, first + start))
            group.add(ranks[start:end], logs[start:end], first + end - 1)
            rows = range(start, end)
            group.consider((int(ranks[i]), -float(scores[i]), first + i, keys[i]) for i in rows)

    def _bet(self, p_values: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """ln M after each; where it reaches the limit for the first time, the alarm is noted then."""
        if self.alarm is not None:
            return self.martingale.update(p_values)
        before = copy.copy(self.martingale)
        logs = self.martingale.update(p_values)
        high = np.flatnonzero(logs >= -math.log(self.settings["level"]))
        if len(high):
            self.martingale, i = before, int(high[0])
            first = before.update(p_values[: i + 1])
            self.alarm = Alarm(
                before.steps, keys[i], labels[i], float(first[i]), before.meaning, before.lowest_at + 1
            )
            logs = np.concatenate([first, before.update(p_values[i + 1 :])])
        return logs

    def _note_wealth(self, first: int, logs: np.ndarray) -> None:
        rows = np.arange(first, first + len(logs))
        kept = rows % self._stride == 0
        self.wealth += list(zip(rows[kept].tolist(), logs[kept].tolist(), strict=True))
        while len(self.wealth) > _POINTS:
            self._stride *= 2
            self.wealth = [point for point in self.wealth if point[0] % self._stride == 0]

    def to_json(self) -> dict[str, Any]:
        """What `from_json` goes on from, exactly; the calibration scores are not in it."""
        return {
            "num_calibration": self.calibrated.num_calibration,
            "settings": self.settings,
            "martingale": self.martingale.to_json(),
            "counts": self.counts.tolist(),
            "groups": [group.to_json() for group in self.groups.values()],
            "alarm": self.alarm and dataclasses.asdict(self.alarm),
            "wealth": [list(point) for point in self.wealth],
            "stride": self._stride,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], calibration: "npt.ArrayLike | int | Calibrated") -> "Monitor":
        """Goes on from `to_json`.

        Args:
          values: From `to_json`.
          calibration: As it was.

        Raises:
          MonitoringError: If the values are none of it, or the calibration images are more or fewer.
        """
        try:
            found = cls(calibration, **values["settings"])
            if values["num_calibration"] != found.calibrated.num_calibration:
                raise MonitoringError(
                    f"it was begun with {values['num_calibration']} calibration images, now there are "
                    f"{found.calibrated.num_calibration}"
                )
            found.martingale = Martingale.from_json(values["martingale"])
            counts = np.array(values["counts"], np.int64)
            if counts.shape != found.counts.shape or counts.min() < 0 or counts.sum() != found.rows:
                raise MonitoringError("its counts are not those of its rows")
            found._urn.counts = counts
            groups = [Group.from_json(group) for group in values["groups"]]
            found.groups = {group.label: group for group in groups}
            found.alarm = None if values["alarm"] is None else Alarm(**values["alarm"])
            found.wealth = [(int(row), float(log)) for row, log in values["wealth"]]
            found._stride = int(values["stride"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, MonitoringError):
                raise
            raise MonitoringError(f"it is no monitor ({type(error).__name__}: {error})") from error
        return found


def _runs(labels: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of equal labels."""
    start = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[start]:
            yield start, end
            start = end
