"""A training as tiny as can be, as a command: `python -m tests.faults.tiny_training --run=FOLDER`.

Checkpoints, rows, validations and early stopping fall together and apart.
"""

import pathlib
import time

import numpy as np
import tensorflow as tf
from absl import flags

import tfp_flows
from tfp_flows import commands

STEPS, LOG_EVERY, CHECKPOINT_EVERY, VALIDATE_EVERY = 6, 2, 2, 3
POINTS = np.random.default_rng(0).normal(2.0, 0.5, [96, 2]).astype(np.float32)

FLAGS = flags.FLAGS


class Gaussian(tf.Module):
    """A normal density in two dimensions."""

    def __init__(self):
        super().__init__()
        self.loc = tf.Variable([0.0, 0.0])

    def log_prob(self, x):
        return -0.5 * tf.reduce_sum((x - self.loc) ** 2, -1)


def train(run, **settings):
    """`tfp_flows.fit` into a folder."""
    values = dict(
        steps=STEPS,
        log_every=LOG_EVERY,
        checkpoint_every=CHECKPOINT_EVERY,
        validate_every=VALIDATE_EVERY,
        early_stopping=9 if settings.get("steps", STEPS) < 1000 else 0,
        learning_rate=0.05,
        batch_size=8,
        progress=False,
    )
    model = Gaussian()
    history = tfp_flows.fit(model, POINTS, POINTS[:8], run=run, **values | settings)
    return model, history


def main():
    """The command."""
    if FLAGS.wait:
        pathlib.Path(FLAGS.run).touch()
        time.sleep(60.0)
    train(FLAGS.run, steps=FLAGS.steps)


if __name__ == "__main__":
    flags.DEFINE_string("run", None, "Folder.", required=True)
    flags.DEFINE_integer("steps", STEPS, "Steps.")
    flags.DEFINE_bool("wait", False, "Makes a file instead of the folder, and does nothing more.")
    commands.run(main)
