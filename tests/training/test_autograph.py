"""TensorFlow rewrites the Python of a stranger's model, not of this package's own, which takes seconds."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import data, training
from tfp_flows.models import registry

SHAPE = (8, 8, 1)
IMAGES = data.load("digits", "train").images[:8]


class Branching(tf.Module):
    """Python's `if` over a tensor, which runs eagerly, and in a graph where TensorFlow rewrites it."""

    def __init__(self):
        self.loc = tf.Variable([0.0, 0.0])

    def log_prob(self, x):
        found = -tf.reduce_sum((x - self.loc) ** 2, -1)
        if tf.reduce_sum(found) > 0:
            found = -found
        return found


def test_a_strangers_model_may_branch():
    model = Branching()
    points = np.ones([64, 2], np.float32)
    tfp_flows.fit(model, points, points, steps=20, learning_rate=0.1, batch_size=8, progress=False)
    assert (model.loc.numpy() > 0.5).all()


def test_the_step_of_a_family_is_not_rewritten():
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    family = registry.family("glow")
    model = family.build(config, SHAPE, family.training_protocol(config))
    subject = training.subject_of_family(family, model)
    settings = training.TrainingConfig(steps=1, batch_size=8)

    def branching(images, seed, condition=None):
        found = subject.training_log_prob(images, seed)
        if tf.reduce_sum(found) > 0:
            found = -found
        return found

    def step(**changes):
        changed = dataclasses.replace(subject, **changes)
        return training.make_train_step(changed, training.TrainingState(model, settings), settings)

    assert np.isfinite(step()(IMAGES)[0])
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        step(training_log_prob=branching)(IMAGES)
    assert np.isfinite(step(training_log_prob=branching, autograph=True)(IMAGES)[0])
