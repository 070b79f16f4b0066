"""StableHLO programs of any origin: lowered, run by the reader, or refused before they are compiled."""

import json

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tf_keras

from tfp_flows import data
from tfp_flows.serving import stablehlo, stablehlo_check

pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")

from tfp_flows.serving import run_stablehlo


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test").images[:7]


def _program_of_steps(optimizer, variable, slots):
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(x, variable) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])
        return {"loss": loss}

    spec = tf.TensorSpec([3, 2], tf.float32, name="x")
    return step, stablehlo.lower(step, spec, variables=slots)


def test_what_a_program_assigns_comes_back_as_weights(tmp_path):
    """A step of an optimizer, repeated by the reader, is the same as TensorFlow's."""
    variable = tf.Variable([[1.0], [-2.0]], name="kernel")
    optimizer = tf_keras.optimizers.legacy.Adam(0.1)
    optimizer._create_all_weights([variable])
    with pytest.raises(stablehlo.LoweringError, match="a variable that is not known here"):
        _program_of_steps(optimizer, variable, ())
    step, program = _program_of_steps(optimizer, variable, optimizer.variables())
    bundle = stablehlo.Bundle()
    bundle.add("step", 3, program)
    bundle.save(tmp_path / "out")
    signature = {"programs": bundle.describe(), "methods": {"step": {}}}
    (tmp_path / "out" / "signature.json").write_text(json.dumps(signature))
    model = run_stablehlo.Model(tmp_path / "out")
    x = np.float32([[1, 2], [3, 4], [5, 6]])
    for _ in range(3):
        found = model.run("step", 3, {"x": model.put(x)})
        np.testing.assert_allclose(found["loss"], step(tf.constant(x))["loss"], rtol=1e-6)
    np.testing.assert_allclose(model.weights["kernel"], variable, rtol=1e-6)
    assert int(model.weights["iter"]) == 3 and model.weights["iter"].dtype == np.int64


def test_products_are_exact_unless_tf32_is_allowed():
    spec = tf.TensorSpec([4, 4], tf.float32, name="x")
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    for tf32, precision in ((False, "HIGHEST"), (True, "DEFAULT")):
        text = stablehlo.lower(lambda x: x @ x, spec, tf32=tf32).text
        assert f"precision = [{precision}, {precision}]" in text
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before


CUSTOM = """
module {
  func.func @main(%x: tensor<4x8x8x1xui8>) -> tensor<4xf32> {
    %0 = stablehlo.custom_call @Sharding(%x) : (tensor<4x8x8x1xui8>) -> tensor<4x8x8x1xui8>
    %1 = stablehlo.convert %0 : (tensor<4x8x8x1xui8>) -> tensor<4x8x8x1xf32>
    %2 = stablehlo.reshape %1 : (tensor<4x8x8x1xf32>) -> tensor<4x64xf32>
    %3 = stablehlo.slice %2 [0:4, 0:1] : (tensor<4x64xf32>) -> tensor<4x1xf32>
    %4 = stablehlo.reshape %3 : (tensor<4x1xf32>) -> tensor<4xf32>
    return %4 : tensor<4xf32>
  }
}
"""


def _folder_of(folder, text, outputs=("log_prob",)):
    """A folder with one program, which takes images alone."""
    folder.mkdir()
    (folder / "score_4.mlir").write_text(text)
    (folder / "weights.safetensors").write_bytes(safetensors.numpy.save({}))
    images = {"dtype": "uint8", "shape": [4, 8, 8, 1]}
    entry = {"function": "score", "batch_size": 4, "file": "score_4.mlir"}
    entry["arguments"] = [{"input": "images", **images}]
    entry["outputs"] = [{"name": name, "dtype": "float32", "shape": [4]} for name in outputs]
    method = {"inputs": {"images": {"dtype": "uint8", "shape": [None, 8, 8, 1]}}}
    method["outputs"] = {name: {"dtype": "float32", "shape": [None]} for name in outputs}
    described = {"format": 1, "methods": {"score": method}, "programs": [entry]}
    (folder / "signature.json").write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize("operation", ["custom_call", "outfeed", "in_a_function"])
