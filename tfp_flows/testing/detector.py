"""The contract of detectors of out-of-distribution images."""

import numpy as np
import tensorflow as tf


def check_detector(build, fit_images, calibration_images, images, rtol=2e-4, atol=2e-3):
    """Puts a detector of out-of-distribution images through its contract.

    What needs `fit` or `calibrate` says so; a score is float32, finite, and depends on neither batch nor
    order; p-values are those of split conformal prediction; images that are none are refused in one line; an
    exportable score runs inside a graph, traced once for any batch.

    Args:
      build: Callable without arguments, a new, unfitted `detectors.Detector` at each call.
      fit_images: uint8 `[N, H, W, C]`.
      calibration_images: Others.
      images: uint8 `[B, H, W, C]`, B >= 3, to be scored.
      rtol: Allowed relative difference of scores between batch sizes.
      atol: Allowed absolute difference.

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
    close = dict(rtol=rtol, atol=atol)
    in_turn = np.concatenate([detector.score(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(in_turn, scores, **close, err_msg="depends on the batch size")
    reverse = detector.score(images[::-1])[::-1]
    np.testing.assert_allclose(reverse, scores, **close, err_msg="depends on the order")
    np.testing.assert_array_equal(detector.score(images.astype(np.float32)), detector.score(images))
    assert detector.score(images[:0]).shape == (0,), "no images give no scores"
    reference = detector.score(calibration_images)
    expected = [(1 + (reference >= s).sum()) / (len(reference) + 1) for s in scores]
    np.testing.assert_allclose(detector.p_value(images), expected, rtol=1e-6, err_msg="p-values")
    np.testing.assert_array_equal(detector.predict(images, 0.5), np.array(expected) <= 0.5)
    _check_detector_refuses(detector, images)
    _check_graph_score(detector, images, scores)
    return detector


def _check_detector_refuses(detector, images):
    for wrong, message in (
        (images[:, 1:], "images must have shape"),
        (images[0], "images must have shape"),
        (images + 0.5, "0..255"),
        (images.astype(int) + 300, "0..255"),
        (images.astype(str), "0..255"),
    ):
        _check_refused_in_one_line(lambda wrong=wrong: detector.score(wrong), message)


def _check_graph_score(detector, images, scores):
    if not detector.exportable:
        _check_refused_in_one_line(lambda: detector.graph_score(tf.constant(images)), "cannot be exported")
        return
    signature = [tf.TensorSpec([None, *images.shape[1:]], tf.uint8)]
    function = tf.function(detector.graph_score, input_signature=signature)
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
