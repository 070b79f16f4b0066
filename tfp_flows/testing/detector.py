"""The contract of detectors of out-of-distribution images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# A detector is Any here: what a `detectors.Detector` is, rooms above this one know.
COSTS = ("fast", "slow", "jacobian")


def check_detector(
    build: Callable[[], Any],
    fit_images: np.ndarray,
    calibration_images: np.ndarray,
    images: np.ndarray,
    rtol: float = 2e-4,
    atol: float = 2e-3,
    build_other: Callable[[], Any] | None = None,
) -> Any:
    """Puts a detector of out-of-distribution images through its contract.

    What needs `fit` or `calibrate` says so; a score is float32, finite, and depends on neither batch nor
    order; p-values are those of split conformal prediction; images that are none are refused in one line;
    what the class declares of its statistics is true; an exportable score runs inside a graph, traced once
    for any batch; maps are finite, one value for each pixel, or are said not to be.

    Args:
      build: Callable without arguments, a new, unfitted `detectors.Detector` at each call.
      fit_images: uint8 `[N, H, W, C]`; or, of a model of vectors, float32 `[N, D]`, and all others likewise.
      calibration_images: Others.
      images: uint8 `[B, H, W, C]`, B >= 3, to be scored.
      rtol: Allowed relative difference of scores between batch sizes.
      atol: Allowed absolute difference.
      build_other: As `build`, on the same models, with other values of the settings that are declared not to
        matter to the statistics; None where there are no such settings.

    Returns:
      The detector, fitted and calibrated.

    Raises:
      AssertionError: With the check that failed.
    """
    detector = build()
    if detector._needed():
        _check_refused_in_one_line(lambda: detector.score(images), "call fit first")
    detector.fit(fit_images)
    _check_refused_in_one_line(lambda: detector.p_value(images), "call calibrate first")
    detector.calibrate(calibration_images)
    scores = detector.score(images)
    assert scores.dtype == np.float32 and scores.shape == (len(images),), f"{scores.dtype} {scores.shape}"
    assert np.isfinite(scores).all() and np.ptp(scores) > 0, f"the scores are {scores}"
    close: dict[str, Any] = dict(rtol=rtol, atol=atol)
    in_turn = np.concatenate([detector.score(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(in_turn, scores, **close, err_msg="depends on the batch size")
    reverse = detector.score(images[::-1])[::-1]
    np.testing.assert_allclose(reverse, scores, **close, err_msg="depends on the order")
    np.testing.assert_array_equal(detector.score(images.astype(np.float64)), detector.score(images))
    assert detector.score(images[:0]).shape == (0,), "no images give no scores"
    reference = detector.score(calibration_images)
    expected = [(1 + (reference >= s).sum()) / (len(reference) + 1) for s in scores]
    np.testing.assert_allclose(detector.p_value(images), expected, rtol=1e-6, err_msg="p-values")
    np.testing.assert_array_equal(detector.predict(images, 0.5), np.array(expected) <= 0.5)
    _check_detector_refuses(detector, images)
    _check_declarations(detector, images, close)
    if build_other is not None:
        _check_settings_that_do_not_matter(detector, build_other().fit(fit_images), images)
    _check_graph_score(detector, images, scores)
    _check_maps(detector, images, close)
    return detector


def _check_maps(detector, images, close):
    """A map is finite, `[N, H, W]`, and no other's business; where there is none, one line says so."""
    if detector.maps.why_none():
        _check_refused_in_one_line(lambda: detector.score_map(images), "there is no map of pixels")
        return
    assert images.ndim == 4, "vectors have no map of pixels"
    maps = detector.score_map(images)
    assert maps.dtype == np.float32 and maps.shape == images.shape[:3], f"{maps.dtype} {maps.shape}"
    assert np.isfinite(maps).all(), "a map is not finite"
    in_turn = np.concatenate([detector.score_map(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(in_turn, maps, **close, err_msg="maps depend on the batch size")
    assert detector.score_map(images[:0]).shape == (0, *images.shape[1:3]), "no images give no maps"


def _check_detector_refuses(detector, images):
    if images.ndim == 4:
        wrongs = (
            (images[:, 1:], "images must have shape"),
            (images[0], "images must have shape"),
            (images + 0.5, "0..255"),
            (images.astype(int) + 300, "0..255"),
            (images.astype(str), "0..255"),
        )
    else:
        wrongs = (
            (images[:, 1:], "vectors must have shape"),
            (images[0], "vectors must have shape"),
            (images[..., np.newaxis], "vectors must have shape"),
            (images * np.nan, "must be finite"),
            (images.astype(np.float64) + 1e300, "must be finite"),
            (images.astype(str), "vectors must be numbers"),
        )
    for wrong, message in wrongs:
        _check_refused_in_one_line(lambda wrong=wrong: detector.score(wrong), message)


def _check_declarations(detector, images, close):
    """What the class says of its statistics, and the study of detectors and the exports rely on."""
    assert detector.cost in COSTS, f"cost is {detector.cost!r}; it must be one of {COSTS}"
    unknown = set(detector.settings_of_statistics or ()) - set(detector.settings)
    assert not unknown, f"settings_of_statistics names {unknown}, which are no settings"
    statistics = detector.statistics(images)
    if detector.models and detector.log_prob_first:
        expected = _log_prob(detector.models[0], images)
        message = "log_prob_first is declared, and the first statistic is not log_prob"
        np.testing.assert_allclose(statistics[:, 0], expected, **close, err_msg=message)
    if detector.statistics_name == "log_prob":
        shared = statistics.shape == (len(images), 1) and detector.log_prob_first and not detector.prepares
        assert shared, "statistics_name is log_prob, and the statistics are not log_prob alone"


def _log_prob(model, images):
    dtype = getattr(model, "dtype", tf.float32)
    return model.log_prob(tf.cast(images, dtype if dtype.is_floating else tf.float32))


def _check_settings_that_do_not_matter(detector, other, images):
    changed = {k for k, v in detector.settings.items() if other.settings[k] != v}
    declared = detector.settings_of_statistics
    assert changed and declared is not None and not changed & set(declared), (
        f"build_other changes {changed or 'nothing'}; settings_of_statistics is {declared}"
    )
    assert detector.identity_of_statistics(detector.settings) == other.identity_of_statistics(other.settings)
    np.testing.assert_array_equal(
        other.statistics(images),
        detector.statistics(images),
        err_msg=f"the statistics depend on {changed}, which settings_of_statistics leaves out",
    )


def _check_graph_score(detector, images, scores):
    if not detector.exportable:
        _check_refused_in_one_line(lambda: detector.graph_score(tf.constant(images)), "cannot be exported")
        return
    signature = [tf.TensorSpec([None, *images.shape[1:]], images.dtype)]
    function = tf.function(detector.graph_score, input_signature=signature, autograph=False)  # as exports
    np.testing.assert_allclose(function(images), scores, rtol=1e-5, atol=1e-4, err_msg="in a graph")
    function(images[:1])
    assert function.experimental_get_tracing_count() == 1, "traced anew for another batch size"


def _check_refused_in_one_line(call, message):
    try:
        call()
    except ValueError as error:
        assert message in str(error) and "\n" not in str(error), f"unclear message: {error}"
    else:
        raise AssertionError(f"nothing was refused; expected {message!r}")
