"""StableHLO programs as functions of JAX: values, gradients and Hessians are TensorFlow's."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, serving, testing
from tfp_flows.runs import Run, load_model
from tfp_flows.serving import stablehlo

jax = pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")
import jax.numpy as jnp

from tfp_flows.serving import stablehlo_as_jax
from tfp_flows.serving.run_stablehlo import Model, ModelError

RNG = np.random.default_rng(0)


def _as_jax(function, *shapes, dtype=tf.float32):
    """A TensorFlow function as one of JAX's, by way of StableHLO; its first output."""
    specs = [tf.TensorSpec(shape, dtype, name=f"x{i}") for i, shape in enumerate(shapes)]
    program = stablehlo.lower(function, *specs)
    main = stablehlo_as_jax.as_jax(program.text)
    captures = [jnp.asarray(np.asarray(value)) for value in program.captures]
    return jax.jit(lambda *arrays: main([*arrays, *captures])[0])


OPERATIONS = {
    "elementwise": lambda x, y: (
        tf.tanh(x) * tf.exp(-y) + tf.math.log1p(tf.abs(y)) - tf.math.rsqrt(1 + x * x)
    ),
    "rounded": lambda x, y: (
        tf.floor(4 * x) + tf.round(4 * y) + tf.sign(x) * tf.math.ceil(x) + x % 0.7 - x // 0.7
    ),
    "chosen": lambda x, y: tf.where((x > y) & (x >= 0) | (y != y), x, tf.clip_by_value(y, -0.5, 0.5)),
    "softmax": lambda x, y: tf.nn.softmax(x) * tf.reduce_logsumexp(y, 0) + tf.sigmoid(x) * tf.math.expm1(y),
    "cumulative": lambda x, y: tf.cumsum(x, axis=1, reverse=True) + tf.cumsum(y, exclusive=True),
    "gathered": lambda x, y: tf.gather(x, _whole(y[0]), axis=1) + tf.gather(y, [2, 0, 2]),
    "by_rows": lambda x, y: tf.gather(x, _whole(y), axis=1, batch_dims=1) * y,
    "padded": lambda x, y: tf.pad(x, [[1, 0], [0, 1]])[::2, 1:] @ tf.transpose(y)[:, ::-1],
    "reduced": lambda x, y: (
        tf.reduce_max(x, 0) + tf.reduce_prod(y, 0) + tf.cast(tf.reduce_any(x > y, 0), x.dtype)
    ),
    "products": lambda x, y: (
        tf.einsum("ab,cb->ac", x, y) + tf.cast(tf.cast(x[0, 0] * 100, tf.int32) // 7, x.dtype)
    ),
}


def _whole(values):
    """0, 1 or 2."""
    return tf.cast(tf.clip_by_value(tf.floor(values + 1.5), 0.0, 2.0), tf.int32)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_have_their_meaning(name):
    x, y = RNG.normal(size=[2, 3, 3]).astype(np.float32)
    function = OPERATIONS[name]
    found = _as_jax(function, [3, 3], [3, 3])
    np.testing.assert_allclose(found(x, y), function(tf.constant(x), tf.constant(y)), rtol=2e-5, atol=1e-6)
    weights = RNG.normal(size=found(x, y).shape).astype(np.float32)
    given, other = tf.constant(x), tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch([given, other])
        total = tf.reduce_sum(function(given, other) * weights)
    gradients = tape.gradient(total, [given, other], unconnected_gradients="zero")
    expected = [tf.convert_to_tensor(gradient) for gradient in gradients]
    gradients = jax.grad(lambda x, y: jnp.sum(found(x, y) * weights), argnums=(0, 1))(x, y)
    for mine, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("stride, dilation, padding", [(1, 1, "SAME"), (2, 1, "VALID"), (1, 2, "SAME")])
def test_convolutions_and_their_transposes(stride, dilation, padding):
    x = RNG.normal(size=[2, 6, 6, 2]).astype(np.float32)
    kernel = tf.constant(RNG.normal(size=[3, 3, 2, 4]).astype(np.float32))

    def convolved(x):
        return tf.nn.conv2d(x, kernel, stride, padding, dilations=dilation)

    def transposed(x):
        return tf.nn.conv2d_transpose(x, tf.transpose(kernel, [0, 1, 3, 2]), [2, 12, 12, 4], 2, "SAME")

    for function in (convolved, transposed):
        expected = function(tf.constant(x))
        found = _as_jax(function, x.shape)(x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_known_is_said():
    with pytest.raises(ModelError, match="stablehlo.sort cannot be made one of JAX's"):
        _as_jax(lambda x: tf.sort(x), [3])(np.float32([1, 2, 3]))
    with pytest.raises(ModelError, match='float64 is in this program: jax.config.update."jax_enable_x64"'):
        _as_jax(lambda x: tf.cast(tf.cast(x, tf.float64) * 3, tf.float32), [3])(np.float32([1, 2, 3]))


def _derivatives(log_density, value, direction):
    """(gradient, Hessian times a direction) at one value, by TensorFlow."""
    x = tf.constant(value[np.newaxis])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = log_density(x)
        gradient = inner.gradient(y, x)
        along = tf.reduce_sum(gradient * direction)
    return gradient.numpy()[0], outer.gradient(along, x).numpy()[0]


@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_gradient_and_hessian_of_a_flow_are_tensorflows(coupling):
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4, coupling=coupling)
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (2, 2, 3)))
    testing.perturb(model.flow.bijector, 0, 0.1)
    compiled = _as_jax(model.log_density, [1, 2, 2, 3])

    def one(value):
        return compiled(value[np.newaxis])[0]

    value = RNG.uniform(0, 256, [2, 2, 3]).astype(np.float32)
    direction = RNG.normal(size=[2, 2, 3]).astype(np.float32)
    gradient, product = _derivatives(model.log_density, value, direction)
    scale = np.abs(product).max()
    np.testing.assert_allclose(jax.grad(one)(value), gradient, rtol=1e-3, atol=1e-5)
    _, along = jax.jvp(jax.grad(one), (value,), (direction,))
    np.testing.assert_allclose(along, product, rtol=1e-3, atol=1e-3 * scale)
    hessian = np.asarray(jax.hessian(one)(value)).reshape(12, 12)
    np.testing.assert_allclose(hessian @ direction.ravel(), product.ravel(), rtol=1e-3, atol=1e-3 * scale)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-3 * scale)
    assert scale > 1e-6


