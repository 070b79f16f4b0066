"""The VAE: its bound against closed forms, its likelihoods, and the contract of density models."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae
from tfp_flows import testing
from tfp_flows.numerics import Seed
from vae.importance import importance_weighted_log_prob
from vae.likelihoods import LIKELIHOODS
from vae.posterior import Posterior

tfd = tfp.distributions
SMALL = dict(architecture="small", latent_size=3)


def _images(shape, count=5, binary=False):
    images = np.random.default_rng(0).integers(0, 256, [count, *shape]).astype(np.uint8)
    return np.where(images > 127, 255, 0).astype(np.uint8) if binary else images


class LinearGaussian:
    """p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I): log p(x) and p(z | x) are known."""

    def __init__(self, widen=1.0, shift=0.0):
        rng = np.random.default_rng(0)
        self.w, self.b, self.s = rng.standard_normal([5, 2]), rng.standard_normal(5), 0.7
        self.x = rng.standard_normal([6, 5])
        self.prior = tfd.MultivariateNormalDiag(np.zeros(2))
        self._precision = np.eye(2) + self.w.T @ self.w / self.s**2
        self._widen, self._shift = widen, shift

    def exact(self):
        covariance = self.w @ self.w.T + self.s**2 * np.eye(5)
        return tfd.MultivariateNormalTriL(self.b, np.linalg.cholesky(covariance)).log_prob(self.x).numpy()

    def encoder(self, x):
        mean = (x - self.b) @ self.w / self.s**2 @ np.linalg.inv(self._precision)
        scale = self._widen * np.linalg.cholesky(np.linalg.inv(self._precision))
        return tfd.MultivariateNormalTriL(mean + self._shift, scale)

    def decoder(self, z):
        return tfd.MultivariateNormalDiag(tf.linalg.matvec(self.w, z) + self.b, np.full(5, self.s))

    def estimate(self, num_samples, chunk=1, seed=0):
        """An `ImportanceEstimate` of arrays."""
        return tf.nest.map_structure(np.asarray, self.graph(num_samples, chunk, seed))

    def graph(self, num_samples, chunk=1, seed=0):
        return importance_weighted_log_prob(
            tf.constant(self.x), self.prior, self.encoder, self.decoder, num_samples, chunk, seed
        )


def test_bound_converges_to_the_closed_form():
    model = LinearGaussian(widen=1.3, shift=0.2)
    estimate = tf.nest.map_structure(np.asarray, tf.function(model.graph)(4_000, chunk=50))
    error = np.abs(estimate.log_prob - model.exact())
    assert (error < 4 * estimate.standard_error).all() and (error < 0.1).all()
    assert (np.abs(model.estimate(1).log_prob - model.exact()) > 0.1).any()


def test_exact_posterior_is_exact_with_one_sample():
    model = LinearGaussian()
    estimate = model.estimate(1)
    np.testing.assert_allclose(estimate.log_prob, model.exact(), rtol=1e-12)
    assert np.isnan(estimate.standard_error).all()
    np.testing.assert_allclose(model.estimate(9).standard_error, np.zeros(6), atol=1e-6)


def test_bound_never_decreases_in_the_number_of_samples():
    model = LinearGaussian(widen=1.5, shift=0.3)
    means, errors = [], []
    for num_samples in (1, 2, 8, 64):
        estimate = tf.function(lambda seed, k=num_samples: model.graph(k, k, seed).log_prob)
        values = np.array([estimate(tf.constant(seed)).numpy().mean() for seed in range(150)])
        means.append(values.mean())
        errors.append(values.std() / np.sqrt(len(values)))
    assert (np.diff(means) > 2 * np.hypot(errors[:-1], errors[1:])).all(), means
    assert means[-1] < model.exact().mean() + 2 * errors[-1]


@pytest.mark.parametrize("chunk", [1, 3, 7, 20])
def test_result_does_not_depend_on_the_chunk(chunk):
    model = LinearGaussian(widen=1.3)
    for ours, theirs in zip(model.estimate(7, chunk), model.estimate(7, 7), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    compiled = tf.function(lambda: model.graph(7, chunk))()
    np.testing.assert_allclose(compiled.log_prob, model.estimate(7, 7).log_prob, rtol=1e-9)


def test_standard_error_is_the_spread_over_seeds():
    model = LinearGaussian(widen=1.3, shift=0.2)
    estimate = tf.function(lambda seed: model.graph(200, 25, seed))
    found = [estimate(tf.constant(seed)) for seed in range(200)]
    spread = np.std([f.log_prob.numpy() for f in found], axis=0)
    claimed = np.mean([f.standard_error.numpy() for f in found], axis=0)
    np.testing.assert_allclose(claimed, spread, rtol=0.25)


def test_bad_numbers_of_samples_are_refused():
    for arguments, name in (((0,), "num_samples"), ((2, 0), "chunk"), ((1.5,), "num_samples")):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
            LinearGaussian().estimate(*arguments)


@pytest.mark.parametrize("likelihood", ["categorical", "logistic", "bernoulli"])
@pytest.mark.parametrize("shape", [(7, 5, 1), (4, 4, 3)])
def test_contract(likelihood, shape):
    model = vae.VAE(shape, likelihood=likelihood, num_importance_samples=4, **SMALL)
    images = _images(shape, binary=likelihood == "bernoulli")
    testing.check_density_model(model, images)
    assert model.reconstruct(images, seed=0).shape == images.shape


@pytest.mark.parametrize("likelihood", ["categorical", "logistic"])
def test_pixels_are_normalised(likelihood):
    """Over all 256 levels of each of the channels: one pixel of two channels, at random outputs."""
    kind = LIKELIHOODS[likelihood]
    outputs = 2 * np.random.default_rng(0).standard_normal([1, 1, 1, kind.num_outputs(2, 3)])
    every = np.array(list(itertools.product(range(256), repeat=2)), np.float64).reshape([-1, 1, 1, 2])
    log_prob = kind.distribution(tf.constant(outputs), 2, 3).log_prob(every)
    np.testing.assert_allclose(tf.reduce_logsumexp(log_prob), 0, atol=1e-6)


def test_total_mass_of_binary_images_is_one():
    model = vae.VAE(
        (2, 2, 1), likelihood="bernoulli", num_importance_samples=4_000, dtype=tf.float64, **SMALL
    )
    testing.perturb(model, scale=0.05)
    every = np.array(list(itertools.product([0, 255], repeat=4)), np.uint8).reshape([16, 2, 2, 1])
    compiled = tf.function(model.log_prob_and_standard_error, autograph=False)
    log_prob, error = (v.numpy() for v in compiled(every))
    probabilities = np.exp(log_prob)
    tolerance = 3 * (probabilities * error).sum()  # the noise is shared: errors do not average out
    assert tolerance < 0.1
    assert probabilities.sum() == pytest.approx(1, abs=tolerance)
    # Not one operation after another: there are 4,000 samples of dozens of them.
    assert np.isneginf(tf.function(model.log_prob, autograph=False)(np.full([1, 2, 2, 1], 7)))


@pytest.mark.parametrize("likelihood", ["categorical", "logistic", "bernoulli"])
def test_samples_have_the_likelihoods_probabilities(likelihood):
    """Given one latent: frequencies of a pixel's levels over 4,000 draws against its probabilities."""
    kind = LIKELIHOODS[likelihood]
    outputs = tf.constant(np.random.default_rng(1).standard_normal([1, 1, kind.num_outputs(1, 2)]))
    distribution = kind.distribution(outputs, 1, 2)
    drawn = distribution.sample(4_000, seed=(0, 1)).numpy().ravel()
    every = np.arange(256.0).reshape([-1, 1, 1, 1])
    cumulative = np.cumsum(np.exp(distribution.log_prob(every)))
    found = np.cumsum(np.bincount(drawn.astype(int), minlength=256)) / len(drawn)
    assert np.abs(found - cumulative).max() < 1.95 / np.sqrt(len(drawn))  # Kolmogorov, p = 0.001


