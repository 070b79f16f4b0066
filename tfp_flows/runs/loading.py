"""The model of a run, rebuilt with its trained weights."""

import dataclasses
import os
import pathlib
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.runs import checkpoint_files, checkpoint_layout, weights_file
from tfp_flows.runs.errors import RunError
from tfp_flows.runs.run import Run
from tfp_flows.runs.spec import RunSpec
from tfp_flows.runs.variable_names import variables_by_name
from tfp_flows.runs.weight_average import WeightAverage


def load(path: str | os.PathLike, **protocol: Any) -> tfd.Distribution:
    """The trained model of a run.

    #### Example

    ```python
    model = tfp_flows.load("runs/quickstart")
    model.log_prob(images)          # uint8 [B, H, W, C] -> [B], nats
    tfp_flows.load("runs/quickstart", num_dequantization_samples=16, bound="importance")
    model.log_prob(data.read_pictures(["a.jpg", "b.png"], model.preparation))    # of files
    ```

    Args:
      path: The run's folder, as `--run` of the command or `run` of `tfp_flows.fit`.
      **protocol: How log-probabilities are estimated, where not by default: fields of the family's
        `protocol_class`, which are also flags of evaluation.

    Returns:
      A density model over integer images `[H, W, C]`, or a `vector_flow`, with the averaged weights; of the
      best validation, where training could stop early. Its `preparation` says how pictures become such
      images. Of a run with labels it is a `ClassMixture`; with an encoder a `pixelcnn.PixelCNNAutoencoder`;
      with a low resolution a `distributions.SuperResolution`.

    Raises:
      RunError: If there is no run or no checkpoint, or all of them are damaged.
      UserError: If `protocol` has a wrong name or value, or the model belongs to no family.
    """
    run = Run(path)
    return load_model(run, run.spec().model_family.protocol(**protocol))[0]


def load_model(run: Run, protocol: Any = None) -> tuple[tfd.Distribution, int]:
    """Rebuilds a run's model with its trained (averaged) weights; a training may go on meanwhile.

    A checkpoint that is damaged is left out, with a warning (`runs.RunWarning`), for the one before it.

    Args:
      run: `Run`.
      protocol: How log-probabilities are estimated, an instance of the family's `protocol_class`; None
        for its defaults.

    Returns:
      (density model over integer images, the step it was trained to); the model's `run_reference` says whose
      it is.

    Raises:
      RunError: If there is no run or no checkpoint, or all of them are damaged.
    """
    spec = run.spec()
    family = spec.model_family
    protocol = protocol or family.protocol_class()
    spec.check_weights(run.stored_bytes() or None, f"`run`: {run.spec_file}")
    model = family.build(_without_modes_of_training(spec.model), spec.image_shape, protocol)
    if run.has_weights_alone():
        trained_to = _read_weights(run, model)
        return _told(model, run, spec, run.checkpoint_digest(), protocol), trained_to
    average = WeightAverage(model.trainable_variables, spec.training["ema_decay"])
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    state = checkpoint_layout.Layout.by_name(model, average, step=step)

    def read(path: pathlib.Path) -> str:
        state.of(path).read(str(path)).assert_existing_objects_matched().expect_partial()
        return checkpoint_files.digest(path)

    digest = run.read_checkpoint(read)
    average.to_variables()
    return _told(model, run, spec, digest, protocol), int(step)


def _told(model: Any, run: Run, spec: RunSpec, digest: str, protocol: Any) -> tfd.Distribution:
    """The model, which knows whose it is, how pictures become its images, and what columns are called."""
    model.run_reference = RunReference(run.folder, digest, dataclasses.asdict(protocol))
    model.preparation = spec.preparation if len(spec.image_shape) == 3 else None
    if spec.columns:
        model.columns = spec.columns
    return model


def save_weights(run: Run, path: str | os.PathLike) -> int:
    """Writes the trained (averaged) weights of a run as safetensors, for a pretrained model.

    Args:
      run: The run, with its checkpoints.
      path: The file to write, FOLDER/weights.safetensors.

    Returns:
      The step it was trained to.
    """
    model, step = load_model(run)
    arrays = {name: variable.numpy() for name, variable in variables_by_name(model).items()}
    weights_file.write(pathlib.Path(path), arrays, step)
    return step


