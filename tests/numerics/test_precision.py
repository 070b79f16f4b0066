"""Mixed precision: products in bfloat16, everything else in its own type."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data, runs, training
from tfp_flows.models import registry
from tfp_flows.numerics import precision

SMALL = {
    "glow": dict(levels=1, steps_per_level=2, hidden_channels=8),
    "vae": dict(architecture="small", latent_size=3),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=2, num_filters=4),
}
SHAPE = (8, 8, 1)
PRODUCTS = {"Conv2D", "MatMul", "Conv2DBackpropInput", "Conv2DBackpropFilter"}


def test_products_are_reduced_inside_alone():
    x = tf.random.stateless_normal([2, 5, 5, 3], (0, 0))
    kernel = tf.random.stateless_normal([3, 3, 3, 4], (0, 1))
    matrices = x[0, 0], tf.random.stateless_normal([3, 4], (0, 2))
    upward = [2, 10, 10, 4], 2, "SAME"
    transposed = tf.transpose(kernel, [0, 1, 3, 2])
    for function, kernels, arguments in (
        (precision.matmul, matrices, ()),
        (precision.conv2d, (x, kernel), (1, "SAME")),
        (precision.conv2d_transpose, (x, transposed), upward),
    ):
        exact = function(*kernels, *arguments)
        with precision.reduced(tf.bfloat16):
            rounded = function(*kernels, *arguments)
        assert rounded.dtype == tf.float32
        error = np.abs(rounded - exact).max() / np.abs(exact).max()
        assert 1e-4 < error < 2e-2
        np.testing.assert_array_equal(function(*kernels, *arguments), exact)
        with precision.reduced(tf.bfloat16), precision.reduced(None):
            np.testing.assert_array_equal(function(*kernels, *arguments), exact)


@pytest.mark.parametrize("name", SMALL)
def test_a_step_with_mixed_precision(tmp_path, name):
    """The networks' products, forward and backward, are bfloat16; all else float32, and it trains."""
    images = data.load("digits", "train").images
    config = training.TrainingConfig(steps=30, batch_size=32, mixed_precision="bfloat16", warmup=0.1)
    family = registry.family(name)
    model_config = family.config_class(**SMALL[name])
    spec = runs.RunSpec(name, model_config, vars(config), "digits", SHAPE)
    model = family.build(model_config, SHAPE, family.training_protocol(model_config))
    state = training.TrainingState(model, config)
    step = training.make_train_step(training.subject_of_family(family, model), state, config)
    graph = step.get_concrete_function(tf.TensorSpec([32, *SHAPE], tf.uint8)).graph
    types = {(op.type, op.outputs[0].dtype) for op in graph.get_operations() if op.type in PRODUCTS}
    assert {kind for kind, dtype in types if dtype == tf.bfloat16} >= {"MatMul"}
    assert ("Conv2D", tf.float32) not in types and ("Conv2DBackpropFilter", tf.float32) not in types
    sums = {op.outputs[0].dtype for op in graph.get_operations() if op.type in ("Sum", "Mean", "Log", "Exp")}
    assert tf.bfloat16 not in sums
    assert all(variable.dtype == tf.float32 for variable in model.trainable_variables)
    run = runs.Run(tmp_path / name)
    training.train(run, spec, "", images, images[:64], progress=False)
    before = family.build(model_config, SHAPE, family.training_protocol(model_config))
    family.initialize(before, tf.constant(images[:64]), tf.constant([0, 0], tf.int64))
    trained, _ = runs.load_model(run)
    assert trained.log_prob(images[:64]).numpy().mean() > before.log_prob(images[:64]).numpy().mean() + 1
