"""Every detector of the registry keeps one contract."""

import inspect

import numpy as np
import pytest

from tests.detectors.models import DIGITS, HELD_OUT, SHAPE, gaussian, small_glow, small_vae
from tfp_flows import detect, detectors, testing
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.names import (
    CHOICES,
    LEAST,
    OF_SEVERAL_MODELS,
    POSITIVE,
    SETTINGS,
    check_settings,
)
from tfp_flows.numerics import parts

# A new detector, for each name of the registry.
CASES = {
    "default": lambda: detectors.Default(small_glow()),
    "likelihood": lambda: detectors.Likelihood(small_glow()),
    "typicality": lambda: detectors.Typicality(small_glow()),
    "density_of_states": lambda: detectors.DensityOfStates(small_glow()),
    "input_complexity": lambda: detectors.InputComplexity(small_glow()),
    "likelihood_ratio": lambda: detectors.LikelihoodRatio(small_glow(), [small_glow(1), small_glow(2)]),
    "waic": lambda: detectors.WAIC([small_glow(), small_glow(1)]),
    "critics": lambda: detectors.Critics(SHAPE, num_members=2, num_steps=2, width=4, batch_images=8),
    "outlier_exposure": lambda: detectors.OutlierExposure(small_glow()),
    "likelihood_regret": lambda: detectors.LikelihoodRegret(small_vae(), num_steps=3),
    "gradient_norms": lambda: detectors.GradientNorms(small_glow()),
    "score_test": lambda: detectors.ScoreTest(small_glow(), num_fisher_images=8),
    "local_intrinsic_dimension": lambda: detectors.LocalIntrinsicDimension(small_glow()),
    "second_order": lambda: detectors.SecondOrder(small_glow()),
    "sitn": lambda: detectors.SITN(small_glow()),
    "likelihood_path": lambda: detectors.LikelihoodPath(small_vae()),
    "foreign_patches": lambda: detectors.ForeignPatches(SHAPE, num_steps=3, width=4, batch_images=8),
}


def test_commands_know_the_settings_of_each_before_its_class_is_imported():
    for name, kind in detectors.DETECTORS.items():
        arguments = inspect.signature(kind).parameters
        models = ("model", "members", "backgrounds", "image_shape")
        assert SETTINGS[name] == tuple(each for each in arguments if each not in models), name
    assert all(setting in SETTINGS[name] for name, setting in CHOICES)


@pytest.mark.parametrize(("name", "setting"), CHOICES)
def test_a_choice_that_is_none_is_refused_by_the_class_as_by_the_command(name, setting):
    model = small_vae() if name == "likelihood_path" else small_glow()
    refusals = []
    for refuse in (
        lambda: detectors.DETECTORS[name](model, **{setting: "none"}),
        lambda: check_settings(name, {setting: "none"}),
    ):
        with pytest.raises(detectors.DetectorError, match=f"`{setting}` must be one of") as refused:
            refuse()
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]


# The same with other values of the settings that are declared not to matter to the statistics.
OTHERS = {
    "density_of_states": lambda: detectors.DensityOfStates(small_glow(), "svm"),
    "sitn": lambda: detectors.SITN(small_glow(), "all"),
    "likelihood_path": lambda: detectors.LikelihoodPath(small_vae(), "mahalanobis"),
}


def test_every_kind_with_settings_that_do_not_matter_is_tried_with_others():
    declared = {
        name for name, kind in detectors.DETECTORS.items() if kind.settings_of_statistics is not None
    }
    assert declared == set(OTHERS)


def test_registry_holds_every_detector():
    assert set(CASES) == set(detectors.DETECTORS)
    public = [getattr(detectors, name) for name in detectors.__all__]
    kinds = {k for k in public if isinstance(k, type) and issubclass(k, Detector) and k is not Detector}
    assert kinds == set(detectors.DETECTORS.values())


