"""tfp_flows.fit: the command's loop, for anything with a log-density and variables."""

import math
import signal
import threading

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import tfp_flows
from pixelcnn.model import PixelCNN
from tfp_flows import data, runs, training
from tfp_flows.models import registry

SHAPE = (8, 8, 1)
GLOW = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
RNG = np.random.default_rng(0)
POINTS = RNG.normal([1.0, -2.0], [0.5, 2.0], [400, 2]).astype(np.float32)
QUIET = dict(progress=False, log_every=5)


class Gaussian(tf.Module):
    """N(loc, exp(log_scale)) over vectors of two: no TFP class, and no dtype."""

    def __init__(self, loc=0.0):
        self.loc = tf.Variable([loc, loc])
        self.log_scale = tf.Variable([0.0, 0.0])

    def log_prob(self, x):
        z = (x - self.loc) * tf.exp(-self.log_scale)
        return tf.reduce_sum(-0.5 * z**2 - self.log_scale - 0.5 * math.log(2 * math.pi), -1)


class Line(tf.Module):
    """N(slope * condition, 1) over scalars."""

    def __init__(self):
        self.slope = tf.Variable(0.0)

    def log_prob(self, x, condition):
        return -0.5 * (x - self.slope * condition) ** 2


def _digits(split, count=None):
    return data.load("digits", split).images[:count]


def _glow():
    return tfp_flows.Dequantized(tfp_flows.glow(GLOW, SHAPE))


def _numbers(model):
    return [variable.numpy() for variable in model.variables]


def test_a_gaussian_becomes_that_of_largest_likelihood():
    model = Gaussian()
    settings = dict(steps=400, learning_rate=0.1, ema_decay=0.9, batch_size=400, **QUIET)
    history = tfp_flows.fit(model, POINTS, POINTS, **settings)
    np.testing.assert_allclose(model.loc, POINTS.mean(0), atol=0.01)
    np.testing.assert_allclose(np.exp(model.log_scale), POINTS.std(0), atol=0.01)
    entropy = np.mean(0.5 * math.log(2 * math.pi * math.e) + np.log(POINTS.std(0)))  # nats per dimension
    assert history.unit == "nats/dim" and history.step == 400
    assert [row.step for row in history.rows] == list(range(5, 401, 5))
    assert history.rows[-1].loss == pytest.approx(entropy, abs=1e-3)
    assert history.validation == [(400, pytest.approx(entropy, abs=1e-3))]
    assert history.rows[-1].gradient_norm < 0.01 < history.rows[0].gradient_norm


def test_the_weights_are_their_moving_average_afterwards():
    model, seen = Gaussian(), []
    tfp_flows.fit(
        *(model, POINTS),
        **dict(steps=6, ema_decay=0.5, log_every=1, progress=False),
        callbacks=[lambda step, values, model: seen.append(model.loc.numpy())],
    )
    average = np.zeros(2)
    for step, loc in enumerate(seen):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * loc
    np.testing.assert_allclose(model.loc, average, rtol=1e-5)
    assert (model.loc.numpy() != seen[-1]).all()


