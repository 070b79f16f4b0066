"""What an evaluation says of a mixture of classes: log p of images, of each class, and how sure that is."""

import numpy as np
import pytest
import tensorflow as tf

import pixelcnn
import tfp_flows
import vae
from tfp_flows import testing
from tfp_flows.evaluation import by_class, run_evaluation

PROBS = np.array([1.0, 2.0, 5.0]) / 8
IMAGES = np.random.default_rng(0).integers(0, 256, [5, 8, 8, 1], np.uint8)


def _vae():
    model = vae.VAE(
        (8, 8, 1),
        condition_size=3,
        latent_size=2,
        architecture="small",
        num_importance_samples=4,
        dtype=tf.float64,
    )
    testing.perturb(model, scale=0.1)
    return model


def _glow():
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4, dtype="float64")
    flow = tfp_flows.glow(config, (8, 8, 1), condition_channels=3)
    testing.perturb(flow, scale=0.3)
    return tfp_flows.Dequantized(flow, num_samples=3)


@pytest.mark.parametrize("make", [_vae, _glow])
def test_the_error_of_a_mixture_is_that_of_its_classes_by_their_posterior(make):
    """Class by class, with the model's own methods, outside any graph."""
    model = tfp_flows.ClassMixture(make(), PROBS, "abc")
    of_class = getattr(model.conditional, "log_prob_and_standard_error", None) or model.conditional.estimate
    classes = tf.repeat(tf.eye(3, dtype=tf.float64)[:, tf.newaxis], len(IMAGES), axis=1)
    each = [of_class(tf.constant(IMAGES), condition=one) for one in classes]
    log_probs, errors = (np.stack([np.asarray(one[part]) for one in each], axis=1) for part in (0, 1))
    joint = log_probs + np.log(PROBS)
    total = np.log(np.exp(joint - joint.max(1, keepdims=True)).sum(1)) + joint.max(1)
    found = by_class.compiled_joint(model)(IMAGES).numpy()
    np.testing.assert_allclose(found[:, 0], total, rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], (np.exp(joint - total[:, None]) * errors).sum(1), rtol=1e-6)
    np.testing.assert_allclose(found[:, 2:], joint, rtol=1e-9)
    assert (errors > 0).all()
    image_set = tfp_flows.data.ImageSet("own", "test", IMAGES, np.arange(5) % 3, tuple("12345"))
    judged = run_evaluation._judging(model, 2)(image_set, None)
    np.testing.assert_allclose(judged.error, found[:, 1].mean(), rtol=1e-9)
    np.testing.assert_allclose(judged.scores, total, rtol=1e-9)


def test_what_is_no_estimate_has_no_error():
    conditional = pixelcnn.PixelCNN(
        (8, 8, 1), condition_size=3, num_resnet=1, num_hierarchies=2, num_filters=4
    )
    model = tfp_flows.ClassMixture(conditional, PROBS, "abc")
    image_set = tfp_flows.data.ImageSet("own", "test", IMAGES, np.arange(5) % 3, tuple("12345"))
    judged = run_evaluation._judging(model, 2)(image_set, None)
    assert judged.error is None and np.isfinite(judged.scores).all()
