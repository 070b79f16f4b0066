"""The contract of density models over integer images."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd


def check_density_model(model: tfd.Distribution, images: np.ndarray, atol: float = 1e-3) -> None:
    """Puts a density model over integer images through its contract.

    uint8 and other integer types are accepted and agree; values that are no grey level are refused;
    `log_prob` is deterministic and depends on neither batch nor order; samples are grey levels;
    a copy is the same model; the shares of pixels, if it tells them, sum to `log_prob`; its mean and
    deviation, if it offers them, are those of its samples.

    Args:
      model: `tfd.Distribution` with events `[H, W, C]`.
      images: uint8 `[B, H, W, C]`, B >= 3.
      atol: Allowed difference in nats between batch sizes.
    """
    images = np.asarray(images)
    log_prob = model.log_prob(images).numpy()
    assert log_prob.shape == (len(images),), f"log_prob has shape {log_prob.shape}"
    assert np.isfinite(log_prob).all() and (log_prob < 0).all(), f"log_prob is {log_prob}"
    for other in (tf.constant(images), images.astype(np.int64), images.astype(np.float32)):
        np.testing.assert_array_equal(model.log_prob(other), log_prob)
    in_turn = [model.log_prob(images[i : i + 1]).numpy()[0] for i in range(len(images))]
    np.testing.assert_allclose(in_turn, log_prob, atol=atol, err_msg="depends on the batch size")
    np.testing.assert_allclose(
        model.log_prob(images[::-1]).numpy()[::-1], log_prob, atol=atol, err_msg="depends on order"
    )
    np.testing.assert_allclose(model.log_prob(images[0]), log_prob[0], atol=atol)
    assert model.log_prob(images[:0]).shape == (0,), "no images give no log-probabilities"
    for wrong in (300, -1, 0.5, np.nan):
        bad = images.astype(np.float64)
        bad[0, 0, 0, 0] = wrong
        _check_refused(model, bad, wrong)
    for same in (model.copy(), model[...]):
        np.testing.assert_array_equal(same.log_prob(images), log_prob, err_msg="a copy is another model")
    check_shares(model, images, atol)
    assert model.batch_shape == [], f"batch_shape is {model.batch_shape}, but one model gives one log p"
    check_moments(model)
    sample = model.sample(2, seed=(3, 4)).numpy()
    assert sample.shape == (2, *images.shape[1:]), f"samples have shape {sample.shape}"
    assert ((sample >= 0) & (sample <= 255) & (sample == np.floor(sample))).all()
    np.testing.assert_array_equal(model.sample(2, seed=(3, 4)), sample, err_msg="seed ignored")


def check_shares(model: Any, images: np.ndarray, atol: float = 1e-3) -> None:
    """`log_prob_map`, `pixel_log_probs`, `log_prob_shares`: those that a model has sum to its `log_prob`.

    Args:
      model: Any object with `log_prob`.
      images: uint8 `[B, H, W, C]`.
      atol: Allowed difference in nats.

    Raises:
      AssertionError: Naming the method.
    """
    size = images.shape[:3]
    for name, ndims in (("log_prob_map", 3), ("pixel_log_probs", 3), ("log_prob_shares", 4)):
        if not hasattr(model, name):
            continue
        found = np.asarray(getattr(model, name)(images), np.float64)
        fits = found.ndim == ndims and found.shape[:3] == size
        assert fits, f"{name} has shape {found.shape}, not {list(size)}{' and terms' if ndims == 4 else ''}"
        total = found.reshape([len(images), -1]).sum(axis=1)
        message = f"{name} does not sum to log_prob"
        np.testing.assert_allclose(total, model.log_prob(images), rtol=1e-5, atol=atol, err_msg=message)


def check_moments(distribution: tfd.Distribution, num_samples: int = 400, seed: int = 0) -> None:
    """`mean()` and `stddev()`, where the distribution offers them, are those of its samples.

    Allowed are six standard errors of each (that of the deviation by the fourth moment).

    Args:
      distribution: `tfd.Distribution`.
      num_samples: Positive `int`, how many samples are drawn.
      seed: Python `int`, of the samples.

    Raises:
      AssertionError: Naming the moment and by how many standard errors it is off.
    """
    offered = {}
    for moment in ("mean", "stddev"):
        try:
            offered[moment] = np.asarray(getattr(distribution, moment)(), np.float64)
        except NotImplementedError:
            continue
    if not offered:
        return
    samples = np.asarray(distribution.sample(num_samples, seed=(seed, 0)), np.float64)
    deviations = samples - samples.mean(0)
    variance, fourth = (deviations**2).mean(0), (deviations**4).mean(0)
    errors = {"mean": np.sqrt(variance), "stddev": np.sqrt((fourth - variance**2) / (4 * variance + 1e-12))}
    found = {"mean": samples.mean(0), "stddev": np.sqrt(variance)}
    for moment, value in offered.items():
        error = errors[moment] / np.sqrt(num_samples) + 1e-6
        off = float(np.max(abs(found[moment] - value) / error))
        assert off < 6, f"{moment}() is {off:.1f} standard errors from that of its samples"


def _check_refused(model, images, value):
    try:
        model.log_prob(images)
    except ValueError as error:
        assert "0..255" in str(error), f"unclear message for the value {value}: {error}"
    else:
        raise AssertionError(f"log_prob accepted the value {value}")
