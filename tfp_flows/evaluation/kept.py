"""What is kept of evaluations: an archive for each set, and the files that show them all.

RUN/evaluation/sets/SET-....npz   every score of one set, and its row as JSON
RUN/evaluation/bits_per_dim.csv   a row for each set
RUN/evaluation/log_probs.npz      every score by set
RUN/evaluation/likelihoods.png    histograms of the sets that were judged as those of the last evaluation
RUN/evaluation/protocol.json      how those were judged
RUN/evaluation/sets.json          of each set its full name, and how it was judged

An evaluation writes the archives of its own sets, and then makes the other files of all archives that are
there: nothing is lost where two follow one another, or run at once. Of two that judged a set in the same
way (checkpoint, protocol, own test images), the later one counts.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import time
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfp_flows.data import DataError, Labels, names, short
from tfp_flows.evaluation.table import Row, write_csv
from tfp_flows.numerics import quantization
from tfp_flows.pages import pictures
from tfp_flows.runs import places, write_atomically

SETS = "sets"
TABLE, SCORES, PROTOCOL = "bits_per_dim.csv", "log_probs.npz", "protocol.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Kept:
    """One set's evaluation.

    Attributes:
      row: Its row, `dataset` being its label.
      scores: log p of its images `[N]`, nats.
      role: "own", "train" or "other".
      way: What tells one way of judging from another: two sets of one way can be compared.
      since: Seconds since the epoch, when the set was first judged so; it orders the sets.
      latest: Likewise, when it last was.
    """

    row: Row
    scores: np.ndarray
    role: str
    way: str
    since: float
    latest: float

    @property
    def label(self) -> str:
        """Such as "mnist (test)"."""
        return f"{self.row.dataset} ({self.row.split})"


def keep(folder: pathlib.Path, rows: Sequence[Row], scores: Sequence[np.ndarray], way: str) -> None:
    """Writes the archives of an evaluation's sets, the model's own test images first, then training ones.

    Args:
      folder: RUN/evaluation.
      rows: Of the sets.
      scores: log p of their images, `[N]` each.
      way: Text that is the same for sets that were judged in the same way.
    """
    (folder / SETS).mkdir(parents=True, exist_ok=True)
    _adopt(folder)
    now = time.time()
    for i, (row, values) in enumerate(zip(rows, scores, strict=True)):
        role = "own" if i == 0 else "train" if row.name == rows[0].name else "other"
        path = folder / SETS / _file_name(row, role, way)
        found = _read(path)
        at = now + 1e-6 * i
        _write(path, Kept(row, values, role, way, found.since if found else at, at))


def kept(folder: pathlib.Path) -> list[Kept]:
    """All sets that were evaluated: those judged as the last ones were, and the last evaluation of others.

    Args:
      folder: RUN/evaluation.
    """
    found = [one for path in (folder / SETS).glob("*.npz") if (one := _read(path)) is not None]
    found.sort(key=lambda one: one.latest)
    if not found:
        return []
    since = {_key(one): one.since for one in sorted(found, key=lambda one: -one.since)}
    now = {_key(one): one for one in found if one.way == found[-1].way}
    earlier = {_key(one): one for one in found if _key(one) not in now}
    order = {"own": 0, "train": 1, "other": 2}
    every = sorted(now.values(), key=lambda one: (order[one.role], since[_key(one)]))
    every += sorted(earlier.values(), key=lambda one: since[_key(one)])
    return [
        dataclasses.replace(one, row=dataclasses.replace(one.row, dataset=label))
        for one, label in zip(every, _labels(every), strict=True)
    ]


def scores_of(folder: pathlib.Path, rows: Sequence[Row]) -> list[np.ndarray]:
    """log p `[N]`, nats, of the sets of these rows, whatever they are called beside those evaluated earlier.

    Args:
      folder: RUN/evaluation.
      rows: Of the last evaluation, as from `run_evaluation.evaluate`.
    """
    every = sorted(kept(folder), key=lambda one: one.latest)
    found = {(names.understood(one.row.name).identity, one.row.split): one.scores for one in every}
    return [found[names.understood(row.name).identity, row.split] for row in rows]


def write_all(folder: pathlib.Path, title: str, image_shape: tuple[int, ...], protocol: str) -> None:
    """Makes table, scores and histograms of all archives, until none has come meanwhile.

    Args:
      folder: RUN/evaluation.
      title: Of the histograms.
      image_shape: (H, W, C).
      protocol: How the last evaluation judged, as JSON.
    """
    seen = None
    while seen != (now := _state(folder)):
        seen = now
        every = kept(folder)
        scores = io.BytesIO()
        np.savez_compressed(scores, **{one.label: one.scores for one in every})  # type: ignore[arg-type]
        picture = io.BytesIO()
        shown = [one for one in every if one.way == every[0].way]
        bits = {one.label: quantization.bits_per_dim(one.scores, image_shape) for one in shown}
        train = {one.label: every[0].label for one in shown if one.role == "train"}
        pictures.likelihood_histograms(picture, bits, title, pictures.styles(bits, train))
        with _replacing(folder / TABLE) as path:
            write_csv(path, [one.row for one in every])
        replace(folder / SCORES, scores.getvalue())
        replace(folder / "likelihoods.png", picture.getvalue())
        replace(folder / PROTOCOL, protocol.encode())
        rows = {one.label: one.row for one in every}
        named = {k: {"name": r.name, "step": r.step, "protocol": r.protocol} for k, r in rows.items()}
        replace(folder / "sets.json", (json.dumps(named, indent=2) + "\n").encode())


def _state(folder: pathlib.Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / SETS).glob("*.npz")}


def _key(one: Kept) -> object:
    """What two evaluations of one set have in common."""
    if one.role != "other":
        return one.role
    return names.understood(one.row.name).identity, one.row.split


def _file_name(row: Row, role: str, way: str) -> str:
    identity = repr(names.understood(row.name).identity) if role == "other" else role
    digest = hashlib.sha256("\0".join([identity, row.split, way]).encode(errors="surrogateescape"))
    readable = re.sub(r"[^A-Za-z0-9.=@_-]", "_", f"{short(row.name)}-{row.split}")[:60]
    return f"{readable}-{digest.hexdigest()[:16]}.npz"


def _write(path: pathlib.Path, one: Kept) -> None:
    row = dataclasses.asdict(one.row)
    about = {"format": FORMAT, "role": one.role, "way": one.way, "since": one.since, "latest": one.latest}
    lies = places.of_names([one.row.name], path.parents[2], {})
    text = json.dumps({**about, "row": row, "places": lies})
    content = io.BytesIO()
    np.savez_compressed(content, log_prob=one.scores, about=np.array(text))
    replace(path, content.getvalue())


def _read(path: pathlib.Path) -> Kept | None:
    """The archive; None where there is none, or it is damaged: the set is to be judged again."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            scores = archive["log_prob"]
        if about.pop("format") != FORMAT:
            return None
        row = Row(**about.pop("row"))
        # The set and the run may have been moved since.
        name = places.find(row.name, path.parents[2], places.sound(about.pop("places")))
        row = dataclasses.replace(row, name=name)
        return Kept(row, scores, **about)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _adopt(folder: pathlib.Path) -> None:
    """Makes archives of what version 0.1 wrote, which kept the table of the last evaluation alone."""
    if not (folder / TABLE).exists():
        return
    with open(folder / TABLE, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "step" in rows[0]:
        return
    try:
        way = (folder / PROTOCOL).read_text(encoding="utf-8")
        with np.load(folder / SCORES, allow_pickle=False) as archive:
            scores = dict(archive)
        for i, row in enumerate(map(_old_row, rows)):
            role = "own" if i == 0 else "train" if row.split == "train" else "other"
            one = Kept(row, scores[f"{row.name} ({row.split})"], role, way, 1e-6 * i, 0.0)
            (folder / SETS).mkdir(exist_ok=True)
            _write(folder / SETS / _file_name(row, role, way), one)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return  # it is damaged, and there is nothing to keep


def _old_row(values: dict[str, str]) -> Row:
    numbers = {k: float(v) if v else None for k, v in values.items() if k not in ("dataset", "split", "n")}
    named: dict[str, Any] = {**values, **numbers, "n": int(values["n"]), "name": values["dataset"]}
    return Row(**named)


def _labels(every: Sequence[Kept]) -> list[str]:
    """The sets' labels. An alias that was given to two of them in turn is that of the later one."""
    later: dict[str, object] = {}
    for one in sorted(every, key=lambda one: one.latest):
        later[names.understood(one.row.name).alias] = _key(one)
    named = [names.understood(one.row.name) for one in every]
    texts = [
        one.row.name if later[name.alias] == _key(one) or one.role != "other" else name.text
        for one, name in zip(every, named, strict=True)
    ]
    try:
        labels = Labels(texts)
    except DataError:
        labels = Labels([name.text for name in named])
    return [labels(text) for text in texts]


@contextlib.contextmanager
def _replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to write to, which then replaces `path`: whole, even if another process does the same."""
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield own
        os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)


def replace(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all, beside another process that writes the same one."""
    with _replacing(path) as own:
        write_atomically(own, content)
