"""A flow over vectors, trained on a table as any other run is."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfp_flows import data, runs, training
from tfp_flows.models import registry
from tfp_flows.tables import sets

if TYPE_CHECKING:
    from tfp_flows.training import Outcome

MOST_VALIDATION_ROWS = 5000  # of a large table a fixed sample, so that validations take no longer


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is trained on what.

    Attributes:
      run: The run.
      spec: What makes it what it is.
      located: The same, with the name by which the table is found now.
      parts: The splits of the table.
      compared: Tables that it is compared with at the end.
    """

    run: runs.Run
    spec: runs.RunSpec
    located: runs.RunSpec
    parts: Mapping[str, data.Table]
    compared: Sequence[data.Table]


def read(
    run: runs.Run,
    name: str,
    columns: Sequence[str] = (),
    ignore: Sequence[str] = (),
    skip_unreadable: bool = False,
) -> dict[str, data.Table]:
    """The splits of the table that a run is to be trained on, without TensorFlow.

    Args:
      run: The run, new or begun: it knows where its table is, if one of them was moved.
      name: Of the table, from `data.table_name`.
      columns: As for `data.read_table`.
      ignore: Likewise.
      skip_unreadable: Likewise.

    Raises:
      DataError: If the table is not to be had, has too few rows, or rows or columns that are no numbers.
      RunError: If the run's folder is damaged or holds something else, or its table is nowhere.
    """
    run.check_folder()
    return data.read_table(run.find(name), columns, ignore, skip_unreadable).divided()


def prepare(
    run: runs.Run,
    name: str,
    parts: Mapping[str, data.Table],
    model: Any,
    config: training.TrainingConfig,
    *,
    skip_unreadable: bool = False,
    compared: Sequence[str] = (),
) -> Subject:
    """Refuses what cannot be trained on, and reads the other tables; without TensorFlow.

    Args:
      run: The run.
      name: Of its table, from `data.table_name`.
      parts: From `read`.
      model: `VectorFlowConfig`.
      config: How it is trained.
      skip_unreadable: Whether rows that hold no number somewhere are left out, of all tables.
      compared: Names of other tables.

    Raises:
      DataError: If a table is not to be had or has other columns, or a density would be infinite.
    """
    run.named = tuple(map(sets.need, compared))
    train = parts["train"]
    sets.check_trainable(train, model.dtype)
    spec = runs.RunSpec(
        family=registry.VECTORS,
        model=model,
        training=dataclasses.asdict(config),
        dataset=name,
        image_shape=(train.rows.shape[1],),
        skip_unreadable=skip_unreadable,
        columns=train.columns,
    )
    located = dataclasses.replace(spec, dataset=train.name)
    return Subject(run, spec, located, parts, sets.others(located, list(map(run.find, run.named))))


def train(
    subject: Subject, flags_text: str, progress: bool = True, parts: int = 1, allow_changed: bool = False
) -> "Outcome":
    """Trains the run from its beginning or its last checkpoint; see `training.train`.

    Args:
      subject: From `prepare`.
      flags_text: Contents of the flag file that repeats the run.
      progress: Whether to show a progress bar.
      parts: Parts of a batch that are computed side by side.
      allow_changed: Whether a run goes on with other rows than it was trained on so far.
    """
    dtype = subject.spec.model.dtype
    validation = subject.parts["validation"].sample(MOST_VALIDATION_ROWS).as_type(dtype)
    return training.train(
        subject.run,
        subject.spec,
        flags_text,
        subject.parts["train"].as_type(dtype),
        validation,
        progress,
        parts_per_replica=parts,
        allow_changed_images=allow_changed,
    )


def judge(subject: Subject, detector: str, progress: bool = True) -> str:
    """Judges a trained run on its own rows and the tables that it is compared with: what to say of it.

    Args:
      subject: That was trained.
      detector: Name of the score of which RUN/detector is made first; "" for none.
      progress: Whether to show progress bars.
    """
    from tfp_flows.tables import detecting, evaluating  # here, as they need TensorFlow

    run, parts = subject.run, subject.parts
    if detector:
        detecting.make(run, subject.located, parts, detector, progress)
    return evaluating.report(run, evaluating.evaluate(run, parts, subject.compared, progress=progress))