def test_a_family_is_trained_as_by_the_command(tmp_path):
    config = training.TrainingConfig(steps=8, batch_size=16, validate_every=4, log_every=2, clip_norm=9.0)
    spec = runs.RunSpec("glow", GLOW, vars(config), "", SHAPE)
    images, held_out = _digits("train"), _digits("validation", 50)
    training.train(runs.Run(tmp_path / "command"), spec, "", images, held_out, progress=False)
    model = _glow()
    settings = dict(batch_size=16, validate_every=4, log_every=2, clip_norm=9.0)
    tfp_flows.fit(model, images, held_out, steps=8, run=tmp_path / "fit", progress=False, **settings)
    commands, fitted = (tfp_flows.load(tmp_path / name) for name in ("command", "fit"))
    for a, b, c in zip(commands.variables, fitted.variables, model.variables, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    rows = [
        [line.rpartition(",")[0] for line in (tmp_path / name / "metrics.csv").read_text().splitlines()]
        for name in ("command", "fit")
    ]
    assert rows[0] == rows[1]
    assert not (tmp_path / "fit" / "flags.flags").exists()


@pytest.mark.parametrize("name", ["vae", "pixelcnn"])
def test_the_folder_of_a_family_knows_its_config(tmp_path, name):
    family = registry.family(name)
    small = dict(architecture="small", latent_size=3, likelihood="logistic", num_importance_samples=2)
    if name == "pixelcnn":
        small = dict(num_resnet=1, num_hierarchies=2, num_filters=4, dropout=0.1)
    config = family.config_class(**small, seed=5)
    model = family.build(config, SHAPE, family.training_protocol(config))
    tfp_flows.fit(model, _digits("train"), steps=2, run=tmp_path / "run", progress=False)
    assert runs.Run(tmp_path / "run").spec().model == config
    for ours, theirs in zip(model.variables, tfp_flows.load(tmp_path / "run").variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_that_stopped_early_and_has_grown_takes_its_steps_unless_it_gets_better(tmp_path):
    settings = dict(batch_size=16, learning_rate=0.1, warmup=0.0, ema_decay=0.0, progress=False)
    settings |= dict(validate_every=1, early_stopping=3, run=tmp_path / "run")

    def fit(steps, validation):
        return tfp_flows.fit(Gaussian(), POINTS, validation, steps=steps, **settings)

    worse = POINTS - 2 * POINTS.mean(0)  # each step leads away from it
    first = fit(20, worse)
    assert first.step < 20 and fit(20, worse).step == first.step, "it has not grown"
    grown = fit(30, worse)
    assert grown.step == 30, "three validations after the first were no better"
    best = [min(history.validation, key=lambda row: row.loss) for history in (first, grown)]
    assert best[0] == best[1]
    assert fit(30, worse).step == 30


def test_a_strangers_run_goes_on_to_the_bit(tmp_path):
    settings = dict(steps=40, decay=0.0, batch_size=16, checkpoint_every=7, validate_every=10, **QUIET)

    def fit(folder, model, callbacks=()):
        return tfp_flows.fit(model, POINTS, POINTS, run=tmp_path / folder, callbacks=callbacks, **settings)

    def stop(step, values, model):
        if step == 25:
            raise RuntimeError("the power is gone")

    whole, model = fit("whole", expected := Gaussian()), Gaussian()
    with pytest.raises(RuntimeError, match="power"):
        fit("parts", model, [stop])
    assert not (tmp_path / "parts" / "checkpoints" / "ckpt-28.index").exists()
    parts = fit("parts", resumed := Gaussian(loc=3.0))  # whose own weights do not matter
    for ours, theirs in zip(_numbers(resumed), _numbers(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [row[:4] for row in parts.rows] == [row[:4] for row in whole.rows] and len(whole.rows) == 8
    assert parts.validation == whole.validation and len(whole.validation) == 4
    with pytest.raises(ValueError, match="belongs to no family"):
        tfp_flows.load(tmp_path / "parts")
    with pytest.raises(runs.RunError, match="made with other settings"):
        fit("parts", _independent(1))


@pytest.mark.parametrize("folder", [None, "run"])
def test_stopped_early_it_has_the_weights_of_the_best_validation(tmp_path, folder):
    validation = np.zeros([10, 2], np.float32)  # from which training moves away
    seen = {}
    model = Gaussian(loc=0.3)
    history = tfp_flows.fit(
        *(model, np.full([50, 2], 5, np.float32), validation),
        **dict(steps=50, learning_rate=0.1, warmup=0.0, ema_decay=0.0, validate_every=2, early_stopping=2),
        **dict(run=folder and tmp_path / folder, progress=False),
        callbacks=[lambda step, values, model: seen.update({step: model.loc.numpy()})],
    )
    assert [found.step for found in history.validation] == [2, 4, 6] and history.step == 6
    np.testing.assert_array_equal(model.loc, seen[2])


def test_conditions_come_with_their_examples():
    condition = RNG.normal(size=300).astype(np.float32)
    model = Line()
    given = dict(conditions=condition, validation_conditions=condition[:20])
    x = 3 * condition
    history = tfp_flows.fit(model, x, x[:20], steps=300, learning_rate=0.1, **given, **QUIET)
    assert float(model.slope) == pytest.approx(3, abs=1e-3)
    assert history.validation[-1].loss == pytest.approx(0, abs=1e-4)


def test_a_transformed_distribution_is_given_its_condition():
    """Which TFP would leave unread, were it not one of the bijector's arguments."""
    slope = tf.Variable(0.0)

    class Shift(tfb.Bijector):
        def __init__(self):
            self.slope = slope
            super().__init__(forward_min_event_ndims=0, is_constant_jacobian=True)

        def _inverse(self, y, condition):
            return y - self.slope * condition

        def _inverse_log_det_jacobian(self, y, condition):
            return tf.zeros([], y.dtype)

    condition = RNG.normal(size=[300, 1]).astype(np.float32)
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 1), Shift())
    tfp_flows.fit(flow, 3 * condition, steps=300, learning_rate=0.1, conditions=condition, **QUIET)
    assert float(slope) == pytest.approx(3, abs=1e-2)


def test_a_family_with_a_condition(tmp_path):
    model = PixelCNN(SHAPE, condition_size=2, num_resnet=1, num_hierarchies=1, num_filters=4)
    images = np.concatenate([np.full([40, *SHAPE], level, np.uint8) for level in (60, 190)])
    condition = np.repeat(np.eye(2, dtype=np.float32), 40, axis=0)
    settings = dict(steps=60, learning_rate=0.02, ema_decay=0.0, conditions=condition, **QUIET)
    tfp_flows.fit(model, images, run=tmp_path / "run", **settings)
    right, wrong = (model.log_prob(images, condition=c).numpy().mean() for c in (condition, 1 - condition))
    assert right > wrong + 10
    with pytest.raises(ValueError, match="belongs to no family"):  # whose configs know no conditions
        tfp_flows.load(tmp_path / "run")


def test_a_strangers_images_are_counted_in_bits():
    model = tfd.Independent(tfd.Normal(tf.Variable(tf.fill(SHAPE, 100.0)), 50.0), 3)
    images = _digits("train", 64)
    history = tfp_flows.fit(model, images, steps=1, learning_rate=1e-9, batch_size=64, **QUIET)
    expected = -np.mean(model.log_prob(tf.cast(images, tf.float32))) / 64 / math.log(2)
    assert history.unit == "bits/dim" and history.rows[0].loss == pytest.approx(expected, rel=1e-5)


def test_callbacks_are_told_what_the_history_holds():
    told = []
    model = Gaussian()
    history = tfp_flows.fit(
        *(model, POINTS, POINTS),
        **dict(steps=6, log_every=2, validate_every=3, progress=False),
        callbacks=[lambda *arguments: told.append(arguments)],
    )
    assert [step for step, _, _ in told] == [2, 3, 4, 6] and all(of is model for _, _, of in told)
    last = told[-1][1]
    assert last.pop("validation_loss") == history.validation[-1].loss
    assert (6, *last.values()) == history.rows[-1] and list(last) == list(history.rows[-1]._fields[1:])
    assert list(told[1][1]) == ["validation_loss"]


def test_a_second_call_goes_on_from_the_weights():
    model = _glow()
    first = tfp_flows.fit(model, _digits("train"), steps=20, learning_rate=0.01, **QUIET)
    second = tfp_flows.fit(model, _digits("train"), steps=1, from_data=False, **QUIET)
    assert second.rows[0].loss < first.rows[0].loss - 0.2


@pytest.fixture
def usual_sigint():
    """SIGINT as Python has it, also where these tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_sigint")
@pytest.mark.parametrize("folder", [None, "run"])
def test_a_signal_ends_it_with_the_weights_set(tmp_path, folder):
    model = Gaussian()

    def interrupt(step, values, model):
        if step == 10:
            signal.raise_signal(signal.SIGINT)

    run = folder and tmp_path / folder
    with pytest.raises(KeyboardInterrupt):
        tfp_flows.fit(model, POINTS, steps=10**6, ema_decay=0.0, run=run, callbacks=[interrupt], **QUIET)
    assert (model.loc.numpy() != 0).all()
    if folder:
        assert tf.train.latest_checkpoint(tmp_path / folder / "checkpoints").endswith("ckpt-10")


def test_in_a_thread():
    model = Gaussian()
    thread = threading.Thread(target=lambda: tfp_flows.fit(model, POINTS, steps=5, **QUIET))
    thread.start()
    thread.join()
    assert (model.loc.numpy() != 0).all()


@pytest.mark.usefixtures("usual_sigint")
def test_tensorflow_is_left_as_it_was():
    tfp_flows.fit(Gaussian(), POINTS, steps=1, **QUIET)
    tf.random.normal([1])  # raises where operations must be deterministic
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _independent(rank):
    return tfd.Independent(tfd.Normal(tf.Variable([0.0, 0.0]), 1.0), rank)


class Elementwise(Gaussian):
    """It forgets to sum over the event."""

    def log_prob(self, x):
        return -0.5 * (x - self.loc) ** 2


class Fixed(Gaussian):
    """Its log-density does not depend on its variables."""

    def log_prob(self, x):
        return -tf.reduce_sum(x**2, -1)


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        (lambda: _independent(0), {}, r"`model` has batch shape \(2,\); tfd.Independent"),
        (Elementwise, {}, r"must give one number an example, \[B\], but gives \(2, 2\)"),
        (lambda: tfd.Sample(tfd.Normal(0.0, 1.0), 2), {}, "has no trainable variables"),
        (Fixed, {}, "depends on none of its trainable variables"),
        (lambda: _independent(1), {"images": POINTS[:, :1]}, r"event shape \(2,\), got \[400, 1\]"),
        (Gaussian, {"images": POINTS * np.float32(np.nan)}, "`images` has values that are not finite"),
        (Gaussian, {"images": POINTS[:0]}, r"`images` must be an array of numbers \[N, ...\], N > 0"),
        (Gaussian, {"images": np.array(["a"])}, "`images` must be an array of numbers"),
        (Gaussian, {"validation_images": POINTS[:, :1]}, "`validation_images` must be like `images`"),
        (Gaussian, {"early_stopping": 2}, "`early_stopping` needs `validation_images`"),
        (
            Gaussian,
            {"conditions": POINTS[:3]},
            r"`images` are 400, but their conditions have shape \[3, 2\]",
        ),
        (Gaussian, {"momentum": 2}, "`momentum` is no argument of fit and no setting of training: steps, "),
        (Gaussian, {"steps": 0}, "`steps` must be a positive integer"),
        (Gaussian, {"mutation_rate": 0.1}, "`mutation_rate` is for uint8 images"),
        (Gaussian, {"outlier_dataset": "mnist"}, "give `outlier_images`, an array"),
        (Gaussian, {"init_from": "run"}, "`init_from` is for models that a family's config makes"),
        (_glow, {"images": np.zeros([9, *SHAPE], np.float32)}, "`images` must be uint8 for a Dequantized"),
        (
            _glow,
            {"images": np.zeros([9, 4, 4, 1], np.uint8)},
            r"event shape \(8, 8, 1\), got \[9, 4, 4, 1\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(model, arguments, message):
    with pytest.raises(tfp_flows.checks.errors.UserError, match=message):
        tfp_flows.fit(model(), **{"images": POINTS, "steps": 2, **QUIET, **arguments})


def test_divergence_says_no_checkpoint_where_there_is_none():
    with pytest.raises(training.TrainingDiverged, match="diverged at step .* nats/dim") as error:
        tfp_flows.fit(Gaussian(), POINTS, steps=50, learning_rate=1e30, warmup=0.0, **QUIET)
    assert "intact" not in str(error.value)
