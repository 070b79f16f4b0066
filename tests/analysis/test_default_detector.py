"""The study of the default detector: foreign sets, rules, and that what is left out is left out."""

import numpy as np
import pytest

from analysis import default_study, foreign_sets
from tests.detectors.models import gaussian
from tfp_flows import data, detectors


@pytest.fixture(scope="module")
def own():
    return np.asarray(data.load("photos", "test", max_images=12).images)


def test_every_set_is_of_the_same_kind_and_made_again_from_its_seed(own):
    for images in (own, own[..., :1], own[:, :29, :27]):
        made = foreign_sets.made(images)
        again = foreign_sets.made(images)
        assert set(foreign_sets.NEAR) < set(made)
        for name, values in made.items():
            assert values.shape == images.shape and values.dtype == np.uint8, name
            assert (values != images).any(), name
            np.testing.assert_array_equal(values, again[name], err_msg=name)


def test_what_changes_keep(own):
    """Shuffles keep every pixel, tiles too; four small images are those of the set; halves mirror."""
    rng = np.random.RandomState(0)
    for change in (foreign_sets.shuffled_pixels, foreign_sets.shuffled_tiles, foreign_sets.turned):
        before, after = (np.sort(x.reshape(len(own), -1, 3), axis=1) for x in (own, change(own, rng)))
        np.testing.assert_array_equal(before, after)
    halves = foreign_sets.mirrored_halves(own, rng)
    np.testing.assert_array_equal(halves, halves[:, :, ::-1])
    assert set(np.unique(foreign_sets.thresholded(own, rng))) <= {0, 255}
    assert (foreign_sets.coarse(own, rng) % 16 == 0).all()
    patched = foreign_sets.with_patch(own, rng)
    assert ((patched != own).any(-1).sum((1, 2)) <= 16 * 16).all()


def test_the_choice_for_a_set_does_not_see_it():
    """One combination is best because of one set alone: without that set it is not chosen."""
    good, other = default_study.Combination("", ("a",)), default_study.Combination("", ("b",))
    found = {"run": {good: {"x": 1.0, "y": 0.5, "z": 0.5}, other: {"x": 0.1, "y": 0.6, "z": 0.6}}}
    assert default_study.left_out(found) == {"x": other, "y": good, "z": good}


def test_rules_of_one_test_and_of_equal_tests():
    logs = np.log(np.random.RandomState(0).rand(1, 20))
    for rule in default_study.RULES.values():
        np.testing.assert_allclose(np.argsort(rule(logs)), np.argsort(-logs[0]))
        np.testing.assert_allclose(np.argsort(rule(logs.repeat(3, axis=0))), np.argsort(-logs[0]))


def test_the_study_judges_what_the_detector_scores(own):
    """From statistics alone: the scores are the detector's, and the tables hold every set once."""
    shape = (8, 8, 3)
    small = own[:, ::4, ::4]
    images = np.concatenate([np.roll(small, k, axis=1) for k in range(5)])
    detector = detectors.Default(gaussian(shape=shape)).fit(images[:30])
    sets = {"validation": images[:30], "calibration": images[30:], "test": images[20:40]}
    sets["noise"] = np.random.RandomState(0).randint(0, 256, [20, *shape]).astype(np.uint8)
    statistics = {name: detector.statistics(values) for name, values in sets.items()}
    found = default_study.judged(statistics)
    np.testing.assert_allclose(found.single["default"]["noise"], detector.score(sets["noise"]), rtol=1e-4)
    np.testing.assert_allclose(found.single["-log p"]["noise"], -statistics["noise"][:, 0])
    logs = np.log(list(detector.tests(sets["noise"]).values()))
    ours = [found.tests[name]["noise"] for name in detector.TESTS]
    np.testing.assert_allclose(ours, logs, rtol=1e-4, atol=1e-5)
    kinds = default_study.combinations(list(found.tests))
    by_kind = {"run": {kind: default_study.combined(found, kind) for kind in kinds}}
    assert by_kind["run"][default_study.DEFAULT] == pytest.approx(
        default_study.areas(found.single["default"]), abs=1e-6
    )
    text, rows = default_study.report({"run": found}, by_kind, default_study.left_out(by_kind))
    assert [row[1] for row in rows].count("noise") == 1 and "### run" in text
    assert all(np.isfinite(row[2:]).all() for row in rows[1:])


def test_names_get_the_shape_of_the_model():
    assert default_study.fitting_name("mnist", (28, 28, 1)) == "mnist@resize=28@luminance"
    assert default_study.fitting_name("photos", (32, 32, 3)) == "photos@resize=32@rgb"
