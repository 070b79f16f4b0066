"""PixelCNN: causal, normalised, TFP's own numbers, and a fast sampler that draws what the slow one draws."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import pixelcnn
from pixelcnn import mixture, sampler
from tfp_flows import data, testing

tfd = tfp.distributions
SMALL = dict(num_resnet=1, num_hierarchies=2, num_filters=6, num_logistic_mix=3)


def _images(shape, count=6, high=255, seed=0):
    return np.random.default_rng(seed).integers(0, high + 1, [count, *shape]).astype(np.uint8)


def _model(shape, condition_size=0, dtype=tf.float64, perturb=True, **settings):
    model = pixelcnn.PixelCNN(shape, condition_size=condition_size, dtype=dtype, **{**SMALL, **settings})
    high = settings.get("high", 255)
    condition = np.random.default_rng(1).standard_normal([32, condition_size]) if condition_size else None
    model.initialize(_images(shape, 32, high), condition)
    if perturb:
        testing.perturb(model, scale=0.2)
    return model


def _condition(model, count):
    if not model.condition_size:
        return {}
    values = np.random.default_rng(2).standard_normal([count, model.condition_size])
    return {"condition": tf.constant(values, model.dtype)}


CASES = pytest.mark.parametrize(
    ("shape", "condition_size", "settings"),
    [
        ((4, 6, 1), 0, {}),
        ((4, 4, 3), 0, {"num_resnet": 2}),
        ((8, 8, 1), 3, {"num_hierarchies": 3}),
        ((4, 4, 3), 2, {}),
        ((3, 5, 1), 0, {"num_hierarchies": 1}),
    ],
)


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 3)])
def test_contract(shape):
    testing.check_density_model(_model(shape, dtype=tf.float32), _images(shape))


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "initialised"])
@CASES
def test_no_conditional_depends_on_a_later_pixel(shape, condition_size, settings, fresh):
    """Autodiff over every pair of positions, channels included, of a model that nothing has trained."""
    model = _model(shape, condition_size, perturb=not fresh, **settings)
    if fresh:
        model = pixelcnn.PixelCNN(shape, condition_size, dtype=tf.float64, **{**SMALL, **settings})
    condition = _condition(model, 1)
    x = tf.constant(_images(shape, 1), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        log_probs = model.pixel_log_probs(x, **condition)
    positions = shape[0] * shape[1]
    jacobian = tape.jacobian(log_probs, x).numpy().reshape([positions, positions, shape[2]])
    pixel, on = np.indices([positions, positions])
    np.testing.assert_array_equal(jacobian[on > pixel], 0)
    # and it sees those it may see: each of a pixel's neighbours above and to the left
    for row, column in itertools.product(range(1, shape[0]), range(1, shape[1])):
        here = row * shape[1] + column
        for before in (here - 1, here - shape[1], here - shape[1] - 1):
            assert np.abs(jacobian[here, before]).max() > 0


def test_changing_a_pixel_changes_no_conditional_before_it():
    """By values, on real grey levels, and for the channels within a pixel through the locations."""
    model = _model((4, 4, 3))
    images = _images((4, 4, 3), 1)
    before = model.pixel_log_probs(images).numpy()[0].ravel()
    for position in range(16):
        changed = images.copy()
        changed[0, position // 4, position % 4] ^= 255
        after = model.pixel_log_probs(changed).numpy()[0].ravel()
        np.testing.assert_array_equal(after[:position], before[:position])
        assert (after[position:] != before[position:]).any()


def test_channels_of_a_pixel_are_in_order():
    parameters = mixture.mixture(tf.constant(np.random.default_rng(0).standard_normal([5, 30])), 3, 3)

    def levels(parts):
        return mixture.sample(parts, np.full([5, 6], 0.4), np.float64(255)).numpy()

    changed = parameters._replace(locs=parameters.locs + [0.0, 0.3, 0.0])  # of the second channel
    np.testing.assert_array_equal(levels(changed)[:, 0], levels(parameters)[:, 0])
    for channel in (1, 2):
        assert (levels(changed)[:, channel] != levels(parameters)[:, channel]).any()


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "initialised"])
@pytest.mark.parametrize(("shape", "high"), [((2, 2, 1), 3), ((1, 2, 2), 3), ((1, 1, 3), 5)])
def test_total_mass_is_one(shape, high, fresh):
    settings = dict(num_hierarchies=1, high=high)
    model = _model(shape, **settings)
    if fresh:
        model = pixelcnn.PixelCNN(shape, dtype=tf.float64, **{**SMALL, **settings})
    every = np.array(list(itertools.product(range(high + 1), repeat=int(np.prod(shape)))))
    log_prob = model.log_prob(every.reshape([-1, *shape]).astype(np.uint8))
    np.testing.assert_allclose(tf.reduce_logsumexp(log_prob), 0, atol=1e-9)


def test_samples_have_the_probabilities_of_log_prob():
    """All images of a 1x2 model with 4 levels, 20,000 draws: chi-square per degree of freedom."""
    model = pixelcnn.PixelCNN((1, 2, 1), high=3, dtype=tf.float64, **{**SMALL, "num_hierarchies": 1})
    testing.perturb(model, scale=0.3)
    every = np.array(list(itertools.product(range(4), repeat=2)))
    expected = 20_000 * np.exp(model.log_prob(every.reshape([-1, 1, 2, 1]).astype(np.uint8)).numpy())
    drawn = model.sample(20_000, seed=3).numpy().reshape([-1, 2]).astype(int)
    found = np.bincount(drawn @ [4, 1], minlength=16)
    statistic = ((found - expected) ** 2 / expected).sum()
    assert (expected > 5).all()
    assert statistic < 40, (found, expected)  # 15 degrees of freedom: p < 0.0005 by chance


@CASES
def test_fast_sampler_draws_what_the_slow_one_draws(shape, condition_size, settings):
    model = _model(shape, condition_size, **settings)
    draws = sampler.uniforms(model, 3, seed=7)
    condition = _condition(model, 3).get("condition")
    slow = sampler.sample_slowly(model, draws, condition)
    fast = sampler.Sampler(model).sample_from(draws, condition)
    np.testing.assert_array_equal(fast, slow)
    assert len(np.unique(slow)) > 10
    in_graph = tf.function(sampler.Sampler(model).sample_from)(draws, condition)
    np.testing.assert_array_equal(in_graph, slow)


@pytest.mark.parametrize(("shape", "condition_size"), [((8, 8, 1), 0), ((8, 8, 3), 2)])
def test_fast_sampler_in_single_precision(shape, condition_size):
    """The first pixel that differs, if any does, was within 1e-2 of a rounding boundary."""
    model = _model(shape, condition_size, dtype=tf.float32)
    draws = sampler.uniforms(model, 4, seed=1)
    condition = _condition(model, 4).get("condition")
    fast = sampler.Sampler(model).sample_from(draws, condition).numpy()
    slow = sampler.sample_slowly(model, draws, condition).numpy()
    for one, other, noise in zip(fast, slow, draws.numpy(), strict=True):
        different = np.flatnonzero((one != other).any(axis=-1).ravel())
        if len(different):
            row, column = divmod(different[0], shape[1])
            _assert_near_a_boundary(model, other, noise, condition, row, column)


def _assert_near_a_boundary(model, image, noise, condition, row, column):
    found = model.pixel_mixtures(image[np.newaxis], condition)
    here = mixture.Mixture(*(part[:, row, column] for part in found))
    value = mixture.sample(here, noise[np.newaxis, row, column], np.float32(255), rounded=False)
    assert (np.abs(value.numpy() % 1.0 - 0.5) < 1e-2).any()


@pytest.mark.parametrize(("shape", "condition_size"), [((8, 8, 1), 2), ((8, 8, 3), 0)])
def test_teacher_forced_parameters_of_the_fast_sampler_agree(shape, condition_size):
    """Forced to draw a given image, the cached activations give the parameters of a full pass to 1e-4."""
    model = _model(shape, condition_size, dtype=tf.float32, perturb=False)
    images = _images(shape, 2)
    condition = _condition(model, 2).get("condition")
    full = model.pixel_mixtures(images, condition)
    forced = sampler.Sampler(model).teacher_forced(tf.cast(images, tf.float32), condition)
    for ours, theirs in zip(forced, full, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_seeds_decide_the_samples():
    model = _model((4, 4, 3), dtype=tf.float32)
    first = model.sample(2, seed=1).numpy()
    np.testing.assert_array_equal(model.sample(2, seed=1), first)
    assert (model.sample(2, seed=2).numpy() != first).any()
    assert (model.sample(2).numpy() != model.sample(2).numpy()).any()
    assert (first[..., 0] != first[..., 1]).any(), "the channels have the same noise"


def test_pixel_log_probs_sum_to_log_prob():
    model = _model((4, 4, 3))
    images = _images((4, 4, 3))
    maps = model.pixel_log_probs(images)
    assert maps.shape == [6, 4, 4]
    np.testing.assert_allclose(tf.reduce_sum(maps, axis=[1, 2]), model.log_prob(images), rtol=1e-12)


def test_initialisation_standardises_and_comes_from_data_alone():
    model = pixelcnn.PixelCNN((8, 8, 1), **SMALL)
    before = [v.numpy() for v in model.variables]
    model.log_prob(_images((8, 8, 1)))
    model.sample(1, seed=0)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    images = _images((8, 8, 1), 64)
    model.initialize(images)
    outputs = model.network(mixture.to_unit(tf.cast(images, tf.float32), 255.0))
    mean, variance = tf.nn.moments(outputs, axes=[0, 1, 2])
    np.testing.assert_allclose(mean, np.zeros(9), atol=1e-4)
    np.testing.assert_allclose(variance, np.ones(9), rtol=1e-3)


def test_dropout_only_in_training():
    model = _model((4, 4, 1), dropout_p=0.5)
    images = _images((4, 4, 1))
    np.testing.assert_array_equal(model.log_prob(images), model.log_prob(images))
    dropped = model.log_prob(images, dropout_seed=1)
    assert (dropped != model.log_prob(images)).numpy().all()
    np.testing.assert_array_equal(model.log_prob(images, dropout_seed=1), dropped)
    assert (model.log_prob(images, dropout_seed=2) != dropped).numpy().all()


@pytest.mark.parametrize(
    ("shape", "condition_shape", "weight_norm"),
    [((4, 4, 1), None, True), ((4, 4, 3), (3,), True), ((4, 4, 3), (3,), False)],
)
def test_density_is_that_of_tfd_pixelcnn(shape, condition_shape, weight_norm):
    theirs = tfd.PixelCNN(
        shape, condition_shape, dropout_p=0.3, use_weight_norm=weight_norm, dtype=tf.float32, **SMALL
    )
    images = _images(shape).astype(np.float32)
    condition = tf.constant(np.random.default_rng(0).standard_normal([6, 3]), tf.float32)
    given = {} if condition_shape is None else {"conditional_input": condition}
    theirs.log_prob(images, **given)  # initialises
    rng = np.random.default_rng(0)
    for variable in theirs.network.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape).astype(np.float32))
        if variable.constraint:
            variable.assign(variable.constraint(variable))
    expected = theirs.log_prob(images, training=False, **given)
    ours = pixelcnn.from_tfp(theirs)
    assert ours.parameters["dropout_p"] == 0.3
    own = {} if condition_shape is None else {"condition": condition}
    np.testing.assert_allclose(ours.log_prob(images, **own), expected, rtol=1e-4)
    back = pixelcnn.to_tfp(ours)
    np.testing.assert_allclose(back.log_prob(images, training=False, **given), expected, rtol=1e-4)


def test_weights_that_cannot_be_taken_over_are_refused():
    with pytest.raises(ValueError, match="`resnet_activation` must be 'concat_elu', got 'relu'"):
        pixelcnn.from_tfp(tfd.PixelCNN((4, 4, 1), resnet_activation="relu", **SMALL))
    with pytest.raises(ValueError, match="not initialised yet"):
        pixelcnn.from_tfp(tfd.PixelCNN((4, 4, 1), **SMALL))


class _Exported(tf.Module):
    """A model's functions, as a stranger would export them."""

    def __init__(self, model):
        super().__init__()
        self.weights = list(model.variables)
        images = tf.TensorSpec([None, *model.event_shape], tf.uint8)
        self.log_prob = tf.function(lambda images: model.log_prob(images), input_signature=[images])
        self.draw = tf.function(
            lambda n, seed: model.sample(n, seed=seed),
            input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)],
        )


