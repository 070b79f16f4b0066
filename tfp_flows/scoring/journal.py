"""A scoring job on disk: its tables as they grow, and which job it is.

    OUT.part            the table so far, as text: Parquet cannot be appended to
    OUT.errors.part     the table of errors so far
    OUT.progress.json   the job, and how far it was when it was last interrupted

The two tables are all that counts for going on. When all is done they are written once more, under their own
names; what needs all rows, as q-values do, is computed then, from OUT.part. OUT comes last.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfp_flows import runs
from tfp_flows.scoring.done import Done
from tfp_flows.scoring.ending import Ending, scored_rows
from tfp_flows.scoring.groups import group_rows, groups_text
from tfp_flows.scoring.growing import Entry, GrowingTable
from tfp_flows.scoring.q_values import QValues, counts_of_lines
from tfp_flows.scoring.table import COLUMNS, ERROR_COLUMNS, Counts, ScoringError, check_out

FORMAT = 2
_OTHER = {"images": "other images", "group_by": "other groups", "storey": "another use of storey"}


class Journal:
    """The files of one job."""

    def __init__(
        self, out: str | os.PathLike, job: Mapping[str, object], ending: Ending | None = None
    ) -> None:
        """Looks at nothing but the name.

        Args:
          out: Path of the table.
          job: What makes the job the same one when it is started again.
          ending: What is made of all rows at the end, or None. What came of it is written there.

        Raises:
          ScoringError: If `out` ends in neither .csv nor .parquet.
        """
        self._out = pathlib.Path(out)
        check_out(out)
        self._rows = GrowingTable(self._beside(".part"), COLUMNS)
        self._errors = GrowingTable(self._beside(".errors.part"), ERROR_COLUMNS)
        self._final_errors = self._beside(".errors.csv")
        self._final_groups = self._beside(".groups.csv")
        self._progress = self._beside(".progress.json")
        self._job = dict(job)
        self._ending = ending or Ending()
        # Counts and sizes of the tables, changed at once: an interruption finds both of one moment.
        self._reached = (Counts(0, 0), (0, 0))

    @property
    def counts(self) -> Counts:
        """Of the rows so far."""
        return self._reached[0]

    def begin(self) -> Done | None:
        """Begins the job, or goes on with it.

        Returns:
          What has a row already; None where all is done and only files were to be cleared away.

        Raises:
          ScoringError: If `out` is there, or the files are another job's, or are damaged.
        """
        noted = self._read_note()
        if self._out.exists():
            if not (noted and noted["finished"] and noted["job"] == self._job):
                raise ScoringError(f"`out`: {self._out} is there already; remove it to score anew.")
            self._reached = (Counts(*noted["counts"]), (noted["rows"], noted["errors"]))
            self._clear()
            return None
        if noted is None or not (self._rows.has_rows() or self._errors.has_rows()):
            self._begin_anew()
            return Done()
        self._check(noted)
        for table in (self._rows, self._errors):
            table.cut()
        return Done(self._identities())

    def append(self, rows: Sequence[Entry], errors: Sequence[Entry]) -> None:
        """Adds to both tables, and brings them to the disk.

        Raises:
          OSError: If that fails; `filename` says where.
        """
        self._rows.append(rows)
        self._errors.append(errors)
        counts = Counts(self.counts.scored + len(rows), self.counts.failed + len(errors))
        self._reached = (counts, self._sizes())

    def keys(self, done: Done) -> Iterator[str]:
        """The keys, escaped, of the rows that `done` still has; it has them no longer then."""
        for table in (self._rows, self._errors):
            for key, identity in table.keys():
                if done(identity):
                    yield key

    def q_values(self) -> QValues | None:
        """Those of all rows so far; None where the ending has none."""
        ending = self._ending
        if ending.fdr is None:
            return None
        counts = counts_of_lines(self._rows.without_record())
        return QValues(counts, ending.fdr, ending.storey, ending.num_calibration)

    def finish(self) -> None:
        """Writes the tables under their own names, and clears away what else there is."""
        self._errors.publish(self._final_errors)
        q_values = self._ending.q_values = self.q_values()
        if self._ending.group_by is not None:
            self._write_groups(q_values)
        self._note(finished=True)
        self._rows.publish(self._out, q_values)
        self._clear()

    def pause(self) -> str:
        """Notes how far the job is; where there is nothing yet, clears its files away.

        Returns:
          A sentence for whoever started it, or "".
        """
        if not sum(self.counts) or self._out.exists():
            with contextlib.suppress(OSError):
                self._clear()
            return ""
        with contextlib.suppress(OSError):  # a full disk, say: the tables are all that counts
            self._note()
        return (
            f"{sum(self.counts):,} images are done, in {self._rows.path}, {self._errors.path.name} and "
            f"{self._progress.name}; the same command goes on from there."
        )

    def _write_groups(self, q_values: QValues | None) -> None:
        ending = self._ending
        rows = scored_rows(self._rows.path, after=1, q_values=q_values)
        ending.groups = group_rows(rows, ending.num_calibration or 0, ending.fdr, ending.alpha)
        runs.write_atomically(self._final_groups, groups_text(ending.groups))

    def _beside(self, ending: str) -> pathlib.Path:
        return self._out.with_name(self._out.name + ending)

    def _begin_anew(self) -> None:
        self._clear()
        self._final_errors.unlink(missing_ok=True)
        self._final_groups.unlink(missing_ok=True)
        self._rows.begin()
        self._errors.begin()
        self._reached = (Counts(0, 0), self._sizes())
        self._note()

    def _clear(self) -> None:
        """Removes what is beside the tables; the note last, by which the rest is known."""
        for path in (self._rows.path, self._errors.path, self._progress):
            path.unlink(missing_ok=True)

    def _check(self, noted: dict[str, Any]) -> None:
        """Refuses another job's files, and such as somebody cut."""
        names = {**self._job, **noted["job"]}
        changed = [name for name in names if noted["job"].get(name) != self._job.get(name)]
        if changed:
            words = " and ".join(_OTHER.get(name, f"another {name}") for name in changed)
            raise ScoringError(
                f"`out`: {self._progress} is of a job with {words}; finish that one with what it began "
                f"with, give another `out`, or remove {self._progress.name} to begin anew."
            )
        for table, size in ((self._rows, noted["rows"]), (self._errors, noted["errors"])):
            if not table.path.exists() or table.path.stat().st_size < size:
                raise ScoringError(
                    f"`out`: {table.path} is shorter than {self._progress} says; remove "
                    f"{self._progress.name} to begin anew."
                )

    def _identities(self) -> Iterator[str]:
        """Of all rows, which are counted by the way."""
        counts = [0, 0]
        for index, table in enumerate((self._rows, self._errors)):
            for _, identity in table.keys():
                counts[index] += 1
                yield identity
        self._reached = (Counts(*counts), self._sizes())

    def _sizes(self) -> tuple[int, int]:
        return self._rows.path.stat().st_size, self._errors.path.stat().st_size

    def _note(self, finished: bool = False) -> None:
        counts, (rows, errors) = self._reached
        noted = {"format": FORMAT, "job": self._job, "finished": finished, "counts": list(counts)}
        runs.write_atomically(self._progress, json.dumps({**noted, "rows": rows, "errors": errors}) + "\n")

    def _read_note(self) -> dict[str, Any] | None:
        """What `_note` wrote; None where there is nothing."""
        try:
            noted = json.loads(self._progress.read_text(encoding="utf-8"))
            if noted.get("format") != FORMAT:
                raise ScoringError(
                    f"`out`: {self._progress} is of a job that another version of this program began; "
                    f"finish it there, or remove it to begin anew."
                )
            types = {"job": dict, "finished": bool, "counts": list, "rows": int, "errors": int}
            if all(isinstance(noted.get(name), kind) for name, kind in types.items()):
                return noted
        except FileNotFoundError:
            return None
        except ScoringError:
            raise
        except (ValueError, AttributeError, RecursionError):
            pass
        raise ScoringError(f"`out`: {self._progress} is damaged; remove it to begin anew.")
