"""What a stranger sends is looked at before it is loaded: graphs that do harm are refused, and do none."""

import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests import forked
from tests.detectors.models import HELD_OUT, SHAPE
from tests.serving import hostile
from tfp_flows import detectors
from tfp_flows.checks import graphs
from tfp_flows.serving import ExportedModel, ExportedModelError

IMAGES = np.zeros([2, *SHAPE], np.uint8)
PLACES = ("served", "nested", "looped", "conditional", "gradient", "resource")
KINDS = {"written_by_a_graph": "WriteFile", "python_called": "EagerPyFunc"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_that_does_harm_is_refused_and_does_none(tmp_path, kind, place):
    written = tmp_path / "written"
    hostile.export(tmp_path / "sent", functools.partial(getattr(hostile, kind), written), place)
    written.unlink(missing_ok=True)
    operation = "MutexV2" if place == "resource" else KINDS[kind]
    with pytest.raises(ExportedModelError, match=f"sent.* holds the operation {operation} .*`trust`") as e:
        ExportedModel(tmp_path / "sent", batch_size=2)
    assert "\n" not in str(e.value) and not written.exists()
    ExportedModel(tmp_path / "sent", 2, trust=True)(IMAGES)
    assert written.exists()  # else this test could not fail


def test_the_command_refuses_it_in_one_line_unless_told_to_trust(tmp_path):
    written = tmp_path / "written"
    hostile.export(tmp_path / "sent", functools.partial(hostile.written_by_a_graph, written))
    np.savez(tmp_path / "images.npz", images=IMAGES)
    arguments = [f"--model={tmp_path / 'sent'}", f"--images=npz:{tmp_path / 'images.npz'}", "--noprogress"]
    refused = forked.command("tfp_flows.score", *arguments, f"--out={tmp_path / 'a.csv'}")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1, refused.stderr
    assert "the operation WriteFile" in refused.stderr and "Give --trust if" in refused.stderr
    assert not written.exists() and not (tmp_path / "a.csv").exists()
    trusted = forked.command("tfp_flows.score", "--trust", *arguments, f"--out={tmp_path / 'a.csv'}")
    assert trusted.returncode == 0 and written.exists(), trusted.stderr


class Writing(tf.Module):
    """A density model that writes a file, by TensorFlow's own means."""

    dtype = tf.float32
    event_shape = tf.TensorShape(SHAPE)

    def __init__(self, path):
        super().__init__()
        self._path = str(path)

    def log_prob(self, images):
        with tf.control_dependencies([tf.io.write_file(self._path, "harm")]):
            return -tf.reduce_sum(tf.identity(images), axis=[1, 2, 3])


def test_a_detector_with_a_graph_that_does_harm_is_refused(tmp_path):
    written = tmp_path / "written"
    detectors.Typicality(Writing(written)).fit(HELD_OUT[:20]).save(tmp_path / "sent")
    written.unlink()
    with pytest.raises(detectors.DetectorError, match="sent.* holds the operation WriteFile .*`trust`"):
        detectors.load(tmp_path / "sent")
    assert not written.exists()
    detectors.load(tmp_path / "sent", trust=True).score(HELD_OUT[:2])
    assert written.exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory, make_run, make_export):
    """An export that is sound."""
    folder = tmp_path_factory.mktemp("sound")
    make_run(folder, "glow")
    make_export(folder, "glow")
    return folder / "exported"


def _function(graph, part):
    return next(f for f in graph.graph_def.library.function if part in f.signature.name)


def _served(graph):
    return _function(graph, "signature_wrapper")


def _calls_the_saver(graph):
    """The function that restores reads any file it is told to."""
    name = _function(graph, "traced_restore").signature.name
    _served(graph).node_def.append(hostile.node("StatefulPartitionedCall", f=name))


def _names_the_saver(graph):
    name = _function(graph, "traced_save").signature.name
    graph.object_graph_def.concrete_functions[name].SetInParent()


def _calls_an_operation_as_a_function(graph):
    _served(graph).node_def.append(hostile.node("StatefulPartitionedCall", f="WriteFile"))


def _replaces_a_function(graph):
    graph.graph_def.library.function[0].attr["api_implements"].s = b"another"


def _operation_outside(graph):
    graph.graph_def.node.append(hostile.node("ReadFile"))


def _operation_in_an_unused_function(graph):
    function = graph.graph_def.library.function.add()
    function.signature.name = "unused"
    function.node_def.append(hostile.node("ReadFile"))


def _gradient_of_a_function(graph):
    """A gradient of the served function that is the one that saves."""
    graph.graph_def.library.gradient.add(
        function_name=_served(graph).signature.name,
        gradient_func=_function(graph, "traced_save").signature.name,
    )


def _further_file(graph):
    graph.asset_file_def.add(filename="../../etc/passwd").tensor_info.name = "x:0"


def _class_of_keras(graph):
    graph.object_graph_def.nodes[0].user_object.identifier = "_tf_keras_model"


