"""A run's folder: the flags that made it, its checkpoints, and the model rebuilt from them.

RUN/flags.flags      the training command, re-runnable with --flagfile; not of `tfp_flows.fit`
RUN/run.json         the same as values: family, model, training, data and where they lie, versions
RUN/trained_on.npz   a hash of each image that it was trained on
RUN/checkpoints/     the newest checkpoints of the whole training state
RUN/best/            the checkpoint of the best validation score, with --early_stopping
RUN/metrics.csv      one row every --log_every steps
RUN/events/          the same for TensorBoard
RUN/evaluation/      what `python -m tfp_flows.evaluate` wrote
RUN/lock             while a training writes here
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tfp_flows.checks.paths import check_path
from tfp_flows.data import names
from tfp_flows.runs import places, weights_file
from tfp_flows.runs.atomic import write_atomically
from tfp_flows.runs.errors import RunError
from tfp_flows.runs.lock import LOCK, Lock, locked
from tfp_flows.runs.spec import RunSpec
from tfp_flows.runs.trained_on import TrainedOn
from tfp_flows.runs.versions import versions

FORMAT = 1
NEW_PLACE = "; `dataset` may name its new place"
NAMES_OF_DATA = ("dataset", "training.outlier_dataset")

T = TypeVar("T")


class Run:
    """A run's folder on disk.

    Attributes:
      named: Names of further sets that its flags hold: where they lie is kept too.
    """

    def __init__(self, folder: str | os.PathLike):
        """Names the folder; nothing is read or written yet.

        Raises:
          UserError: If TensorFlow cannot read from such a path.
        """
        self.folder = pathlib.Path(check_path(folder, "run"))
        self.named: tuple[str, ...] = ()
        self.flags_file = self.folder / "flags.flags"
        self.spec_file = self.folder / "run.json"
        self.trained_on_file = self.folder / "trained_on.npz"
        self.metrics_file = self.folder / "metrics.csv"
        self.checkpoints = self.folder / "checkpoints"
        self.best = self.folder / "best"
        self.weights_file = self.folder / weights_file.WEIGHTS
        self.events = self.folder / "events"
        self.evaluation = self.folder / "evaluation"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.spec_file.is_file()

    def create(self, spec: RunSpec, flags_text: str | None) -> None:
        """Makes the folder and writes spec and flags, as `write`.

        Raises:
          RunError: If the folder holds something else already.
        """
        self._make_folder()
        self.write(spec, flags_text)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Lock]:
        """Holds the folder, which is made where there is none, for a training that writes to it.

        Raises:
          InUseError: If another training does.
          RunError: If the folder holds something else than a run.
        """
        self._make_folder()
        with locked(self.folder, "run") as lock:
            yield lock

    def check_folder(self) -> None:
        """Raises `RunError` where the folder holds something else than a run, or is none."""
        if self.folder.exists() and (not self.folder.is_dir() or self._holds_something_else()):
            raise RunError(f"`run`: {self.folder} is there already and is no run of this program.")

    def _make_folder(self) -> None:
        self.check_folder()
        self.folder.mkdir(parents=True, exist_ok=True)

    def _holds_something_else(self) -> bool:
        # A command that was killed while it made the folder leaves no more than these.
        own = {file.name for file in (self.flags_file, self.spec_file)}
        there = {path.name.removesuffix(".tmp") for path in self.folder.iterdir()}
        others = [name for name in there - own if name.partition(".")[0] != LOCK]
        return bool(others) and not self.exists()

    def write(self, spec: RunSpec, flags_text: str | None) -> None:
        """Writes spec and flags, each at once or not at all; no flags where `flags_text` is None."""
        if flags_text is not None:
            write_atomically(self.flags_file, flags_text)
        known = self._places() if self.exists() else {}
        outliers = _outliers(spec.training)
        lying = places.of_names([spec.dataset, *outliers, *self.named], self.folder, known)
        values = {"format": FORMAT, **spec.to_json(), "places": lying, "versions": versions()}
        write_atomically(self.spec_file, json.dumps(values, indent=2) + "\n")

    def spec(self) -> RunSpec:
        """The `RunSpec` of the folder, its names as they were written.

        Raises:
          RunError: If there is no run, or its `run.json` is damaged or of another version.
        """
        return self._read()[0]

    def with_data(self, dataset: str | None = None, skip_unreadable: bool = False) -> RunSpec:
        """The `RunSpec` with the name of its data as they can be loaded here.

        A path is looked for where it was, then relative to the folder, then as it was written.

        Args:
          dataset: The name to take instead, of data that lie elsewhere now; without operations of its own it
            gets those of the run.
          skip_unreadable: Whether to leave out what cannot be read though the run did not.

        Raises:
          RunError: As `spec`, or if the data are nowhere.
        """
        spec, known = self._read()
        if dataset:
            found = names.with_operations(dataset, spec.preparation.text)
        else:
            found = places.need(spec.dataset, self.folder, known, NEW_PLACE)
        skip = spec.skip_unreadable or skip_unreadable
        return dataclasses.replace(spec, dataset=found, skip_unreadable=skip)

    def find(self, name: str) -> str:
        """A name of the run's own with the path where its images are now; any other name as it is.

        Raises:
          RunError: If it is the run's own and its images are nowhere.
        """
        if not self.exists():
            return name
        spec, known = self._read()
        return places.need(name, self.folder, known, NEW_PLACE if name == spec.dataset else "")

    def find_folder(self, path: str) -> str:
        """As `find`, of a folder that is kept as the name `folder:PATH/`."""
        return names.take_apart(self.find(f"folder:{path}/")).source.argument

    def _places(self) -> places.Places:
        return self._read()[1]

    def _read(self) -> tuple[RunSpec, places.Places]:
        if not self.exists():
            raise RunError(f"`run`: no run in {self.folder} (it has no {self.spec_file.name}).")
        try:
            values = json.loads(self.spec_file.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise RunError(
                    f"`run`: {self.spec_file} has format {values['format']}, "
                    f"but this version reads format {FORMAT}."
                )
            # A run that is older than that does not say where its data lie.
            return RunSpec.from_json(values), places.sound(values.get("places", {}))
        except RunError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"`run`: {self.spec_file} is damaged: {error}.") from error

    def trained_on(self) -> TrainedOn | None:
        """What it was trained on; None for a run that does not say.

        Raises:
          RunError: If there is no run, or its files are damaged.
        """
        return TrainedOn.read(self.trained_on_file, self.spec().trained_on)

    def check_same(self, spec: RunSpec, defaults: Mapping[str, object]) -> None:
        """Raises `RunError` where `spec` is not the run's own, but for a larger number of steps.

        Names of data are compared as what they mean; whether it was trained on the same images,
        `training.beginning` looks. `defaults` are the values of settings that the run may be too old to
        know.
        """
        own, known = self._read()
        old, new = {**defaults, **_flat(own)}, {**defaults, **_flat(spec)}

        def same(key: str) -> bool:
            if key not in NAMES_OF_DATA or not (old.get(key) and new.get(key)):
                return old.get(key) == new.get(key)
            texts = ([values[key]] if key == "dataset" else values[key].split("+") for values in (old, new))
            pairs = itertools.zip_longest(*texts, fillvalue="")
            return all(places.same(one, other, self.folder, known) for one, other in pairs)

        changed = [
            f"{key}: {old.get(key)!r} -> {new.get(key)!r}"
            for key in sorted(old | new)
            if key not in ("training.steps", "trained_on", "means") and not same(key)
        ]
        if changed:
            flag_file = f" (`flagfile={self.flags_file}`)" if self.flags_file.exists() else ""
            raise RunError(
                f"`run`: {self.folder} was made with other settings ({'; '.join(changed)}); "
                f"resume with its own{flag_file} or choose another `run`."
            )
        if new["training.steps"] < old["training.steps"]:
            raise RunError(
                f"`run`: {self.folder} was made with `steps={old['training.steps']}`, which may grow "
                f"but not shrink to {new['training.steps']}."
            )

    def stored_bytes(self) -> int:
        """Of all files that may hold its weights: no model of it has more."""
        folders = (self.best, self.checkpoints)
        files = [self.weights_file, *(file for folder in folders for file in folder.glob("*"))]
        found = 0
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # a training may replace it meanwhile
                found += file.stat().st_size
        return found

    def has_weights_alone(self) -> bool:
        """Whether it is a pretrained model, which holds weights in the place of checkpoints."""
        return self.weights_file.exists() and not self.best.exists() and not self.checkpoints.exists()

    def checkpoint_path(self) -> str:
        """Path of the checkpoint to evaluate: the best one if there is one, else the newest.

        Warns of those that are damaged, and takes the next.

        Raises:
          RunError: If there is none yet, or none can be read.
        """
        return self.read_checkpoint(str)

    def read_checkpoint(self, read: Callable[[pathlib.Path], T]) -> T:
        """`read(path)` of that checkpoint, also where a training writes others at this moment.

        Raises:
          RunError: As `checkpoint_path`.
        """
        if self.has_weights_alone():
            raise RunError(f"`run`: {self.folder} has weights and no checkpoint.")
        from tfp_flows.runs import checkpoint_files  # here, as it needs TensorFlow, and settings do not

        found = checkpoint_files.read_newest([self.best, self.checkpoints], read)
        if found is None:
            raise RunError(f"`run`: {self.folder} has no checkpoint yet.")
        return found

    def checkpoint_digest(self) -> str:
        """A digest of the files of `checkpoint_path`; of its weights where it has these alone.

        Raises:
          RunError: As `checkpoint_path`.
        """
        if self.has_weights_alone():
            return hashlib.sha256(self.weights_file.read_bytes()).hexdigest()
        from tfp_flows.runs import checkpoint_files

        return self.read_checkpoint(checkpoint_files.digest)


def _outliers(training: Mapping[str, Any]) -> list[str]:
    """The names of the outlier sets."""
    return [name for name in training.get("outlier_dataset", "").split("+") if name]


def _flat(spec: RunSpec) -> dict[str, Any]:
    values = spec.to_json()
    flat = {k: v for k, v in values.items() if k not in ("model", "training")}
    flat["classes"] = spec.classes and spec.classes.names  # how often each is seen changes with the images
    flat.update({f"model.{k}": v for k, v in values["model"].items()})
    flat.update({f"training.{k}": v for k, v in values["training"].items()})
    return flat
