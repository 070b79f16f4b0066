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
import importlib.metadata
import json
import os
import pathlib

import tensorflow as tf

from tfp_flows.models import registry

FORMAT = 1
# What TensorFlow raises for a damaged checkpoint; IndexError where a file is cut short.
UNREADABLE = (tf.errors.OpError, AssertionError, ValueError, IndexError)


class RunError(ValueError):
    """A run's folder is missing, damaged, or does not fit what was asked; the message is one line."""


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
                raise ValueError(f"{key!r} is {values[key]!r}")
        for key in ("steps", "seed", "ema_decay"):
            if key not in values["training"]:
                raise ValueError(f"'training' has no {key!r}")
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
            raise RunError(f"--run: {self.folder} is there already and is no run of this program.")
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
            raise RunError(f"--run: no run in {self.folder} (it has no {self.spec_file.name}).")
        try:
            values = json.loads(self.spec_file.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise RunError(
                    f"--run: {self.spec_file} has format {values['format']}, "
                    f"but this version reads format {FORMAT}."
                )
            return RunSpec.from_json(values)
        except RunError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"--run: {self.spec_file} is damaged: {error}.") from error

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
                f"--run: {self.folder} was made with other settings ({'; '.join(changed)}); "
                f"resume with its own (--flagfile={self.flags_file}) or choose another --run."
            )
        if new["training.steps"] < old["training.steps"]:
            raise RunError(
                f"--run: {self.folder} was made with --steps={old['training.steps']}, which may grow "
                f"but not shrink to {new['training.steps']}."
            )

    def checkpoint_path(self):
        """Path of the checkpoint to evaluate: the best one if there is one, else the newest.

        Raises:
          RunError: If there is none yet.
        """
        path = tf.train.latest_checkpoint(self.best) or tf.train.latest_checkpoint(self.checkpoints)
        if path is None:
            raise RunError(f"--run: {self.folder} has no checkpoint yet.")
        return path

    def checkpoint_digest(self):
        """A digest of the files of `checkpoint_path`."""
        prefix = pathlib.Path(self.checkpoint_path())
        digest = hashlib.sha256()
        for path in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


class WeightAverage(tf.Module):
    """Exponential moving average of variables: average <- d * average + (1 - d) * variable.

    d = min(decay, (1 + t) / (10 + t)) at step t, so that the first steps count for little later.
    """

    def __init__(self, variables, decay):
        """Starts the averages at the variables' values; `decay` 0 means none is kept."""
        super().__init__(name="weight_average")
        self._variables = tuple(variables)
        self._decay = decay
        self.averages = [tf.Variable(v, trainable=False, name="average") for v in variables if decay > 0]

    def reset(self):
        """Sets the averages to the variables' present values."""
        for average, variable in zip(self.averages, self._variables, strict=bool(self.averages)):
            average.assign(variable)

    def update(self, step):
        """One step of averaging; `step` is an integer tensor, 0 at the first."""
        if not self.averages:
            return
        step = tf.cast(step, tf.float32)
        rate = 1.0 - tf.minimum(self._decay, (1.0 + step) / (10.0 + step))

        def move(average, variable):
            average.assign_sub(tf.cast(rate, average.dtype) * (average - variable))

        everywhere = tf.distribute.get_strategy().extended  # each device moves its own copy
        for average, variable in zip(self.averages, self._variables, strict=True):
            everywhere.update(average, move, args=(variable,))

    def __enter__(self):
        """Puts the averages in the variables' place until the end of the `with` block."""
        self._kept = [tf.identity(v) for v in self._variables] if self.averages else []
        self.to_variables()
        return self

    def __exit__(self, *error):
        for variable, value in zip(self._variables, self._kept, strict=bool(self._kept)):
            variable.assign(value)
        self._kept = []

    def to_variables(self):
        """Sets the variables to their averages for good."""
        for average, variable in zip(self.averages, self._variables, strict=bool(self.averages)):
            variable.assign(average)