@pytest.mark.parametrize("name", CASES)
def test_contract(name, tmp_path):
    images = HELD_OUT[:6]
    unfitted = CASES[name]()
    assert unfitted.name == name
    if unfitted._needed():
        with pytest.raises(detectors.DetectorError, match="call fit first"):
            unfitted.save(tmp_path / "unfitted")
    detector = testing.check_detector(
        CASES[name], DIGITS[:24], HELD_OUT[6:36], images, build_other=OTHERS.get(name)
    )
    assert detector.statistics.compiled().experimental_get_tracing_count() == 1
    detector.save(tmp_path / "saved")
    again = detectors.load(tmp_path / "saved")
    np.testing.assert_allclose(again.score(images), detector.score(images), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(again.calibration_scores, detector.calibration_scores)
    assert again.predict(images, 0.5).dtype == bool


def test_statistics_in_parts(monkeypatch):
    whole = detectors.InputComplexity(small_glow()).statistics(DIGITS[:20])
    monkeypatch.setattr(parts, "at_once", lambda: 2)
    found = detectors.InputComplexity(small_glow()).statistics(DIGITS[:20])
    np.testing.assert_allclose(found, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, s, x: s + np.arange(len(s)), "depends on the"),
        (lambda d, s, x: s / len(x), "depends on the batch size"),
        (lambda d, s, x: s * np.nan, "the scores are"),
        (lambda d, s, x: s.astype(np.float64), "float64"),
    ],
)
def test_the_contract_finds_what_is_wrong(change, message):
    class Wrong(detectors.Likelihood):
        def score(self, images, progress=None):
            return change(self, super().score(images), np.asarray(images)).astype(
                np.float64 if message == "float64" else np.float32
            )

    with pytest.raises(AssertionError, match=message):
        testing.check_detector(lambda: Wrong(small_glow()), DIGITS[:24], HELD_OUT[6:36], HELD_OUT[:6])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"cost": "cheap"}, "cost is 'cheap'"),
        ({"log_prob_first": True}, "the first statistic is not log_prob"),
        ({"statistics_name": "log_prob"}, "the statistics are not log_prob alone"),
        ({"settings_of_statistics": ("depth",)}, "which are no settings"),
        ({"settings_of_statistics": ()}, "the statistics depend on {'power'}"),
        ({}, "settings_of_statistics is None"),
    ],
)
def test_the_contract_finds_what_is_declared_wrongly(declared, message):
    class Power(detectors.Likelihood):
        log_prob_first = False
        statistics_name = None

        def __init__(self, model, power=2):
            super().__init__(model)
            self.settings["power"] = power

        def _graph_statistics(self, images):
            return super()._graph_statistics(images) ** self.settings["power"]

    kind = type("Wrong", (Power,), declared)
    with pytest.raises(AssertionError, match=message):
        testing.check_detector(
            lambda: kind(small_glow()),
            DIGITS[:24],
            HELD_OUT[6:36],
            HELD_OUT[:6],
            build_other=lambda: kind(small_glow(), 1),
        )


def test_statistics_are_shared_by_what_is_declared():
    def identity(kind, **settings):
        return detectors.DETECTORS[kind].identity_of_statistics(settings)

    assert (
        identity("likelihood") == identity("typicality") == identity("outlier_exposure") == ("log_prob", {})
    )
    assert identity("density_of_states", density="kde") == identity("density_of_states", density="svm")
    assert identity("input_complexity", compressor="png") != identity("input_complexity", compressor="best")

    class Stranger(detectors.Detector):
        name = "stranger"

    assert Stranger.identity_of_statistics({"a": 1}) == ("stranger", {"a": 1}), "nothing is guessed"


@pytest.mark.parametrize(("name", "setting"), [
    (name, setting) for name, settings in SETTINGS.items() for setting in settings
    if setting in LEAST or setting in POSITIVE
])  # fmt: skip
def test_a_number_that_makes_no_sense_is_refused_before_tensorflow_and_in_every_detector(name, setting):
    for wrong in (-1, -0.5, float("nan"), "many", True, [2]):
        message = f"{name}: `{setting}` must be "
        with pytest.raises(detectors.DetectorError, match=message):
            check_settings(name, {setting: wrong})
        kind = detectors.DETECTORS[name]
        make = small_vae if name in ("likelihood_regret", "likelihood_path") else small_glow
        models = [make(), make(1)] if name in OF_SEVERAL_MODELS else [make()]
        needed = {} if kind.needs_model else {"image_shape": SHAPE}
        with pytest.raises(detectors.DetectorError, match=message):
            kind.of_models(models if kind.needs_model else [], {**needed, setting: wrong})


def test_numbers_of_numpy_become_those_of_python(tmp_path):
    detector = detectors.LocalIntrinsicDimension(
        small_glow(), np.float32(0.5), np.int64(3), batch_size=np.int32(8)
    )
    assert detector.settings == {"threshold": 0.5, "num_probes": 3, "num_steps": 30, "seed": 0}
    assert [type(value) for value in detector.settings.values()] == [float, int, int, int]
    assert type(detector.batch_size) is int
    with pytest.raises(detectors.DetectorError, match="`batch_size` must be a positive integer, got 0"):
        detector.batch_size = 0


def test_a_detector_of_another_number_of_models_is_refused():
    with pytest.raises(detectors.DetectorError, match="typicality: takes one model, got 2"):
        detectors.Typicality.of_models([small_glow(), small_glow(1)], {})
    with pytest.raises(detectors.DetectorError, match="needs at least one background"):
        detectors.LikelihoodRatio.of_models([small_glow()], {})
    for several in (detectors.LikelihoodRatio, detectors.WAIC):
        with pytest.raises(detectors.DetectorError, match="needs at least"):
            several.of_models([], {})
    with pytest.raises(detectors.DetectorError, match="differ in shape"):
        detectors.WAIC([small_glow(), gaussian()])
    with pytest.raises(detectors.DetectorError, match="'alpha' is not NAME=VALUE"):
        detect._setting("alpha")
