"""Training's checkpoints hold weights and averages by the model's names; those of before are read."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, training
from tfp_flows.models import registry
from tfp_flows.runs import Run, RunError, checkpoint_files, load_model, nested, variables_by_name

FAMILIES = ("glow", "vae", "pixelcnn")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
POINTS = np.random.default_rng(0).normal(2.0, 0.5, [96, 2]).astype(np.float32)


def _shown(folder, root):
    """{name: value} of what `tf.train.load_checkpoint` shows below a root."""
    reader = tf.train.load_checkpoint(str(folder))
    keys = [key for key in reader.get_variable_to_shape_map() if key.startswith(f"{root}/")]
    return {
        key.removeprefix(f"{root}/").removesuffix(VALUE): reader.get_tensor(key)
        for key in keys
        if "OPTIMIZER_SLOT" not in key
    }


def _check_equal(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_averaged_weights_are_shown_by_the_models_names_and_the_raw_ones(runs, name):
    model, _ = load_model(Run(runs / name))
    averaged = variables_by_name(model)
    trained = {id(variable) for variable in model.trainable_variables}
    _check_equal(
        _shown(runs / name / "checkpoints", "average"),
        {key: v.numpy() for key, v in averaged.items() if id(v) in trained},
    )
    raw = _shown(runs / name / "checkpoints", "model")
    assert set(raw) == set(averaged)
    assert any((raw[key] != variable.numpy()).any() for key, variable in averaged.items())


def _state(run):
    """The model of a run's spec with a fresh training state, as training makes them."""
    spec = run.spec()
    family = registry.family(spec.family)
    model = family.build(spec.model, spec.image_shape, family.training_protocol(spec.model))
    return training.TrainingState(model, training.TrainingConfig(**spec.training))


def _values(state):
    counters = (state.step, state.window, state.best, state.since_best, state.checkpoint.save_counter)
    held = (state.model.variables, state.average.averages, state.optimizer.variables(), counters)
    return [variable.numpy() for variables in held for variable in variables]


def _write_as_before(state, folder, model=None):
    """The newest checkpoint of a folder again, as it was written before variables had names there."""
    others = {name: getattr(state, name) for name in ("optimizer", "step", "window", "best", "since_best")}
    average = tf.Module()
    average.averages, average._variables = state.average.averages, tuple(state.model.trainable_variables)
    checkpoint = tf.train.Checkpoint(model=model or state.model, average=average, **others)
    checkpoint.save_counter.assign(state.checkpoint.save_counter)
    prefix = checkpoint_files.named(folder)[0]
    checkpoint.write(str(prefix))
    assert tf.train.load_checkpoint(str(prefix)).has_tensor(f"average/_variables/0{VALUE}")
    return prefix


@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_with_the_names_of_before_is_the_same_state(runs, tmp_path, name):
    run = Run(shutil.copytree(runs / name, tmp_path / "run"))
    expected, images = load_model(run)[0], data.load("digits", "test").images[:5]
    state, again = _state(run), _state(run)
    state.restore(checkpoint_files.named(run.checkpoints)[0])
    again.restore(_write_as_before(state, run.checkpoints))
    for one, other in zip(_values(state), _values(again), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(load_model(run)[0].log_prob(images), expected.log_prob(images))


class Gaussian(tf.Module):
    """A stranger's density, whose variables have the names that TensorFlow or a counter gives them."""

    made = 0

    def __init__(self):
        super().__init__()
        Gaussian.made += 1
        self.loc = tf.Variable([0.0, 0.0], name=f"loc_{Gaussian.made}")
        self.log_scale = tf.Variable([0.0, 0.0])

    def log_prob(self, x):
        return -tf.reduce_sum(0.5 * ((x - self.loc) / tf.exp(self.log_scale)) ** 2 + self.log_scale, -1)


def _fit(run, steps, model=None):
    model = model or Gaussian()
    tfp_flows.fit(model, POINTS, steps=steps, run=run, decay=0.0, batch_size=16, progress=False)
    return model


def test_a_strangers_variables_are_numbered_so_that_other_names_do_not_matter(tmp_path):
    expected = _fit(tmp_path / "whole", 6)
    _fit(tmp_path / "parts", 3)
    resumed = _fit(tmp_path / "parts", 6)
    assert resumed.loc.name != expected.loc.name
    for one, other in zip(resumed.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    averages = {f"weights/{i}": variable.numpy() for i, variable in enumerate(resumed.variables)}
    _check_equal(_shown(tmp_path / "parts" / "checkpoints", "average"), averages)


def test_a_strangers_checkpoint_of_before_goes_on_to_the_bit(tmp_path):
    expected = _fit(tmp_path / "whole", 6)
    _fit(tmp_path / "parts", 3)
    run = Run(tmp_path / "parts")
    model = Gaussian()
    holder = tf.Module(name="model")
    holder.weights = list(model.variables)
    state = training.TrainingState(model, training.TrainingConfig(**run.spec().training), numbered=model)
    state.restore(checkpoint_files.named(run.checkpoints)[0])
    _write_as_before(state, run.checkpoints, holder)
    for one, other in zip(_fit(run.folder, 6).variables, expected.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_another_model_are_refused(runs, tmp_path):
    run = Run(shutil.copytree(runs / "glow", tmp_path / "run"))
    spec = run.spec()
    wider = dataclasses.replace(spec, model=dataclasses.replace(spec.model, steps_per_level=3))
    run.write(wider, None)
    with pytest.raises(RunError, match="ckpt-3 cannot be read"):
        load_model(run)


CONDITIONS = {
    "none": {},
    "label": {"classes": data.Classes(("a", "b", "c"), (1, 1, 1))},
    "lowres": {"low_resolution": True},
    "autoencoder": {"code_size": 2},
}
SMALL = {
    "glow": dict(levels=2, steps_per_level=2, hidden_channels=4, checkerboard_steps=1, coupling="mixture"),
    "vae": dict(architecture="small", latent_size=3, likelihood="logistic"),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=2, num_filters=4),
}


@pytest.mark.parametrize(
    ("name", "condition"), [(name, each) for name in FAMILIES for each in registry.settings(name).conditions]
)
def test_no_variable_of_any_family_is_below_another(name, condition):
    """So that as dicts in dicts they are a checkpoint."""
    family = registry.family(name, **CONDITIONS[condition])
    config = family.config_class(**SMALL[name])
    model = family.build(config, (8, 8, 1), family.training_protocol(config))
    tree = nested(variables_by_name(model))
    assert set(map(id, tf.nest.flatten(tree))) == set(map(id, model.variables))