def test_saved_model_round_trip(tmp_path):
    model = _model((4, 4, 1), dtype=tf.float32)
    images = _images((4, 4, 1))
    tf.saved_model.save(_Exported(model), str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.log_prob(images), model.log_prob(images), rtol=1e-5)
    np.testing.assert_array_equal(loaded.draw(3, tf.constant([0, 5])), model.sample(3, seed=(0, 5)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pixelcnn.PixelCNN((6, 6, 1), num_hierarchies=3), "height .* halve evenly 2 times"),
        (lambda: pixelcnn.PixelCNN((4, 4)), r"must be \(height, width, channels\), got \(4, 4\)"),
        (lambda: _model((4, 4, 1)).pixel_log_probs(np.full([1, 4, 4, 1], 0.5)), "integer grey levels"),
        (lambda: _model((4, 4, 1), 2).sample(3, condition=np.eye(2), seed=0), "3 images, .* has 2 rows"),
        (lambda: pixelcnn.PixelCNN((4, 4, 1), num_filters=0), "`num_filters` must be a positive integer"),
        (lambda: pixelcnn.PixelCNN((4, 4, 1), dropout_p=1.0), r"`dropout_p` must be in \[0, 1\), got 1.0"),
        (lambda: pixelcnn.PixelCNN((4, 4, 1), high=300), "`high` must be at most 255"),
        (lambda: _model((4, 4, 1)).log_prob(_images((4, 4, 1)), condition=[1.0]), "takes no `condition`"),
        (lambda: _model((4, 4, 1), 3).log_prob(_images((4, 4, 1))), r"takes `condition` \[N, 3\]"),
        (lambda: _model((4, 4, 1), 3).sample(2, condition=[[1.0]], seed=0), "through tf.one_hot"),
        (lambda: _model((4, 4, 1), high=3).log_prob(_images((4, 4, 1))), "0..3"),
    ],
)
def test_mistakes_get_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def _train(model, log_prob, batches, steps, rate=5e-3):
    optimizer = tf_keras.optimizers.legacy.Adam(rate)

    @tf.function(reduce_retracing=True)
    def step(*batch):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(log_prob(*batch))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return [float(step(*batch)) for batch in itertools.islice(batches, steps)]


