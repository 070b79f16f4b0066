"""Names of variables: where they are, in files of weights, exports and checkpoints."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from pixelcnn import PixelCNNAutoencoder
from tfp_flows import data, serving
from tfp_flows.runs import Run, load_model, save_weights, variable_names, weights_file
from tools.pretrained import make

MODELS = sorted((pathlib.Path(__file__).resolve().parents[2] / "models").glob("*/weights.safetensors"))

IMAGES = data.load("digits", "test").images[:5]
FAMILIES = ("glow", "vae", "pixelcnn")


@pytest.fixture(scope="module")
def models(runs):
    return {name: load_model(Run(runs / name))[0] for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_each_variable_has_one_name_in_the_order_of_the_model(models, name):
    found = variable_names.variables_by_name(models[name])
    assert list(map(id, found.values())) == list(map(id, models[name].variables))
    assert all(re.fullmatch(r"[A-Za-z][\w/]*", key) and "//" not in key for key in found)
    again = variable_names.variables_by_name(models[name].copy())
    assert list(again) == list(found)


def test_names_say_where_variables_are(models):
    glow, vae, pixelcnn = (set(variable_names.variables_by_name(models[name])) for name in FAMILIES)
    assert {
        "level0/step0/actnorm/log_scale",
        "level0/step1/conv1x1/lower_upper",
        "level0/step1/coupling/conv_network/first/kernel",
    } <= glow
    assert {"encoder/conv1/kernel", "decoder/dense/bias"} <= vae
    assert {"pixelcnn_network/contract0/horizontal/bias", "pixelcnn_network/down0_0/vertical/conv_in/v"} <= (
        pixelcnn
    )


def test_names_do_not_depend_on_what_was_made_before():
    """Keras numbers layers by how many a process has made."""
    sizes = dict(num_resnet=1, num_hierarchies=1, num_filters=4, num_logistic_mix=1)
    models = [PixelCNNAutoencoder((4, 4, 1), code_size=2, **sizes) for _ in range(2)]
    first, second = (list(variable_names.variables_by_name(model)) for model in models)
    assert first == second and "encoder/first/first/kernel" in first


def test_equal_names_are_numbered_and_nested_names_are_a_tree():
    module = tf.Module(name="outer")
    module.these = [tf.Variable(0.0, name="w"), tf.Variable(1.0, name="w")]
    found = variable_names.variables_by_name(module)
    assert list(found) == ["w", "w_1"]
    tree = variable_names.nested({"a/b": found["w"], "a/c": found["w_1"]})
    assert set(tree) == {"a"} and tree["a"]["c"] is found["w_1"]


@pytest.mark.parametrize("name", FAMILIES)
def test_files_of_weights_name_them_and_those_with_numbers_are_read(runs, models, name, tmp_path):
    make(Run(runs / name), tmp_path / name)
    path = tmp_path / name / "weights.safetensors"
    arrays, step = weights_file.read(path)
    named = variable_names.variables_by_name(models[name])
    assert list(arrays) == list(named) and step == save_weights(Run(runs / name), tmp_path / "again")
    for key, variable in named.items():
        np.testing.assert_array_equal(arrays[key], variable)
    numbered = {f"variables/{i:04d}": array for i, array in enumerate(arrays.values())}
    weights_file.write(path, numbered, step)  # as version 0.1 wrote it
    read, _ = load_model(Run(tmp_path / name))
    np.testing.assert_array_equal(read.log_prob(IMAGES), models[name].log_prob(IMAGES))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_the_trained_models_at_hand_name_their_variables(path):
    arrays, _ = weights_file.read(path)
    assert list(arrays) == list(variable_names.variables_by_name(load_model(Run(path.parent))[0]))


@pytest.mark.parametrize("name", FAMILIES)
def test_exports_show_the_averaged_weights_by_name(runs, models, name, tmp_path):
    serving.export(Run(runs / name), tmp_path / "out")
    reader = tf.train.load_checkpoint(str(tmp_path / "out" / "variables" / "variables"))
    keys = [key for key in reader.get_variable_to_shape_map() if key.endswith("VARIABLE_VALUE")]
    named = variable_names.variables_by_name(models[name])
    shown = {key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").removeprefix("model/"): key for key in keys}
    assert shown and set(shown) <= set(named)
    for key, full in shown.items():
        np.testing.assert_array_equal(reader.get_tensor(full), named[key])
