"""What is written into a SavedModel is traced once."""

import tensorflow as tf

from tfp_flows.checks import traces


def test_writing_does_not_trace_again(tmp_path):
    traced = []
    module = tf.Module()
    module.weight = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], name="x")], autograph=False)
    def function(x):
        traced.append(x)
        return {"y": module.weight * x}

    module.function = function
    signatures = {"serving_default": traces.for_saving(function)}
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signatures)
    assert len(traced) == 1
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert float(loaded.function(tf.constant([3.0]))["y"][0]) == 6
    assert float(loaded.signatures["serving_default"](x=tf.constant([3.0]))["y"][0]) == 6
