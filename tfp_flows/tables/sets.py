"""The tables of a run: its own, divided, and others that it is compared with."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from tfp_flows import data, runs
from tfp_flows.data.names import identity
from tfp_flows.detectors import calibration

MOST_LISTED = 8  # columns
_USES = {
    "train": "to train on",
    "validation": "for validation",
    "calibration": "for calibration",
    "test": "to test",
}


def own(spec: runs.RunSpec) -> dict[str, data.Table]:
    """The splits of a run's own table.

    Args:
      spec: The run's, with the name by which its table is found now.

    Raises:
      RunError: If the run does not say what it was trained on.
      DataError: If the table is not to be had, or has other columns.
    """
    if not spec.dataset:
        raise runs.RunError(
            "`run`: it was trained on an array without a name; tfp_flows.fit takes it as `dataset`."
        )
    if spec.model.condition_size:
        raise runs.RunError("`run`: its density is given a condition, and a table holds none: use Python.")
    return like(spec, spec.dataset).divided()


def like(spec: runs.RunSpec, name: str) -> data.Table:
    """A whole table with the columns of a run's.

    Args:
      spec: The run's.
      name: Of the table.

    Raises:
      DataError: If it is none, is not to be had, or has other columns.
    """
    found = data.read_table(need(name), spec.columns, skip_unreadable=spec.skip_unreadable)
    (size,) = spec.image_shape
    if found.rows.shape[1] != size:
        raise data.DataError(f"{name}: it has {found.rows.shape[1]} columns, and the run's table {size}")
    return found


def need(name: str) -> str:
    """The full name of a table.

    Raises:
      DataError: If the name is one of images.
    """
    full = data.table_name(name)
    if not full:
        raise data.DataError(
            f"{name}: the run is of a table, and this is none: a table is a .csv, .npy or .npz that is there"
        )
    return full


def others(spec: runs.RunSpec, named: Sequence[str]) -> list[data.Table]:
    """The tables of these names, each once, without the run's own; arguments and errors as of `like`."""
    found = {identity(need(name)): name for name in reversed(named)}
    if spec.dataset:
        found.pop(identity(spec.dataset), None)
    return [like(spec, name) for name in reversed(found.values())]


def labels(tables: Sequence[data.Table]) -> list[str]:
    """What tables are called: their aliases, or short forms of their names."""
    return list(map(data.Labels([table.name for table in tables]), [table.name for table in tables]))


def check_trainable(train: data.Table, dtype: str) -> None:
    """Refuses training rows whose density would be infinite; warns of columns that a type blurs.

    Args:
      train: The rows to train on.
      dtype: Of the flow.

    Raises:
      DataError: If a column holds one value alone, or is the only one.
    """
    rows = train.as_type(dtype).astype(np.float64)
    if rows.shape[1] < 2:
        raise data.DataError(f"{train.name}: a flow over vectors takes two columns or more, got one")
    low, high = rows.min(axis=0), rows.max(axis=0)
    for place in np.flatnonzero(low == high):
        name = train.labels[place]
        raise data.DataError(
            f"{train.name}: column {name} holds one value alone, {low[place]:g}, in the rows to train on, "
            f"where a density is infinite: `ignore={name}` leaves it out"
        )
    step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(dtype)).astype(np.float64)
    blurred = np.flatnonzero(step > 1e-3 * rows.std(axis=0))
    if len(blurred) and dtype == "float32":
        name = train.labels[blurred[0]]
        warnings.warn(
            f"{train.name}: column {name} has numbers so large that float32 tells them apart by "
            f"{step[blurred[0]]:g} only: `dtype=float64`, or subtract the mean.",
            data.DataWarning,
            stacklevel=2,
        )


def overview(
    parts: Mapping[str, data.Table], compared: Sequence[data.Table], alpha: float | None = None
) -> list[str]:
    """Lines for a person who wants to know whether the rows are those that were meant.

    Args:
      parts: The splits of the run's own table.
      compared: Other tables.
      alpha: The level at which a detector will call rows foreign; None where there will be none.
    """
    first = parts["train"]
    called = labels([first, *compared])
    listed = ", ".join(first.labels[:MOST_LISTED]) + ", ..." * (len(first.labels) > MOST_LISTED)
    counts = [f"{part.count} {_USES[split]}" for split, part in parts.items()]
    counts[0] = counts[0].replace(" ", " rows ", 1)
    lines = [f"{called[0]}: {', '.join(counts)}; {len(first.labels)} columns: {listed}."]
    lines += [f"  {remark}" for remark in first.remarks]
    held_out = len(parts["calibration"])
    if alpha is not None and not calibration.attainable(alpha, held_out):
        lines.append(f"  Nothing will be called foreign: {calibration.unattainable(alpha, held_out)}")
    for name, table in zip(called[1:], compared, strict=True):
        lines.append(f"{name}: {table.count} rows to compare with.")
        lines += [f"  {remark}" for remark in table.remarks]
    return lines


def with_dataset(run: runs.Run, dataset: str | None, skip_unreadable: bool) -> runs.RunSpec:
    """The spec of a run, with the name by which its table is found now.

    Args:
      run: The run.
      dataset: Where the table is now, or None for where the run knows it to be.
      skip_unreadable: Whether rows that hold no number somewhere are left out though the run did not.

    Raises:
      RunError: If the table is nowhere.
      DataError: If `dataset` is no table.
    """
    if not dataset:
        return run.with_data(skip_unreadable=skip_unreadable)
    spec = run.spec()
    skip = spec.skip_unreadable or skip_unreadable
    return dataclasses.replace(spec, dataset=need(dataset), skip_unreadable=skip)
