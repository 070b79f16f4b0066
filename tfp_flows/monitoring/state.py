"""A monitor that goes on where it was: its counts and wealth, and which rows it has seen, as JSON."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfp_flows import runs
from tfp_flows.checks import files
from tfp_flows.checks.errors import UserError
from tfp_flows.monitoring.errors import MonitoringError
from tfp_flows.monitoring.tables import Row

FORMAT = 1
_MOST = 2**30  # bytes: of 80 million rows
_BYTES = 8  # of a digest: among 10^6 rows two are taken for one with a probability of 3e-8


class Seen:
    """Rows by their digests, in 8 bytes each: the same key with the same numbers is the same row."""

    def __init__(self, digests: Iterable[int] = ()) -> None:
        """Knows these."""
        self._digests = set(digests)

    def __len__(self) -> int:
        """How many rows it knows."""
        return len(self._digests)

    def new(self, rows: Iterable[Row]) -> dict[int, Row]:
        """Those that it does not know, each once, by their digests."""
        found: dict[int, Row] = {}
        for row in rows:
            digest = _digest(row)
            if digest not in self._digests:
                found.setdefault(digest, row)
        return found

    def add(self, digests: Iterable[int]) -> None:
        """Takes rows, by their digests."""
        self._digests.update(digests)

    def to_json(self) -> str:
        """What `from_json` makes the same of."""
        return base64.b64encode(np.array(sorted(self._digests), "<u8").tobytes()).decode()

    @classmethod
    def from_json(cls, text: str) -> "Seen":
        """From `to_json`."""
        return cls(np.frombuffer(base64.b64decode(text, validate=True), "<u8").tolist())


def _digest(row: Row) -> int:
    text = f"{row.key}\0{row.p_value!r}\0{row.score!r}\0{row.time}"
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_BYTES).digest()
    )


def read_state(path: str | os.PathLike) -> dict[str, Any] | None:
    """What `write_state` wrote; None where there is no file.

    Raises:
      MonitoringError: If it is something else.
    """
    if not os.path.exists(path):
        return None
    try:
        values = json.loads(files.read_bytes(path, _MOST).decode("utf-8"))
    except (UserError, ValueError, RecursionError) as error:
        raise MonitoringError(
            f"`state`: {os.fspath(path)} is damaged ({error}); remove it to begin anew."
        ) from error
    if not isinstance(values, dict) or values.get("monitor_format") != FORMAT:
        raise MonitoringError(f"`state`: {os.fspath(path)} is no state of a monitor of format {FORMAT}.")
    return values


def write_state(path: str | os.PathLike, values: dict[str, Any]) -> None:
    """Writes values, at once or not at all."""
    runs.write_atomically(path, json.dumps({"monitor_format": FORMAT, **values}) + "\n")