def _digits(steps):
    digits = data.load("digits", "train")
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.integers(0, len(digits), 64)
        yield tf.constant(digits.images[chosen]), tf.constant(digits.labels[chosen])


def test_class_conditional_model_learns_its_classes():
    """Trained on digits, the true label makes an image likelier than another label."""
    model = pixelcnn.PixelCNN((8, 8, 1), condition_size=10, **{**SMALL, "num_filters": 12})
    images, labels = next(_digits(1))
    model.initialize(images, tf.one_hot(labels, 10))
    _train(model, lambda x, y: model.log_prob(x, condition=tf.one_hot(y, 10)), _digits(150), 150)
    test = data.load("digits", "test")
    right = model.log_prob(test.images, condition=tf.one_hot(test.labels, 10)).numpy()
    wrong = model.log_prob(test.images, condition=tf.one_hot((test.labels + 5) % 10, 10)).numpy()
    assert (right > wrong).mean() > 0.7
    assert model.sample(10, condition=np.eye(10), seed=0).shape == [10, 8, 8, 1]


def test_autoencoder_trains_jointly_and_its_codes_say_which_image():
    model = pixelcnn.PixelCNNAutoencoder((8, 8, 1), code_size=8, **{**SMALL, "num_filters": 12})
    images, _ = next(_digits(1))
    model.initialize(images)
    before = [v.numpy() for v in model.encoder.trainable_variables]
    losses = _train(model, lambda x, y: model.log_prob_given_code(x), _digits(150), 150)
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    for variable, value in zip(model.encoder.trainable_variables, before, strict=True):
        assert (variable.numpy() != value).any(), f"{variable.name} was not trained"
    test = data.load("digits", "test").images[:200]
    codes = model.encode(test)
    own = model.decoder.log_prob(test, condition=codes).numpy()
    others = model.decoder.log_prob(test, condition=tf.roll(codes, 1, axis=0)).numpy()
    assert (own > others).mean() > 0.9
    np.testing.assert_array_equal(model.reconstruct(test[:4], seed=3), model.sample(codes[:4], seed=3))


def test_a_copy_is_the_same_model():
    model = _model((4, 4, 1), dtype=tf.float32)
    images = _images((4, 4, 1))
    model.run_reference = "a run"
    for same in (model.copy(), model[...], model.copy(name="other")):
        np.testing.assert_array_equal(same.log_prob(images), model.log_prob(images))
        np.testing.assert_array_equal(same.sample(2, seed=(0, 1)), model.sample(2, seed=(0, 1)))
        assert [v.ref() for v in same.variables] == [v.ref() for v in model.variables]
    assert model.copy().run_reference == "a run"
    for argument, value in (("num_filters", 7), ("dropout_p", 0.5), ("seed", 1)):
        with pytest.raises(ValueError, match=f"whose `{argument}` is .*, not {value}; make a new PixelCNN"):
            model.copy(**{argument: value})
