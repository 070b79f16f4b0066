"""The settings of training: light to import, and refused by name."""

import subprocess
import sys

import pytest

from tfp_flows import numerics, training
from tfp_flows.training import config


def test_settings_need_no_tensorflow():
    code = "import sys, tfp_flows.training.config; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_choices_are_those_that_exist():
    assert set(config.OPTIMIZERS) == set(training.OPTIMIZERS)
    assert set(config.DECAY_FORMS) == set(training.state.FALLS)
    assert [numerics.precision.dtype(choice) for choice in config.MIXED_PRECISION] == [None, "bfloat16"]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": 0}, "^`steps` must be a positive integer, got 0"),
        ({"batch_size": -1}, "^`batch_size` must be a positive integer"),
        ({"steps": 2.5}, "^`steps` must be a positive integer, got 2.5"),
        ({"seed": -1}, "^`seed` must be an integer of 0 or more, got -1"),
        ({"learning_rate": float("nan")}, "^`learning_rate` must be positive and finite, got nan"),
        ({"seed": 2**63}, "^`seed` must be below"),
        ({"ema_decay": 1.0}, "^`ema_decay` must be in"),
        ({"warmup": 0.7, "decay": 0.5}, "^`warmup=0.7` and `decay=0.5` take more than the whole training"),
        ({"optimizer": "sgd"}, "^`optimizer` must be one of adam, adamax, rmsprop, got 'sgd'"),
        ({"decay_form": "step"}, "^`decay_form` must be one of cosine, linear, sqrt, got 'step'"),
        ({"mixed_precision": "half"}, "^`mixed_precision` must be one of none, bfloat16"),
        ({"early_stopping": 2, "validate_every": 0}, "^`early_stopping` needs `validate_every`"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        training.TrainingConfig(**{"steps": 1, **settings})