def _registered_class(graph):
    graph.object_graph_def.nodes[0].registered_name = "Custom.Class"


def _saver_of_its_own(graph):
    graph.object_graph_def.nodes[0].registered_saver = "Custom.saver"


def _huge_constant(graph):
    node = hostile.node("Const")
    node.attr["value"].tensor.tensor_shape.dim.add(size=10**13)
    _served(graph).node_def.append(node)


def _unknown_operation(graph):
    _served(graph).node_def.append(hostile.node("NoSuchOperation"))


CHANGES = {
    _calls_the_saver: "the operation (RestoreV2|AssignVariableOp|DisableCopyOnRead)",
    _names_the_saver: "the operation (ShardedFilename|SaveV2|StringJoin|StaticRegexFullMatch)",
    _gradient_of_a_function: "the operation (ShardedFilename|SaveV2|StringJoin|StaticRegexFullMatch)",
    _calls_an_operation_as_a_function: "a call of 'WriteFile'",
    _replaces_a_function: "the attribute api_implements",
    _operation_outside: r"the operation ReadFile \(outside all functions\)",
    _operation_in_an_unused_function: r"the operation ReadFile \(in the function unused\)",
    _further_file: "the further file '../../etc/passwd'",
    _class_of_keras: "an object of the class '_tf_keras_model'",
    _registered_class: "an object of the class 'Custom.Class'",
    _saver_of_its_own: "an object of the class",
    _huge_constant: "a constant of shape",
    _unknown_operation: "the operation NoSuchOperation",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_wherever_it_is_hidden(sound, tmp_path, change):
    hostile.changed(sound, tmp_path / "same", lambda graph: None)
    graphs.check_saved_model(tmp_path / "same")
    hostile.changed(sound, tmp_path / "sent", change)
    with pytest.raises(graphs.UserError, match=rf"{CHANGES[change]}[^\n]*`trust`[^\n]*\Z"):
        graphs.check_saved_model(tmp_path / "sent")


def test_only_the_one_file_that_is_looked_at_is_loaded(sound, tmp_path):
    """TensorFlow reads other forms of a SavedModel where there is no saved_model.pb."""
    for form in ("saved_model.pbtxt", "saved_model.cpb"):
        shutil.copytree(sound, tmp_path / form)
        (tmp_path / form / "saved_model.pb").rename(tmp_path / form / form)
        with pytest.raises(ExportedModelError, match="no exported model"):
            ExportedModel(tmp_path / form)
    shutil.copytree(sound, tmp_path / "two")
    model = saved_model_pb2.SavedModel.FromString((tmp_path / "two" / "saved_model.pb").read_bytes())
    model.meta_graphs.add()
    (tmp_path / "two" / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(ExportedModelError, match="is no SavedModel of one graph"):
        ExportedModel(tmp_path / "two")


def test_variables_are_no_larger_than_their_files(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "cut")
    (data,) = (tmp_path / "cut" / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ExportedModelError, match=r"variables.data\* are cut short: 100 bytes of"):
        ExportedModel(tmp_path / "cut")


def test_a_signature_that_is_none(sound, tmp_path):
    described = json.loads((sound / "signature.json").read_text())
    shutil.copytree(sound, tmp_path / "sent")
    without = {key: value for key, value in described.items() if key != "methods"}
    for changed, message in (
        ({**described, "image_shape": [8.0, 8.0, 1.0]}, "image_shape .* three positive integers"),
        ({**described, "image_shape": [8, 8, True]}, "image_shape .* three positive integers"),
        ({**described, "image_shape": [10**6, 10**6, 1]}, "are too large"),
        (
            {**described, "image_shape": [4, 4, 1], "preparation": None},
            r"does not take images uint8 \[N, 4, 4, 1\]",
        ),
        ({**described, "image_shape": [4, 4, 1]}, r"preparation .* makes \(8, 8, 1\), not \[4, 4, 1\]"),
        ({**described, "format": 9}, "must have format 1, got 9"),
        ({**described, "methods": {}}, "has no method serving_default"),
        ({**described, "detector": [1]}, "detector .* must be"),
        ({**described, "detector": {"num_calibration": 2.5}}, "num_calibration .* positive integer"),
        (without, "methods .* got None"),
        ([described], "must have format 1"),
        (7, "must have format 1, got 7"),
    ):
        (tmp_path / "sent" / "signature.json").write_text(json.dumps(changed))
        with pytest.raises(ExportedModelError, match=message) as error:
            ExportedModel(tmp_path / "sent")
        assert "\n" not in str(error.value) and str(tmp_path / "sent") in str(error.value)
    for text, message in (("[" * 10**5, "nested too deeply"), ("{", "is no JSON"), ("\xff", "is no JSON")):
        (tmp_path / "sent" / "signature.json").write_text(text, encoding="latin-1")
        with pytest.raises(ExportedModelError, match=message):
            ExportedModel(tmp_path / "sent")
