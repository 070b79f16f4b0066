"""What TensorBoard shows beside the numbers: it is right, is read back, and changes no training."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

import tfp_flows
from pixelcnn.model import PixelCNN
from tests import forked
from tfp_flows import data
from tfp_flows.training import drawing, looks, views
from vae.model import VAE

tfb, tfd = tfp.bijectors, tfp.distributions

FLAGS = [
    "--dataset=digits",
    "--levels=1",
    "--steps_per_level=1",
    "--hidden_channels=8",
    "--batch_size=16",
    "--log_every=3",
    "--validate_every=4",
    "--noprogress",
]
IMAGES = np.random.default_rng(0).integers(0, 256, [6, 4, 4, 1]).astype(np.uint8)


def _train(folder, *arguments):
    result = forked.command("tfp_flows.train", f"--run={folder}", *FLAGS, *arguments)
    assert result.returncode == 0, result.stderr


def _numbers(folder):
    """metrics.csv without the one column that is a time."""
    return [line.rpartition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]


def _events(folder):
    """{tag: {step: value}}, of pictures their pixels."""
    size = {"tensors": 0}
    found = event_accumulator.EventAccumulator(str(folder / "events"), size_guidance=size).Reload()
    values = {}
    for tag in found.Tags()["tensors"]:
        events = {e.step: tensor_util.make_ndarray(e.tensor_proto) for e in found.Tensors(tag)}
        values[tag] = events
    return values


def _picture(value):
    return np.asarray(Image.open(io.BytesIO(value[2])))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with pictures, and the same without."""
    folder = tmp_path_factory.mktemp("runs")
    _train(
        folder / "with",
        "--steps=8",
        "--evaluate_on=strange=digits@contrast=0.25,noise",
        "--checkpoint_every=6",
    )
    _train(folder / "without", "--steps=8", "--nopictures", "--checkpoint_every=6")
    return folder


