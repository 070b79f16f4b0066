"""What a detector says of a picture, for people."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.detectors.models import PixelModel, gaussian, random_images
from tfp_flows import data, detectors
from tfp_flows.detectors.explanation import Explanation

HELD_OUT = random_images(99, seed=1)


def _detector(model=None):
    return detectors.Typicality(model or PixelModel(120.0)).fit(random_images(40)).calibrate(HELD_OUT)


@pytest.fixture(scope="module")
def detector():
    return _detector()


def test_a_picture_is_explained(detector, tmp_path):
    image = np.full([4, 4], 255, np.uint8)
    Image.fromarray(image).save(tmp_path / "a <b>.png")
    found = detector.explain(tmp_path / "a <b>.png")
    assert isinstance(found, Explanation)
    np.testing.assert_array_equal(found.image, image[..., None])
    assert found.score == detector.score(found.image[None])[0]
    assert found.p_value == pytest.approx(0.01) and found.verdict == "out" and "foreign" in found.words
    np.testing.assert_array_equal(found.map, detector.score_map(found.image[None])[0])
    assert "a <b>.png: typicality" in str(found) and "\n" not in str(found)
    page = found._repr_html_()
    assert "a &lt;b&gt;.png" in page and "<b>.png" not in page and "http" not in page
    pictures = [base64.b64decode(found) for found in re.findall(r"base64,([^\"]+)", page)]
    assert len(pictures) == 2 and all(Image.open(io.BytesIO(one)).size == (256, 256) for one in pictures)
    assert "<svg" in page and "99 held-out pictures" in page
    for name in ("x.png", "x.html"):
        found.save(tmp_path / name)
    assert Image.open(tmp_path / "x.png").width > 512
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")
    with pytest.raises(detectors.DetectorError, match="`path` must end in .png or .html"):
        found.save(tmp_path / "x.jpg")
    with pytest.raises(AttributeError):
        found.score = 1.0


def test_pictures_in_every_form_are_the_same(detector, tmp_path):
    images = random_images(3, seed=5)
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    expected = detector.score(images)
    forms = (paths, [Image.open(path) for path in paths], [images[0], paths[1], images[2]])
    for form in forms:
        np.testing.assert_array_equal(detector.score(form), expected)
        np.testing.assert_array_equal(detector.p_value(form), detector.p_value(images))
        np.testing.assert_array_equal(detector.score_map(form), detector.score_map(images))
        several = detector.explain(form)
        np.testing.assert_array_equal([one.score for one in several], expected)
    assert [one.key for one in detector.explain(paths)] == paths
    assert [one.key for one in detector.explain(images)] == ["picture 1", "picture 2", "picture 3"]
    np.testing.assert_array_equal(detector.predict(paths[0]), detector.predict(images[:1]))
    assert detector.explain(paths)._repr_html_().count("<svg") == 3


def test_a_preparation_makes_pictures_of_other_sizes_fit(tmp_path):
    detector = _detector()
    big = np.kron(random_images(1, seed=5)[0, ..., 0], np.ones([2, 2], np.uint8))
    Image.fromarray(big).convert("RGB").save(tmp_path / "big.png")
    with pytest.raises(data.DataError, match="big.png"):
        detector.explain(tmp_path / "big.png")
    detector.preparation = data.Preparation.from_json(
        {"operations": "@luminance@resize=4", "image_shape": [4, 4, 1], "means": []}
    )
    found = detector.explain(tmp_path / "big.png")
    assert found.image.shape == (4, 4, 1)
    assert detector.score(str(tmp_path / "big.png"))[0] == np.float32(found.score)
    assert detector.explain(np.stack([big] * 3, -1)).score == found.score


def test_what_is_missing_is_said():
    image = random_images(1)[0]
    bare = detectors.Typicality(gaussian()).fit(random_images(40)).calibrate(HELD_OUT).explain(image)
    assert bare.map is None and "no map of pixels for Independent" in bare.no_map
    assert "no map of pixels for Independent" in bare._repr_html_()
    assert bare._repr_html_().count("<img") == 1 and bare._repr_png_().startswith(b"\x89PNG")
    uncalibrated = detectors.Typicality(PixelModel(120.0)).fit(random_images(40)).explain(image)
    assert uncalibrated.p_value is None and uncalibrated.verdict == ""
    assert "not calibrated" in uncalibrated.words and "<svg" not in uncalibrated._repr_html_()
    few = detectors.Typicality(PixelModel(120.0)).fit(random_images(40)).calibrate(HELD_OUT[:5])
    assert few.explain(image).verdict == "" and "give at least 19" in few.explain(image).words
    for alpha in (0.0, 1.0):
        with pytest.raises(detectors.DetectorError, match="`alpha` must be in"):
            few.explain(image, alpha)


def test_a_detector_stored_without_its_model_explains(detector, tmp_path):
    detector.save(tmp_path / "d")
    again = detectors.load(tmp_path / "d")
    assert not again.models
    image = random_images(1, seed=7)[0]
    one, other = again.explain(image), detector.explain(image)
    np.testing.assert_allclose(one.map, other.map, rtol=1e-4, atol=1e-4)
    assert one.scale == other.scale and str(one) == str(other)
