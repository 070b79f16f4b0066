"""Images of every kind of source, a scorer without a model, and a job of both."""

import csv
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from PIL import Image

from tests import forked
from tfp_flows import detectors, scoring
from tfp_flows.data import streams

tfd = tfp.distributions

SHAPE = (4, 4, 1)


def image(number, shape=SHAPE):
    """An image of its own for each number."""
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def write_png(path, number):
    Image.fromarray(image(number)[..., 0]).save(path, format="png")


def example(number, key=b"", feature="key"):
    """An Example with that image, and a key of bytes."""
    values = {"image": tf.io.encode_png(image(number)).numpy()}
    if key:
        values[feature] = key
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_records(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def scorer(images):
    """Numbers that tell every image from every other one."""
    values = images.astype(np.float32).sum(axis=(1, 2, 3)) + images[:, 0, 0, 0] / np.float32(256)
    return {"log_prob": -values, "bits_per_dim": values / 7, "score": values, "p_value": values / 1e5}


class Killed(Exception):
    """Ends a job where a signal might."""


def dying(at):
    """A scorer that dies in its call of that number, from 0."""
    calls = []

    def score(images):
        calls.append(None)
        if len(calls) > at:
            raise Killed
        return scorer(images)

    return score


def run(name, out, function=scorer, batch_size=2, job=None, ending=None, maps=None):
    """Scores a stream by its name."""

    def opened(skip):
        return streams.stream(name, SHAPE, skip=skip)

    job = job or scoring.Job(name, "model", 0.05)
    return scoring.score_stream(function, opened, out, job, batch_size, False, maps, ending)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keys(path):
    """The keys of a table and of its errors, unescaped."""
    found = [row["key"] for file in (path, f"{path}.errors.csv") for row in rows(pathlib.Path(file))]
    return [scoring.unescape(key) for key in found]


def save_detector(path, loc=100.0, shape=SHAPE):
    """A detector of a normal distribution: nothing is trained, and it loads in a moment."""
    normal = tfd.Normal(tf.fill(shape, loc), tf.fill(shape, 40.0))
    images = np.stack([image(number, shape) for number in range(40)])
    detector = detectors.Likelihood(tfd.Independent(normal, 3)).fit(images[:20])
    detector.calibrate(images[20:]).save(path)
    return path


def score(images, out, detector, *arguments, **settings):
    """The command, in a process of its own."""
    return forked.start(
        "tfp_flows.score",
        f"--detector={detector}",
        f"--images={images}",
        f"--out={out}",
        "--noprogress",
        "--batch_size=2",
        *arguments,
        **settings,
    )