def _read_weights(run: Run, model: tfd.Distribution) -> int:
    """Sets a model's variables to those of a pretrained one; returns the step that it was trained to."""
    arrays, step = weights_file.read(run.weights_file)
    variables = variables_by_name(model)
    if set(arrays) == {_number(i) for i in range(len(arrays))}:  # as version 0.1 named them
        variables = {_number(i): variable for i, variable in enumerate(model.variables)}
    shapes = {name: (tuple(v.shape), v.dtype.name) for name, v in variables.items()}
    if shapes != {name: (array.shape, array.dtype.name) for name, array in arrays.items()}:
        raise RunError(
            f"`run`: {run.weights_file} holds weights of another model than {run.spec_file} says."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return step


def _number(i: int) -> str:
    """What the i-th variable was called in files of weights, whose order was part of the format."""
    return f"variables/{i:04d}"


def _without_modes_of_training(config: Any) -> Any:
    """The config with the defaults of what changes no value, such as a Glow's `reversible`."""
    fields = [field for field in dataclasses.fields(config) if not field.compare]
    return dataclasses.replace(config, **{field.name: field.default for field in fields})


def _made(spec: RunSpec) -> tuple:
    """What a model's variables follow from, besides its config."""
    given = spec.classes and spec.classes.names, spec.code_size, spec.low_resolution
    return spec.family, spec.image_shape, *given


@dataclasses.dataclass(frozen=True)
class RunReference:
    """Which run's checkpoint a model is, and how its log-probabilities are estimated.

    Attributes:
      folder: The run's folder; of a reference that was read, where it should be.
      digest: Of the checkpoint's files.
      protocol: The family's protocol as a dict.
      elsewhere: Where the folder was, if it is not there.
    """

    folder: pathlib.Path
    digest: str
    protocol: dict[str, Any]
    elsewhere: pathlib.Path | None = None

    def to_json(self, beside: str | os.PathLike) -> dict[str, Any]:
        """A JSON-ready dict, the folder relative to the folder `beside`, and absolute."""
        absolute = self.folder.resolve()
        folder = pathlib.Path(os.path.relpath(absolute, pathlib.Path(beside).resolve())).as_posix()
        return {
            "run": folder,
            "absolute": absolute.as_posix(),
            "digest": self.digest,
            "protocol": self.protocol,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], beside: str | os.PathLike) -> "RunReference":
        """The reverse of `to_json`."""
        folder = pathlib.Path(os.path.normpath(pathlib.Path(beside).resolve() / values["run"]))
        elsewhere = values.get("absolute")  # not in a reference of version 0.1
        absolute = None if elsewhere is None else pathlib.Path(elsewhere)
        return cls(folder, values["digest"], values["protocol"], absolute)

    def load_model(self) -> tfd.Distribution:
        """The model.

        Raises:
          RunError: If the run is gone, or has been trained further.
        """
        run = Run(self.folder)
        if not run.exists() and self.elsewhere not in (None, self.folder):
            run = Run(self.elsewhere)
            if not run.exists():
                raise RunError(f"`run`: no run in {self.folder}, nor in {self.elsewhere}.")
        family = run.spec().model_family
        if run.checkpoint_digest() != self.digest:
            raise RunError(f"`run`: {run.folder} has another checkpoint than the one that was referred to.")
        return load_model(run, family.protocol_class(**self.protocol))[0]


def load_twin(run: Run, spec: RunSpec) -> tfd.Distribution:
    """The trained model of a run that has the family, shape and settings of `spec`, but for the seed.

    Raises:
      RunError: If it has others, or there is no model.
    """
    own = run.spec()
    if _made(own) != _made(spec) or (
        dataclasses.replace(own.model, seed=0) != dataclasses.replace(spec.model, seed=0)
    ):
        raise RunError(
            f"`init_from`: {run.folder} is no {spec.family} of the same settings and image shape."
        )
    return load_model(run)[0]