@pytest.mark.parametrize("likelihood", ["categorical", "logistic", "bernoulli"])
def test_decoders_know_their_mean_and_variance(likelihood):
    """Of each pixel and channel, against sums over all pairs of levels of two channels."""
    kind = LIKELIHOODS[likelihood]
    outputs = 2 * np.random.default_rng(2).standard_normal([1, 1, kind.num_outputs(2, 3)])
    distribution = kind.distribution(tf.constant(outputs), 2, 3)
    every = np.array(list(itertools.product(range(256), repeat=2)), np.float64)
    probability = np.exp(distribution.log_prob(every[:, None, None, :]))
    mean = probability @ every
    np.testing.assert_allclose(distribution.mean()[0, 0], mean, rtol=1e-5)
    np.testing.assert_allclose(distribution.variance()[0, 0], probability @ (every - mean) ** 2, rtol=1e-4)
    np.testing.assert_allclose(distribution.stddev() ** 2, distribution.variance(), rtol=1e-6)


def test_elbo_is_reconstruction_less_kl():
    model = vae.VAE((4, 4, 1), likelihood="logistic", dtype=tf.float64, **SMALL)
    images = _images((4, 4, 1))
    posterior = model.encode(images)
    z = posterior.sample(20_000, seed=(0, 0))
    monte_carlo = tf.reduce_mean(posterior.log_prob(z) - model.prior.log_prob(z), axis=0)
    np.testing.assert_allclose(model.elbo(images, 0).kl, monte_carlo, rtol=0.05)
    elbo = tf.function(lambda seed: model.elbo(images, seed).elbo, autograph=False)
    many = [elbo(tf.constant(seed)) for seed in range(300)]
    weighted = vae.VAE((4, 4, 1), likelihood="logistic", dtype=tf.float64, **SMALL)  # K = 64
    slack = 4 * np.std(many, axis=0) / np.sqrt(300)
    assert (np.mean(many, axis=0) < weighted.log_prob(images).numpy() + slack).all()