def test_a_program_that_may_do_more_than_compute_is_refused_before_it_is_compiled(
    tmp_path, digits, operation, monkeypatch
):
    text, name = CUSTOM, "stablehlo.custom_call"
    if operation == "outfeed":
        name = "stablehlo.create_token"
        text = CUSTOM.replace("stablehlo.custom_call @Sharding(%x) :", "stablehlo.reshape %x :").replace(
            "    return", '    %t = "stablehlo.create_token"() : () -> !stablehlo.token\n    return'
        )
    elif operation == "in_a_function":
        text = CUSTOM.replace("stablehlo.custom_call @Sharding(%x) :", "func.call @f(%x) :").replace(
            "module {",
            "module {\n  func.func private @f(%x: tensor<4x8x8x1xui8>) -> tensor<4x8x8x1xui8> {\n"
            "    %0 = stablehlo.custom_call @Sharding(%x) : (tensor<4x8x8x1xui8>) -> tensor<4x8x8x1xui8>\n"
            "    return %0 : tensor<4x8x8x1xui8>\n  }",
        )
    folder = _folder_of(tmp_path / "sent", text)
    compiled = []
    real = run_stablehlo.Program
    monkeypatch.setattr(run_stablehlo, "Program", lambda *a: compiled.append(a) or real(*a))
    with pytest.raises(run_stablehlo.ModelError, match=f"holds the operation {name}, .*--trust") as error:
        run_stablehlo.Model(folder)("score", images=digits[:4])
    assert "\n" not in str(error.value) and not compiled
    found = run_stablehlo.Model(folder, trust=True)("score", images=digits[:4])["log_prob"]
    assert len(compiled) == 1
    np.testing.assert_array_equal(found, digits[:4, 0, 0, 0].astype(np.float32))


def test_a_program_with_an_array_that_no_machine_holds_is_refused(tmp_path, digits):
    """XLA ended the process: "overflow in static extent product"."""
    big = "tensor<9000000000000000000xf32>"
    text = CUSTOM.replace(
        "    %3 =",
        f"    %big = stablehlo.iota dim = 0 : {big}\n"
        f"    %end = stablehlo.slice %big [0:4] : ({big}) -> tensor<4xf32>\n    %3 =",
    ).replace("stablehlo.custom_call @Sharding(%x) :", "stablehlo.reshape %x :")
    folder = _folder_of(tmp_path / "sent", text)
    with pytest.raises(
        run_stablehlo.ModelError, match=r"array of shape \[9000000000000000000\]: .*too large"
    ):
        run_stablehlo.Model(folder)("score", images=digits[:4])


def test_every_operation_of_the_dialect_either_computes_or_is_refused():
    """A new one of StableHLO shows here."""
    from jaxlib.mlir.dialects import stablehlo as dialect

    refused = {
        *("after_all", "all_gather", "all_reduce", "all_to_all", "async_done", "async_start", "composite"),
        *("collective_broadcast", "collective_permute", "create_token", "cross-replica-sum", "custom_call"),
        *("infeed", "outfeed", "partition_id", "recv", "reduce_scatter", "replica_id", "send"),
    }
    there = {getattr(dialect, name).OPERATION_NAME for name in dir(dialect) if name.endswith("Op")}
    allowed = {name for name in stablehlo_check.OPERATIONS if name.startswith("stablehlo.")}
    assert there == allowed | {f"stablehlo.{name}" for name in refused}
    assert not allowed & {f"stablehlo.{name}" for name in refused}


def test_no_two_batches_of_draws_have_the_same_seed(monkeypatch):
    """Nor those that are given a class for each image; noise that all images share stays one."""
    scalar, rows = {"dtype": "int64", "shape": []}, {"dtype": "int32", "shape": [None]}
    model = object.__new__(run_stablehlo.Model)
    model._described = {name: {1: {}, 4: {}} for name in ("sample_given", "log_prob_seeded")}
    model._methods = {
        "sample_given": {"inputs": {"classes": rows, "seed": scalar}, "outputs": {"images": {}}},
        "log_prob_seeded": {"inputs": {"classes": rows, "seed": scalar}, "outputs": {"log_prob": {}}},
    }
    seeds = []
    monkeypatch.setattr(model, "_check_function", lambda function: None)
    monkeypatch.setattr(model, "put", np.asarray)
    monkeypatch.setattr(
        model, "run", lambda f, size, x: seeds.append(int(x["seed"])) or {"y": np.zeros(size)}
    )
    model("sample_given", classes=np.zeros(9, np.int32), seed=5)
    assert seeds[0] == 5 and len(set(seeds)) == 3
    seeds.clear()
    model("log_prob_seeded", classes=np.zeros(9, np.int32), seed=5)
    assert seeds == [5, 5, 5]
