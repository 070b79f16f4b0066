"""A training says what it trains and how long it will take, once."""

import types

import pytest
import tensorflow as tf

from tfp_flows import training
from tfp_flows.training import announcing
from tfp_flows.training.units import BITS_PER_DIM


@pytest.fixture
def record():
    model = types.SimpleNamespace(trainable_variables=[tf.Variable(tf.zeros([3, 5])), tf.Variable(0.0)])
    subject = types.SimpleNamespace(model=model, unit=BITS_PER_DIM)
    return announcing.Announcement("glow", subject, training.TrainingConfig(steps=100, batch_size=10), 20)


def test_it_says_what_is_trained(record, capsys):
    with record:
        pass
    assert capsys.readouterr().out.startswith("glow: 16 parameters, on ")


def test_it_says_once_how_long_the_rest_takes(record, capsys):
    record.add(30, validation_bits_per_dim=3.0)
    assert not capsys.readouterr().out
    record.add(40, images_per_second=20.0)
    assert capsys.readouterr().out.startswith("About 30 seconds, until ")  # 60 steps of 10 images
    record.add(50, images_per_second=20.0)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    "seconds, text", [(0.2, "2 seconds"), (89, "89 seconds"), (720, "12 minutes"), (12600, "3.5 hours")]
)
def test_durations(seconds, text):
    assert announcing.duration(seconds) == text