def test_training_objectives():
    """K = 1 is the ELBO with the exact KL; more samples are the bound, with noise of each image's own."""
    images = np.repeat(_images((4, 4, 1), 1), 3, axis=0)
    for count in (1, 5):
        model = vae.VAE((4, 4, 1), likelihood="logistic", num_importance_samples=count, **SMALL)
        with tf.GradientTape() as tape:
            values = model.training_log_prob(images, tf.constant([0, 3]))
            loss = -tf.reduce_mean(values)
        assert len(np.unique(values)) == 3, "equal images had equal noise"
        for gradient in tape.gradient(loss, model.trainable_variables):
            assert np.isfinite(gradient).all()


def test_seeds():
    one, other = (vae.VAE((4, 4, 1), seed=seed, **SMALL) for seed in (0, 0))
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    images = _images((4, 4, 1))
    assert (one.log_prob(images, seed=0) == one.log_prob(images)).numpy().all()
    assert (one.log_prob(images, seed=1) != one.log_prob(images)).numpy().any()
    assert (one.sample(2).numpy() != one.sample(2).numpy()).any()


class _Exported(tf.Module):
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
    model = vae.VAE((4, 4, 1), likelihood="logistic", num_importance_samples=5, **SMALL)
    tf.saved_model.save(_Exported(model), str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    images = _images((4, 4, 1))
    np.testing.assert_allclose(loaded.log_prob(images), model.log_prob(images), rtol=1e-5)
    np.testing.assert_array_equal(loaded.draw(3, tf.constant([0, 5])), model.sample(3, seed=(0, 5)))


def test_bad_images_are_refused_by_every_method():
    model = vae.VAE((4, 4, 1), **SMALL)
    for call in (model.encode, lambda x: model.elbo(x, 0), model.log_prob_and_standard_error):
        with pytest.raises(ValueError, match="integer grey levels 0..255, got 0.5"):
            call(np.full([1, 4, 4, 1], 0.5))
    with pytest.raises(ValueError, match="must be .height, width, channels., got .4, 4."):
        vae.VAE((4, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(latent_size=0), "`latent_size` must be a positive integer, got 0"),
        (dict(architecture="big"), "`architecture` must be one of rosca, small, got 'big'"),
        (dict(likelihood="normal"), "`likelihood` must be one of categorical, logistic, bernoulli"),
    ],
)
def test_mistakes_get_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        vae.VAE((4, 4, 1), **arguments)


