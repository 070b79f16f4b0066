"""A run's folder: the flags that made it, its checkpoints, and the model rebuilt from them.

RUN/flags.flags      the training command, re-runnable with --flagfile
RUN/run.json         the same as values: family, model, training, data, versions
RUN/checkpoints/     the newest checkpoints of the whole training state
RUN/best/            the checkpoint of the best validation score, with --early_stopping
RUN/metrics.csv      one row every --log_every steps
RUN/events/          the same for TensorBoard
RUN/evaluation/      what `python -m tfp_flows.evaluate` wrote
"""

import dataclasses
import hashlib
import json
import pathlib

import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.runs.atomic import write_atomically
from tfp_flows.runs.errors import RunError
from tfp_flows.runs.versions import versions

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """What makes a run what it is: two runs of equal specs give equal numbers.

    Attributes:
      family: Name of the model family.
      model: The family's config, a frozen dataclass.
      training: `training_config.TrainingConfig` as a dict.
      dataset: Name as in `tfp_flows.data`.
      image_shape: (H, W, C).
    """

    family: str
    model: object
    training: dict
    dataset: str
    image_shape: tuple

    def to_json(self):
        """A JSON-ready dict."""
        return {**dataclasses.asdict(self), "image_shape": list(self.image_shape)}

    @classmethod
    def from_json(cls, values):
        """The reverse of `to_json`.

        Raises:
          ValueError: If an entry is not of its kind; KeyError or TypeError, if one is missing or too many.
        """
        for key, kind in (("family", str), ("dataset", str), ("model", dict), ("training", dict)):
            if not isinstance(values[key], kind):
                raise UserError(f"{key!r} is {values[key]!r}")
        for key in ("steps", "seed", "ema_decay"):
            if key not in values["training"]:
                raise UserError(f"'training' has no {key!r}")
        config_class = registry.family(values["family"]).config_class
        return cls(
            family=values["family"],
            model=config_class(**values["model"]),
            training=values["training"],
            dataset=values["dataset"],
            image_shape=tuple(values["image_shape"]),
        )


class Run:
    """A run's folder on disk."""

    def __init__(self, folder):
        """Names the folder; nothing is read or written yet."""
        self.folder = pathlib.Path(folder)
        self.flags_file = self.folder / "flags.flags"
        self.spec_file = self.folder / "run.json"
        self.metrics_file = self.folder / "metrics.csv"
        self.checkpoints = self.folder / "checkpoints"
        self.best = self.folder / "best"
        self.events = self.folder / "events"
        self.evaluation = self.folder / "evaluation"

    def exists(self):
        """Whether a run was begun here."""
        return self.spec_file.exists()

    def create(self, spec, flags_text):
        """Makes the folder and writes spec and flags.

        Raises:
          RunError: If the folder holds something else already.
        """
        if self.folder.exists() and (not self.folder.is_dir() or self._holds_something_else()):
            raise RunError(f"`run`: {self.folder} is there already and is no run of this program.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write(spec, flags_text)

    def _holds_something_else(self):
        # A command that was killed while it made the folder leaves no more than these.
        own = {file.name for file in (self.flags_file, self.spec_file)}
        return any(path.name.removesuffix(".tmp") not in own for path in self.folder.iterdir())

    def write(self, spec, flags_text):
        """Writes spec and flags, each at once or not at all."""
        write_atomically(self.flags_file, flags_text)
        values = {"format": FORMAT, **spec.to_json(), "versions": versions()}
        write_atomically(self.spec_file, json.dumps(values, indent=2) + "\n")

    def spec(self):
        """The `RunSpec` of the folder.

        Raises:
          RunError: If there is no run, or its `run.json` is damaged or of another version.
        """
        if not self.exists():
            raise RunError(f"`run`: no run in {self.folder} (it has no {self.spec_file.name}).")
        try:
            values = json.loads(self.spec_file.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise RunError(
                    f"`run`: {self.spec_file} has format {values['format']}, "
                    f"but this version reads format {FORMAT}."
                )
            return RunSpec.from_json(values)
        except RunError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"`run`: {self.spec_file} is damaged: {error}.") from error

    def check_same(self, spec, defaults):
        """Raises `RunError` where `spec` is not the run's own, but for a larger number of steps.

        `defaults` are the values of settings that the run may be too old to know.
        """
        old, new = {**defaults, **_flat(self.spec())}, {**defaults, **_flat(spec)}
        changed = [
            f"{key}: {old.get(key)!r} -> {new.get(key)!r}"
            for key in sorted(old | new)
            if old.get(key) != new.get(key) and key != "training.steps"
        ]
        if changed:
            raise RunError(
                f"`run`: {self.folder} was made with other settings ({'; '.join(changed)}); "
                f"resume with its own (`flagfile={self.flags_file}`) or choose another `run`."
            )
        if new["training.steps"] < old["training.steps"]:
            raise RunError(
                f"`run`: {self.folder} was made with `steps={old['training.steps']}`, which may grow "
                f"but not shrink to {new['training.steps']}."
            )

    def checkpoint_path(self):
        """Path of the checkpoint to evaluate: the best one if there is one, else the newest.

        Raises:
          RunError: If there is none yet.
        """
        path = tf.train.latest_checkpoint(self.best) or tf.train.latest_checkpoint(self.checkpoints)
        if path is None:
            raise RunError(f"`run`: {self.folder} has no checkpoint yet.")
        return path

    def checkpoint_digest(self):
        """A digest of the files of `checkpoint_path`."""
        prefix = pathlib.Path(self.checkpoint_path())
        digest = hashlib.sha256()
        for path in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


def _flat(spec):
    values = spec.to_json()
    flat = {k: v for k, v in values.items() if k not in ("model", "training")}
    flat.update({f"model.{k}": v for k, v in values["model"].items()})
    flat.update({f"training.{k}": v for k, v in values["training"].items()})
    return flat