def load_model(run, protocol=None):
    """Rebuilds a run's model with its trained (averaged) weights.

    Args:
      run: `Run`.
      protocol: How log-probabilities are estimated, an instance of the family's `protocol_class`; None
        for its defaults.

    Returns:
      (density model over integer images, the step it was trained to); the model's `run_reference` says whose
      it is.

    Raises:
      RunError: If there is no run or no checkpoint, or the checkpoint is damaged.
    """
    spec = run.spec()
    path = run.checkpoint_path()
    family = registry.family(spec.family)
    protocol = protocol or family.protocol_class()
    model = family.build(_without_modes_of_training(spec.model), spec.image_shape, protocol)
    average = WeightAverage(model.trainable_variables, spec.training["ema_decay"])
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    state = tf.train.Checkpoint(model=model, average=average, step=step)
    try:
        state.read(path).assert_existing_objects_matched().expect_partial()
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"--run: the checkpoint {path} cannot be read: {reason}") from error
    average.to_variables()
    model.run_reference = RunReference(run.folder, run.checkpoint_digest(), dataclasses.asdict(protocol))
    return model, int(step)


def _without_modes_of_training(config):
    """The config with the defaults of what changes no value, such as a Glow's `reversible`."""
    fields = [field for field in dataclasses.fields(config) if not field.compare]
    return dataclasses.replace(config, **{field.name: field.default for field in fields})


@dataclasses.dataclass(frozen=True)
class RunReference:
    """Which run's checkpoint a model is, and how its log-probabilities are estimated.

    Attributes:
      folder: The run's folder.
      digest: Of the checkpoint's files.
      protocol: The family's protocol as a dict.
    """

    folder: pathlib.Path
    digest: str
    protocol: dict

    def to_json(self, beside):
        """A JSON-ready dict, the folder relative to the folder `beside`."""
        folder = os.path.relpath(self.folder.resolve(), pathlib.Path(beside).resolve())
        return {"run": pathlib.Path(folder).as_posix(), "digest": self.digest, "protocol": self.protocol}

    @classmethod
    def from_json(cls, values, beside):
        """The reverse of `to_json`."""
        folder = pathlib.Path(beside).resolve() / values["run"]
        return cls(pathlib.Path(os.path.normpath(folder)), values["digest"], values["protocol"])

    def load_model(self):
        """The model.

        Raises:
          RunError: If the run is gone, or has been trained further.
        """
        run = Run(self.folder)
        family = registry.family(run.spec().family)
        if run.checkpoint_digest() != self.digest:
            raise RunError(f"--run: {self.folder} has another checkpoint than the one that was referred to.")
        return load_model(run, family.protocol_class(**self.protocol))[0]


def load_twin(run, spec):
    """The trained model of a run that has the family, shape and settings of `spec`, but for the seed.

    Raises:
      RunError: If it has others, or there is no model.
    """
    own = run.spec()
    if (own.family, own.image_shape) != (spec.family, spec.image_shape) or (
        dataclasses.replace(own.model, seed=0) != dataclasses.replace(spec.model, seed=0)
    ):
        raise RunError(
            f"--init_from: {run.folder} is no {spec.family} of the same settings and image shape."
        )
    return load_model(run)[0]


def write_atomically(path, text):
    """Writes a text file so that a reader, or a crash, sees the old or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _flat(spec):
    values = spec.to_json()
    flat = {k: v for k, v in values.items() if k not in ("model", "training")}
    flat.update({f"model.{k}": v for k, v in values["model"].items()})
    flat.update({f"training.{k}": v for k, v in values["training"].items()})
    return flat


def versions():
    """The versions of what a result depends on, by package; None for one that is not installed."""
    packages = ("tfp-flows", "tensorflow", "tensorflow-probability", "tf-keras", "numpy")
    return {package: _version(package) for package in packages}


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