def test_training_is_the_same_to_the_bit_without_them(trained):
    assert _numbers(trained / "with") == _numbers(trained / "without")
    models = [tfp_flows.load(trained / name) for name in ("with", "without")]
    for one, other in zip(*(model.variables for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(_events(trained / "without")) == {
        *("bits_per_dim", "gradient_norm", "learning_rate", "validation_bits_per_dim", "images_per_second")
    }


def test_events_hold_pictures_histograms_terms_flags_and_settings(trained):
    found = _events(trained / "with")
    for tag in ("samples", "reconstructions", "likelihoods", "auroc/strange", "samples_not_finite"):
        assert sorted(found[tag]) == [4, 8], tag
    counts = {"validation": min(256, len(data.load("digits", "validation"))), "strange": 256}
    for name in ("bits_per_dim", "log_p_z", "log_det"):
        for label in ("validation", "strange"):
            histogram, mean = found[f"{name}/{label}"][8], found[f"mean_{name}/{label}"][8]
            assert histogram[:, 2].sum() == counts[label]
            assert histogram[0, 0] <= mean <= histogram[-1, 1]
    assert b"    --steps=8" in found["flags"][0].ravel()[0]
    assert "_hparams_/session_start_info" in found
    nats = sum(found[f"mean_{name}/strange"][8] for name in ("log_p_z", "log_det"))
    bits = -(nats - 64 * np.log(256)) / 64 / np.log(2)
    assert found["mean_bits_per_dim/strange"][8] == pytest.approx(bits, rel=1e-4)


def test_reconstructions_are_the_images(trained):
    picture = _picture(_events(trained / "with")["reconstructions"][8]).astype(int)
    height = (picture.shape[0] - 6) // 4
    rows = [picture[i * (height + 2) :][:height] for i in range(4)]
    assert np.abs(rows[0] - rows[1]).max() <= 1 and np.abs(rows[2] - rows[3]).max() <= 1
    assert rows[0].std() > 10


def _flow(forward, inverse):
    bijector = tfb.Inline(
        forward_fn=forward,
        inverse_fn=inverse,
        inverse_log_det_jacobian_fn=lambda y: tf.zeros(tf.shape(y)[:-3], y.dtype),
        forward_min_event_ndims=3,
    )
    base = tfd.Sample(tfd.Uniform(0.0, 1.0), [4, 4, 1])
    return tfp_flows.Dequantized(tfd.TransformedDistribution(base, bijector))


def test_a_reconstruction_is_computed_and_not_remembered():
    """TFP gives an image back that it has just seen: the wrong inverse would look right."""
    wrong = _flow(lambda z: z / 2, lambda y: y)
    found = views.reconstructions(wrong, IMAGES)
    assert np.abs(found.astype(int) - IMAGES // 2).max() <= 1
    right = views.reconstructions(_flow(lambda z: z / 2, lambda y: 2 * y), IMAGES)
    np.testing.assert_array_equal(right, IMAGES)


def test_samples_that_are_not_finite_are_counted_and_black():
    broken = _flow(lambda z: tf.where(z[:, :1, :1] < 0.25, np.float32(np.nan), z), lambda y: y)
    drawn = broken.flow.distribution.sample(40, seed=tf.constant(views.SEED, tf.int32)).numpy()
    found = views.samples(broken, 40)
    bad = drawn[:, 0, 0, 0] < 0.25
    assert 0 < found.not_finite == bad.sum() < 40
    assert not found.images[bad].any() and found.images[~bad].any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(found.images, views.samples(broken, 40).images)  # always the same


def test_terms_make_log_p():
    model = tfp_flows.Dequantized(
        tfp_flows.glow(tfp_flows.GlowConfig(levels=1, steps_per_level=1), (4, 4, 1))
    )
    found = views.terms(model, IMAGES)
    total = found["log_p_z"] + found["log_det"] - 16 * np.log(256)
    np.testing.assert_allclose(total, model.log_prob(IMAGES), rtol=1e-5)
    by_two = views.terms(model, IMAGES, batch_size=4)
    np.testing.assert_allclose(by_two["log_p_z"], found["log_p_z"], rtol=1e-5)


def test_a_vae_shows_its_posterior():
    model = VAE(
        (8, 8, 1), latent_size=3, architecture="small", likelihood="logistic", num_importance_samples=2
    )
    images = np.random.default_rng(1).integers(0, 256, [5, 8, 8, 1]).astype(np.uint8)
    assert views.reconstructions(model, images).shape == images.shape
    found, bound = views.terms(model, images), model.elbo(images, seed=views.SEED, shared_noise=True)
    np.testing.assert_allclose(found["log_p_x_given_z"] - found["kl"], bound.elbo, rtol=1e-6)
    assert views.samples(model, 3).images.shape == (3, 8, 8, 1)


def test_a_pixelcnn_shows_samples():
    """Always the same ones, until its weights change; it has no latent to decode."""
    model = PixelCNN((4, 4, 1), num_resnet=1, num_hierarchies=1, num_filters=4, num_logistic_mix=2)
    first, again = (views.samples(model, 3) for _ in range(2))
    assert first.images.shape == (3, 4, 4, 1) and first.images.dtype == np.uint8 and first.not_finite == 0
    np.testing.assert_array_equal(first.images, again.images)
    for variable in model.trainable_variables:
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [1, 2], dtype=variable.dtype))
    assert (views.samples(model, 3).images != first.images).any()
    assert views.reconstructions(model, first.images) is None


def test_other_models_have_neither():
    class Alone:
        def log_prob(self, images):
            return tf.zeros(len(images))

    assert views.samples(Alone(), 2) is None and views.reconstructions(Alone(), IMAGES) is None
    assert views.terms(Alone(), IMAGES) == {}


def test_a_sample_is_evenly_spaced():
    assert looks.sample(np.arange(1_000), 5).tolist() == [0, 250, 500, 749, 999]
    assert looks.sample(np.arange(3), 5).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "values", [[3.0] * 5, [2.0], [1e30, 4.0, 5.0], [1e300, -1e300], np.linspace(3, 4, 99)]
)
def test_any_finite_values_can_be_drawn(values):
    """A training of days must not end in a picture."""
    shown = {"validation": np.array(values), "strange": np.array([1e9, 4.0]), "one": np.array([4.0])}
    assert drawing.histograms(shown, "step 1").shape[-1] == 3


def test_images_are_laid_out_with_their_counterparts_below():
    shown = drawing.pairs(IMAGES, 255 - IMAGES, columns=4)
    assert shown.shape == (4 * 64 + 3 * 2, 4 * 64 + 3 * 2, 1)
    np.testing.assert_array_equal(shown[:64:16, :64:16, 0], IMAGES[0, ..., 0])
    np.testing.assert_array_equal(shown[66:130:16, :64:16, 0], 255 - IMAGES[0, ..., 0])
    np.testing.assert_array_equal(shown[132:196:16, 66:130:16, 0], IMAGES[5, ..., 0])
    two = drawing.grid(np.stack([np.zeros([70, 70, 2]), np.full([70, 70, 2], 9)]).astype(np.uint8), 2)
    assert two.shape == (70, 142, 1) and two[0, -1, 0] == 9
