"""What a report says of sets follows from their scores."""

import dataclasses
import types

import numpy as np
import pytest

from tests.detectors.models import gaussian, random_images
from tfp_flows import data, detectors, reporting
from tfp_flows.reporting import words
from tfp_flows.reporting.judged import judge
from tfp_flows.reporting.overview import plain


def image_set(images, name="folder:good", split="test"):
    return data.ImageSet(name, split, images, None, tuple(f"{i}.png" for i in range(len(images))))


@pytest.fixture(scope="module")
def detector():
    fitted = detectors.Likelihood(gaussian()).fit(random_images(30))
    return fitted.calibrate(random_images(99, seed=1))


@pytest.fixture(scope="module")
def judged(detector):
    white = np.full([7, 4, 4, 1], 255, np.uint8)
    return judge(detector, [image_set(random_images(20, seed=2)), image_set(white, "folder:strange")], 0.05)


def found(judged, detector, rows=()):
    own, *others = judged
    return types.SimpleNamespace(judged=judged, own=own, others=others, detector=detector, rows=rows)


def test_the_strangest_and_the_most_normal_are_the_ends_of_the_order(judged):
    own = judged[0]
    order = np.sort(own.scores)
    np.testing.assert_array_equal(own.scores[own.strangest(3)], order[::-1][:3])
    np.testing.assert_array_equal(own.scores[own.most_normal(4)], order[:4])
    assert len(own.strangest(100)) == 20


def test_what_is_called_foreign_is_what_the_detector_predicts(judged, detector):
    for each in judged:
        np.testing.assert_array_equal(each.foreign, detector.predict(each.images.images, 0.05))
        np.testing.assert_array_equal(each.p_values, detector.p_value(each.images.images))
    assert [each.label for each in judged] == ["good", "strange"]


def test_the_sentences_give_the_shares(judged, detector):
    count = int(judged[0].foreign.sum())
    first, second = words.alarm_lines(found(judged, detector))
    assert first == (
        f"Of 20 test images of good {count} ({5 * count:.1f} %) are called foreign; 5% are expected."
    )
    assert second == "Of 7 images of strange: 7 (100.0 %)."


def test_too_few_calibration_images_are_said(judged):
    few = detectors.Likelihood(gaussian()).fit(random_images(30)).calibrate(random_images(10))
    (line,) = words.alarm_lines(found(judged, few))
    assert line.startswith("No image can be called foreign: 10 calibration images") and "at least 19" in line


def test_the_words_about_the_likelihood_follow_the_numbers():
    def row(dataset, area, split="test", high=None):
        return types.SimpleNamespace(dataset=dataset, auroc=area, auroc_high=high, split=split)

    def said(*others):
        return words.likelier(types.SimpleNamespace(rows=[row("own", None), *others], spec=spec))

    spec = types.SimpleNamespace(is_density=True)

    assert "not fooled" in said(row("a", 0.5), row("own", 0.4, "train"))
    assert "finds b, c likelier" in said(row("a", 0.9), row("b", 0.49), row("c", 0.1))
    # As the closing lines of a command: an interval that holds 0.5 says of neither that it is likelier.
    assert "not fooled" in said(row("a", 0.49, high=0.52))
    assert "finds b likelier" in said(row("a", 0.49, high=0.52), row("b", 0.4, high=0.45))
    assert said(row("own", 0.4, "train")).startswith("Nothing was compared")
    spec.is_density = False
    assert "fooled" not in said(row("c", 0.1)) and "no density" in said(row("c", 0.1))


def test_the_overview_counts_every_split():
    images = random_images(20)
    own = [
        image_set(images[:12], split="train"),
        image_set(images[:1], split="validation"),
        image_set(images[:5], split="calibration"),
        image_set(images[:2], split="test"),
    ]
    lines = reporting.overview(own, [image_set(images[:9], "odd=folder:strange", "all")])
    assert lines == [
        "good: 12 images to train on, 1 for validation, 5 for calibration, 2 to test; 4x4x1.",
        "odd: 9 images to compare with.",
    ]


def test_too_few_pictures_to_call_any_foreign_are_said_before_training():
    images = random_images(20)
    own = [image_set(images[:12], split="train"), image_set(images[:5], split="calibration")]
    first, warning = reporting.overview(own, [], alpha=0.05)
    assert first == reporting.overview(own, [])[0] and "5 calibration images" in warning
    assert warning.startswith("  Nothing will be called foreign") and "at least 19" in warning
    assert (
        len(reporting.overview([own[0], image_set(images[:19], split="calibration")], [], alpha=0.05)) == 1
    )


def test_the_operations_of_the_run_are_said_once():
    assert plain(["a@rgb", "b@rgb", "noise"], "@rgb") == {"a@rgb": "a", "b@rgb": "b", "noise": "noise"}
    assert plain(["a@rgb", "a"], "@rgb") == {"a@rgb": "a@rgb", "a": "a"}  # two sets keep two names
    assert plain(["a", "b"], "") == {"a": "a", "b": "b"}
    images = random_images(9)
    lines = reporting.overview(
        [image_set(images, "folder:good@crop=4", "train")],
        [image_set(images, "folder:bad@crop=4")],
        "@crop=4",
    )
    assert lines == ["good: 9 images to train on; 4x4x1 (@crop=4).", "bad: 9 images to compare with."]


def test_a_weak_score_is_said_with_another_to_try(judged, detector):
    run = types.SimpleNamespace(folder="runs/mine")
    said = words.weak(types.SimpleNamespace(detector=detector, run=run), "strange", 0.503)
    assert "AUROC 0.50" in said and "--detector=default" in said and "--run=runs/mine" in said


def test_the_report_says_which_images_a_detector_was_fitted_to():
    validation = detectors.Used(34, 112, 34, 112)
    assert words.fitted_to(validation) == "fitted to 34 validation images"
    assert "(what it asks without the model: to 562 training images)" in words.fitted_to(
        dataclasses.replace(validation, training=562)
    )
    patches = detectors.Used(562, 112, 562, 112, fit_split="training")
    assert words.fitted_to(patches) == "fitted to 562 training images"