def test_posterior_can_be_copied():
    posterior = Posterior(tf.zeros([2, 3]), tf.ones([2, 3]), shared_noise=True)
    copy = posterior.copy(loc=tf.ones([2, 3]))
    np.testing.assert_allclose(
        copy.sample(4, seed=(1, 2)), posterior.sample(4, seed=(1, 2)) + 1.0, rtol=1e-6
    )


@pytest.mark.parametrize("chunk", [2, 3, 6])
def test_parts_of_a_batch_get_the_bounds_of_the_whole(chunk):
    """Also where the samples are decoded in chunks, each with a seed of its own."""
    x = np.random.default_rng(0).standard_normal([6, 2])
    prior = tfd.MultivariateNormalDiag(np.zeros(2))

    def bound(x, seed):
        return importance_weighted_log_prob(
            x,
            prior,
            lambda x: tfd.Independent(Posterior(x, 0.5 * tf.ones_like(x)), 1),
            lambda z: tfd.MultivariateNormalDiag(z, np.full(2, 0.7)),
            6,
            chunk,
            seed,
        ).log_prob

    whole = bound(tf.constant(x), (1, 2))
    parts = [bound(tf.constant(x[2 * i : 2 * i + 2]), Seed.of((1, 2)).part(i, 3)) for i in range(3)]
    np.testing.assert_allclose(tf.concat(parts, 0), whole, rtol=1e-12)


def test_a_copy_is_the_same_model():
    model = vae.VAE((4, 4, 1), likelihood="logistic", num_importance_samples=4, **SMALL)
    model.run_reference = "a run"
    testing.perturb(model)
    images = _images((4, 4, 1))
    for same in (model.copy(), model[...], model.copy(name="other").copy()):
        np.testing.assert_array_equal(same.log_prob(images), model.log_prob(images))
        assert [v.ref() for v in same.variables] == [v.ref() for v in model.variables]
    assert model.copy().run_reference == "a run"
    tighter = model.copy(num_importance_samples=256)
    model.trainable_variables[0].assign_add(tf.ones_like(model.trainable_variables[0]))
    fresh = vae.VAE((4, 4, 1), likelihood="logistic", num_importance_samples=256, **SMALL)
    for theirs, own in zip(fresh.variables, model.variables, strict=True):
        theirs.assign(own)
    np.testing.assert_array_equal(tighter.log_prob(images), fresh.log_prob(images))


@pytest.mark.parametrize("settings", [{"latent_size": 4}, {"seed": 1}, {"likelihood": "bernoulli"}])
def test_a_copy_cannot_have_other_networks(settings):
    model = vae.VAE((4, 4, 1), likelihood="logistic", **SMALL)
    (argument,) = settings
    with pytest.raises(ValueError, match=f"vae: a copy has the weights of the model, whose `{argument}` is"):
        model.copy(**settings)
    assert model.copy(latent_size=3).encode(_images((4, 4, 1))).event_shape == [3]


def test_the_map_of_an_impossible_image_is_finite():
    model = vae.VAE((8, 8, 1), architecture="small", latent_size=2, likelihood="bernoulli")
    images = np.zeros([2, 8, 8, 1], np.uint8)
    images[1, 0, 0] = 7  # neither 0 nor 255
    shares, log_prob = model.log_prob_map(images).numpy(), model.log_prob(images).numpy()
    assert not np.isnan(shares).any() and np.isfinite(np.delete(shares[1].reshape(-1), 0)).all()
    np.testing.assert_allclose(shares.sum(axis=(1, 2)), log_prob, rtol=1e-5)
    assert log_prob[1] == -np.inf
