"""The detectors by name, and their settings, which commands know before TensorFlow is imported.

The classes are in `registry`.
"""

import math
from collections.abc import Mapping
from typing import SupportsFloat, cast

from tfp_flows.checks import counts
from tfp_flows.detectors.errors import DetectorError

NAMES = (
    "default",
    "likelihood",
    "typicality",
    "density_of_states",
    "input_complexity",
    "likelihood_ratio",
    "waic",
    "critics",
    "outlier_exposure",
    "likelihood_regret",
    "gradient_norms",
    "score_test",
    "local_intrinsic_dimension",
    "second_order",
    "sitn",
    "likelihood_path",
    "foreign_patches",
)

OF_SEVERAL_MODELS = ("likelihood_ratio", "waic")  # which one run alone cannot give

DEFAULT = "default"  # of detect, and of a run's report

# Constructor arguments, beside the models or the shape of their images.
SETTINGS: dict[str, tuple[str, ...]] = {name: ("batch_size",) for name in NAMES} | {
    "default": ("png", "batch_size"),
    "density_of_states": ("density", "batch_size"),
    "input_complexity": ("compressor", "batch_size"),
    "critics": ("num_members", "num_steps", "width", "batch_images", "seed", "batch_size"),
    "likelihood_regret": ("num_steps", "learning_rate", "num_samples", "seed", "batch_size"),
    "score_test": ("num_fisher_images", "batch_size"),
    "local_intrinsic_dimension": ("threshold", "num_probes", "num_steps", "seed", "batch_size"),
    "sitn": ("tests", "batch_size"),
    "likelihood_path": ("density", "batch_size"),
    "foreign_patches": ("num_steps", "width", "batch_images", "seed", "batch_size"),
}

CHOICES = {  # of a detector's setting
    ("density_of_states", "density"): ("kde", "svm"),
    ("input_complexity", "compressor"): ("png", "jpegls", "jpeg2000", "jpegxl", "best"),
    ("sitn", "tests"): ("paper", "all"),
    ("likelihood_path", "density"): ("copod", "mahalanobis"),
}

LEAST = {  # whole numbers, by setting
    "batch_size": 1,
    "batch_images": 1,
    "num_fisher_images": 1,
    "num_members": 2,
    "num_probes": 1,
    "num_samples": 1,
    "num_steps": 1,
    "seed": 0,
    "width": 1,
}
POSITIVE = ("learning_rate", "threshold")
MAY_BE_NONE = ("num_probes",)


def check_settings(name: str, settings: Mapping[str, object]) -> None:
    """Looks at settings of the detector `name`, as far as that needs no TensorFlow.

    Raises:
      DetectorError: If it has none of such a name, or no such value of one.
    """
    for setting, value in settings.items():
        if setting not in SETTINGS[name]:
            raise DetectorError(
                f"`set`: {name} has no such setting: {setting!r}; there are {', '.join(SETTINGS[name])}."
            )
        check_choice(name, setting, value)
        check_number(name, setting, value)


def checked_settings(name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Settings of the detector `name` with Python's numbers for NumPy's; those of a stranger's as they are.

    Raises:
      DetectorError: If one is no value of that setting.
    """
    known = SETTINGS.get(name, ("batch_size",))
    return {
        key: check_number(name, key, value) if key in known else value for key, value in settings.items()
    }


def check_batch_size(name: str, value: object) -> int:
    """Images at once, as `check_number`."""
    return cast(int, check_number(name, "batch_size", value))


def check_number(name: str, setting: str, value: object) -> object:
    """A setting of the detector `name` as a number of Python's, where it is to be a number.

    Raises:
      DetectorError: If it is none, or too small.
    """
    if value is None and setting in MAY_BE_NONE:
        return value
    if setting in LEAST:
        number = counts.whole(value, LEAST[setting])
        if number is None:
            wanted = counts.wanted(LEAST[setting])
            raise DetectorError(f"{name}: `{setting}` must be {wanted}, got {value!r}.")
        return number
    if setting in POSITIVE:
        try:
            real = math.nan if isinstance(value, bool | str | bytes) else float(cast(SupportsFloat, value))
        except (TypeError, ValueError, OverflowError):
            real = math.nan
        if not 0 < real < math.inf:
            raise DetectorError(f"{name}: `{setting}` must be positive and finite, got {value!r}.")
        return real
    return value


def check_choice(name: str, setting: str, value: object) -> None:
    """Raises `DetectorError` where a setting of the detector `name` is none of its choices."""
    choices: tuple[object, ...] = CHOICES.get((name, setting), ())
    if choices and value not in choices:
        raise DetectorError(
            f"{name}: `{setting}` must be one of {', '.join(map(str, choices))}, got {value!r}."
        )


def check_number_of_models(name: str, number: int) -> None:
    """Raises `DetectorError` where the detector `name` is not made of so many models."""
    if name in OF_SEVERAL_MODELS:
        if number < 2:
            what = "background model" if name == "likelihood_ratio" else "other member"
            raise DetectorError(f"{name}: needs at least one {what}, as `with`.")
    elif number != 1:
        raise DetectorError(f"{name}: takes one model, got {number}.")
