"""A VAE that is given a vector: p(x | h) is a probability, of each image's own h, and what it refuses."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import vae
from tfp_flows import testing

SMALL = dict(architecture="small", latent_size=3)
IMAGES = np.random.default_rng(0).integers(0, 256, [5, 4, 4, 1]).astype(np.uint8)
CLASSES = np.eye(3)[[0, 2, 1, 1, 0]]


def _model(**more):
    settings = dict(likelihood="logistic", num_importance_samples=4, dtype=tf.float64)
    model = vae.VAE((4, 4, 1), condition_size=3, **SMALL, **{**settings, **more})
    testing.perturb(model, scale=0.1)
    return model


def test_given_nothing_of_its_condition_it_is_the_model_without_one():
    """The weights from the condition set to 0, all others copied to a VAE that has none."""
    model = _model()
    plain = vae.VAE((4, 4, 1), likelihood="logistic", num_importance_samples=4, dtype=tf.float64, **SMALL)
    assert len(model.variables) == len(plain.variables) + 2
    (dense,) = [v for v in model.variables if v.shape.rank == 2 and v.shape[0] == 3 + 3]
    given = model.parameters["encoder"]._given.variables
    before = model.log_prob(IMAGES, condition=CLASSES).numpy()
    for variable in given:
        variable.assign(tf.zeros_like(variable))
    dense.assign(tf.concat([dense[:3], tf.zeros_like(dense[3:])], 0))
    others = [v for v in model.variables if not any(v is one for one in given)]
    for own, theirs in zip(plain.variables, others, strict=True):
        own.assign(theirs[:3] if theirs is dense else theirs)
    np.testing.assert_allclose(model.log_prob(IMAGES, condition=CLASSES), plain.log_prob(IMAGES), rtol=1e-12)
    assert np.abs(before - plain.log_prob(IMAGES)).min() > 1e-3


def test_total_mass_given_each_class_is_one():
    model = vae.VAE(
        (2, 2, 1),
        condition_size=2,
        likelihood="bernoulli",
        num_importance_samples=4_000,
        dtype=tf.float64,
        **SMALL,
    )
    testing.perturb(model, scale=0.05)
    every = np.array(list(itertools.product([0, 255], repeat=4)), np.uint8).reshape([16, 2, 2, 1])
    estimate = tf.function(lambda h: model.log_prob_and_standard_error(every, condition=h), autograph=False)
    found = []
    for one in np.eye(2):
        log_prob, error = (v.numpy() for v in estimate(tf.constant(one)))
        found.append(np.exp(log_prob))
        tolerance = 3 * (found[-1] * error).sum()
        assert tolerance < 0.15 and found[-1].sum() == pytest.approx(1, abs=tolerance)
    assert np.abs(found[0] - found[1]).max() > 0.002, "the class says nothing"


def test_each_image_has_its_own_condition_whatever_the_batch():
    model = _model()
    whole = model.log_prob(IMAGES, condition=CLASSES).numpy()
    alone = [model.log_prob(IMAGES[i : i + 1], condition=CLASSES[i]).numpy()[0] for i in range(5)]
    np.testing.assert_allclose(whole, alone, rtol=1e-12)
    other = model.log_prob(IMAGES, condition=CLASSES[::-1].copy()).numpy()
    assert (whole != other).tolist() == [False, True, False, True, False]
    shares = model.log_prob_map(IMAGES, condition=CLASSES)
    np.testing.assert_allclose(tf.reduce_sum(shares, [1, 2]), whole, rtol=1e-10)
    one = vae.VAE((4, 4, 1), condition_size=3, likelihood="logistic", num_importance_samples=1, **SMALL)
    parts = one.elbo(IMAGES, 3, condition=CLASSES)
    np.testing.assert_array_equal(one.training_log_prob(IMAGES, 3, condition=CLASSES), parts.elbo)
    drawn = model.sample([2, 5], condition=np.tile(CLASSES, [2, 1]), seed=0)
    assert drawn.shape == [2, 5, 4, 4, 1]
    np.testing.assert_array_equal(
        drawn, model.copy().sample([2, 5], condition=np.tile(CLASSES, [2, 1]), seed=0)
    )
    assert model.reconstruct(IMAGES, seed=0, condition=CLASSES).shape == IMAGES.shape


def test_encoder_and_decoder_are_both_given_it():
    model = _model()
    posterior = [model.encode(IMAGES, condition=one).mean().numpy() for one in np.eye(3)]
    assert np.abs(posterior[0] - posterior[1]).min() > 0
    decoded = model.decode(tf.zeros([3, 3], tf.float64), np.eye(3)).mean().numpy()
    assert np.abs(decoded[0] - decoded[1]).min() > 0
    pair = model.decode(tf.zeros([2, 3, 3], tf.float64), np.eye(3)).mean().numpy()
    np.testing.assert_array_equal(pair[1], decoded)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.log_prob(IMAGES), r"takes `condition` \[N, 3\]"),
        (lambda model: model.sample(2), r"takes `condition` \[N, 3\]"),
        (lambda model: model.decode(tf.zeros([2, 3], tf.float64)), r"takes `condition` \[N, 3\]"),
        (lambda model: model.encode(IMAGES, condition=np.eye(4)[:1]), r"shape \[N, 3\], got \(1, 4\)"),
        (lambda model: model.elbo(IMAGES, 0, condition=CLASSES[:2]), "5 images, but `condition` has 2 rows"),
        (lambda model: model.copy(condition_size=2), "whose `condition_size` is"),
        (lambda model: vae.VAE((4, 4, 1), condition_size=-1), "`condition_size` must be a positive"),
        (lambda model: vae.VAE((4, 4, 1), **SMALL).log_prob(IMAGES, condition=CLASSES), "no `condition`"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(_model())
    assert "\n" not in str(error.value)
