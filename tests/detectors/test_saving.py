"""Detectors that are saved and loaded, with a stranger's model or by reference to a run."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests import forked
from tests.detectors.models import (
    DIGITS,
    HELD_OUT,
    PixelModel,
    gaussian,
    linear_flow,
    random_images,
    small_glow,
)
from tfp_flows import detectors, runs
from tfp_flows.detectors.maps import Maps


def test_saved_model_of_a_strangers_model_runs_in_a_process_that_does_not_know_it(tmp_path):
    network = tf_keras.Sequential(
        [tf_keras.layers.Input([4, 4, 1]), tf_keras.layers.Flatten(), tf_keras.layers.Dense(1)]
    )

    class Strange:
        """No tf.Module, float32, its network untracked."""

        def log_prob(self, images):
            return network(images / 255.0)[:, 0]

    images = random_images()
    detector = detectors.Typicality(Strange()).fit(images).calibrate(random_images(seed=1))
    detector.save(tmp_path / "detector")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from tfp_flows import detectors; "
        "d = detectors.load(sys.argv[1] + '/detector'); "
        "print(*d.score(np.load(sys.argv[1] + '/images.npy')))"
    )
    result = forked.command("tests.python_code", code, tmp_path)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(np.array(result.stdout.split(), float), detector.score(images), rtol=1e-5)


def test_a_stored_model_is_mapped_but_not_fitted_again(tmp_path, monkeypatch):
    detector = detectors.SecondOrder(linear_flow(np.full(16, 0.3))).fit(random_images())
    detector.save(tmp_path / "d")
    again = detectors.load(tmp_path / "d")
    np.testing.assert_allclose(again.score(random_images(3)), detector.score(random_images(3)), rtol=1e-5)
    maps = detector.score_map(random_images(3))
    np.testing.assert_allclose(again.score_map(random_images(3)), maps, rtol=1e-5, atol=1e-5)
    assert again.maps.scale == detector.maps.scale is not None
    monkeypatch.setattr(Maps, "shared", lambda self: False)  # as detectors were saved before there were maps
    detector.save(tmp_path / "d")
    again = detectors.load(tmp_path / "d")
    for call in (lambda: again.fit(random_images()), lambda: again.score_map(random_images(3))):
        with pytest.raises(detectors.DetectorError, match="stored as statistics alone.*load it with model="):
            call()
    assert (
        detectors.load(tmp_path / "d", model=linear_flow(np.full(16, 0.3))).score_map(random_images(3)).any()
    )


def test_a_model_that_cannot_be_stored_says_why(tmp_path):
    class InPython(PixelModel):
        def log_prob(self, images):
            return tf.ensure_shape(
                tf.numpy_function(lambda x: -x.sum(axis=(1, 2, 3)), [images], tf.float32), [None]
            )

    detector = detectors.Likelihood(InPython(0.0))
    np.testing.assert_allclose(detector.score(random_images(2)), random_images(2).sum(axis=(1, 2, 3)))
    with pytest.raises(detectors.DetectorError, match="runs Python .*, which no SavedModel holds"):
        detector.save(tmp_path / "detector")
    assert not list(tmp_path.iterdir()), "nothing is left behind"

    class Untraceable(PixelModel):
        def log_prob(self, images):
            return tf.constant(-images.numpy().sum(axis=(1, 2, 3)))

    with pytest.raises(detectors.DetectorError, match="cannot be traced by TensorFlow") as error:
        detectors.Likelihood(Untraceable(0.0)).score(random_images(2))
    assert "\n" not in str(error.value)
    with pytest.raises(detectors.DetectorError, match="needs a method log_prob, object has none"):
        detectors.Likelihood(object())


def test_a_run_is_saved_by_reference(run, tmp_path):
    model, _ = runs.load_model(runs.Run(run))
    detector = detectors.LikelihoodRatio(model, [_with_reference(model)]).fit(DIGITS[:30])
    detector.save(tmp_path / "detector")
    assert sorted(p.name for p in (tmp_path / "detector").iterdir()) == ["arrays.npz", "detector.json"]
    again = detectors.load(tmp_path / "detector")
    np.testing.assert_array_equal(again.score(HELD_OUT[:5]), detector.score(HELD_OUT[:5]))
    description = json.loads((tmp_path / "detector" / "detector.json").read_text())
    assert not pathlib.PurePath(description["models"][0]["run"]).is_absolute()
    description["models"][0]["digest"] = "0" * 64
    (tmp_path / "detector" / "detector.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="another checkpoint than the one that was referred to"):
        detectors.load(tmp_path / "detector")
    description["models"][0].update(run="gone", absolute="/gone")
    (tmp_path / "detector" / "detector.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="no run in"):
        detectors.load(tmp_path / "detector")
    description["models"] = [{"run": "../x", "digest": "", "protocol": {"no_such": 1}}, {}]
    (tmp_path / "detector" / "detector.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="no run in|is damaged"):
        detectors.load(tmp_path / "detector")
    given = detectors.load(tmp_path / "detector", model=[model, small_glow(1)])
    assert given.score(HELD_OUT[:5]).shape == (5,)


def _with_reference(model):
    return runs.load_model(runs.Run(model.run_reference.folder))[0]


def test_what_somebody_else_put_beside_a_detector_is_not_lost(tmp_path):
    detector = detectors.Typicality(gaussian()).fit(random_images())
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "place")
    for _ in range(2):  # an earlier detector gives way, and a link stays one
        detector.save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "place" / "detector.json").exists()
    (tmp_path / "place" / "notes.txt").write_text("mine")
    with pytest.raises(detectors.DetectorError, match="holds notes.txt beside the detector, which would be"):
        detector.save(tmp_path / "link")
    assert (tmp_path / "place" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["critics", "foreign_patches"])
def test_weights_that_are_missing_or_of_another_shape_are_refused_when_it_is_loaded(kind, tmp_path):
    images = random_images()
    detector = detectors.DETECTORS[kind](images.shape[1:], num_steps=1, batch_images=2, width=4).fit(images)
    detector.save(tmp_path / "d")
    whole = dict(np.load(tmp_path / "d" / "arrays.npz"))
    names = [name for name in whole if "critic" in name or name == "network"]
    for name in (names[0], names[-1]):
        np.savez(tmp_path / "d" / "arrays.npz", **{**whole, name: whole[name][..., :-1]})
        with pytest.raises(detectors.DetectorError, match="is damaged: .*; fit"):
            detectors.load(tmp_path / "d")
        np.savez(tmp_path / "d" / "arrays.npz", **{n: a for n, a in whole.items() if n != name})
        with pytest.raises(detectors.DetectorError, match="is damaged: .* fit"):
            detectors.load(tmp_path / "d")


def test_damaged_detectors_are_refused_in_one_line(tmp_path):
    detector = detectors.Typicality(gaussian()).fit(random_images())
    detector.save(tmp_path / "d")
    description = (tmp_path / "d" / "detector.json").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")

    def refused(message, text=None, path="d"):
        if text is not None:
            (tmp_path / "d" / "detector.json").write_text(text)
        with pytest.raises(detectors.DetectorError, match=message) as error:
            detectors.load(tmp_path / path)
        assert "\n" not in str(error.value)

    refused("no detector in", path="nowhere")
    refused("is damaged", text="{")
    refused("has format 99", text=description.replace('"format": 1', '"format": 99'))
    refused("unknown detector 'os.system'", text=description.replace('"typicality"', '"os.system"'))
    refused(
        "call fit first",
        text=description.replace('"typicality"', '"density_of_states"').replace("{}", '{"density": "kde"}'),
    )
    (tmp_path / "d" / "detector.json").write_text(description)
    np.savez(tmp_path / "d" / "arrays.npz", entropy=np.array([object()]))
    refused("is damaged: Object arrays cannot be loaded")
    with pytest.raises(detectors.DetectorError, match="is no detector"):
        detector.save(tmp_path / "other")
    assert (tmp_path / "other" / "mine.txt").exists()