def test_log_density_is_log_prob_of_the_draw_and_integrates_to_the_pixel():
    """log p(x + u) of uniform noise is the estimate of log P(x); in nats of grey levels."""
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (2, 2, 1)))
    testing.perturb(model.flow.bijector, 0, 0.1)
    images = RNG.integers(0, 256, [3, 2, 2, 1]).astype(np.uint8)
    noise = model.evaluation_noise()[0]
    values = tf.cast(images, tf.float32) + noise
    np.testing.assert_allclose(model.log_density(values), model.log_prob(images), rtol=1e-6, atol=1e-4)
    many = tfp_flows.Dequantized(model.flow, num_samples=16, bound="importance", seed=1)
    log_densities = model.log_density(tf.cast(images[:1], tf.float32) + many.evaluation_noise()).numpy()
    expected = np.log(np.mean(np.exp(log_densities.astype(np.float64))))
    np.testing.assert_allclose(many.log_prob(images[:1]), [expected], rtol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_run):
    folder = tmp_path_factory.mktemp("as_jax")
    make_run(folder, "glow")
    serving.export(Run(folder / "glow"), folder / "exported", export_format="stablehlo", batch_sizes=(1, 4))
    return folder


@pytest.fixture(scope="module")
def reader(exported):
    """The reader that lies in the export, as one file."""
    spec = importlib.util.spec_from_file_location("reader", exported / "exported" / "run_stablehlo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_export_is_differentiated_where_there_is_no_tensorflow(exported, reader):
    images = data.load("digits", "test").images[:3]
    live, _ = load_model(Run(exported / "glow"))
    values = (images + live.evaluation_noise()[0].numpy()).astype(np.float32)
    model = reader.Model(exported / "exported")
    one = model.as_jax("log_density")

    def log_density(value, weights=None):
        return one(values=value, weights=weights)["log_density"]

    np.testing.assert_allclose(jax.vmap(log_density)(values), live.log_prob(images), rtol=1e-5, atol=1e-3)
    batch = model("log_density", values=values)["log_density"]
    np.testing.assert_allclose(jax.vmap(log_density)(values), batch, rtol=1e-5, atol=1e-3)
    gradient, product = _derivatives(live.log_density, values[0], images[1].astype(np.float32))
    np.testing.assert_allclose(jax.grad(log_density)(values[0]), gradient, rtol=1e-3, atol=1e-5)
    _, along = jax.jvp(jax.grad(log_density), (values[0],), (images[1].astype(np.float32),))
    np.testing.assert_allclose(along, product, rtol=1e-2, atol=1e-3 * np.abs(product).max())

    floats = {name: array for name, array in model.weights.items() if array.dtype == np.float32}
    of_weights = jax.grad(log_density, argnums=1)(values[0], floats)
    assert set(of_weights) == set(floats)
    with tf.GradientTape() as tape:
        total = live.log_density(values[:1])
    variables = live.trainable_variables
    for variable, expected in zip(variables, tape.gradient(total, variables), strict=True):
        expected, distances = np.asarray(expected), []
        for name, found in of_weights.items():
            if found.shape == expected.shape and np.array_equal(model.weights[name], variable):
                distances.append(np.abs(found - expected).max())
        assert min(distances) <= 1e-3 * (1 + np.abs(expected).max())


def test_integers_by_the_same_way_have_their_log_prob(exported):
    images = data.load("digits", "test").images[:2]
    model = Model(exported / "exported")
    one = model.as_jax("serving_default")
    expected = model("serving_default", images=images)["log_prob"]
    found = [one(images=image)["log_prob"] for image in images]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_what_does_not_fit_is_one_line(exported, tmp_path):
    model = Model(exported / "exported")
    one = model.as_jax("log_density")
    value = np.zeros([8, 8, 1], np.float32)
    for call, message in (
        (lambda: one(values=value.astype(np.uint8)), r"values: float32 \[8, 8, 1\] is wanted, got uint8"),
        (lambda: one(values=value[np.newaxis]), r"is wanted, got float32 \[1, 8, 8, 1\]"),
        (lambda: one(images=value), "log_density takes values; got images"),
        (lambda: model.as_jax("gradient"), "there is no function 'gradient'"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    shutil.copytree(exported / "exported", tmp_path / "sent")
    signature = json.loads((tmp_path / "sent" / "signature.json").read_text())
    signature["programs"] = [p for p in signature["programs"] if p["batch_size"] == 4]
    (tmp_path / "sent" / "signature.json").write_text(json.dumps(signature))
    with pytest.raises(ModelError, match="a program of one row that updates nothing is wanted"):
        Model(tmp_path / "sent").as_jax("log_density")
    text = (tmp_path / "sent" / "log_density_1.mlir").read_text()
    assert "custom_call" not in text
