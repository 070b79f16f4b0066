"""PixelCNN against `tfd.PixelCNN`: drawing an image, and a training step.

    python benchmarks/pixelcnn.py                        # the table, 5 rounds, and one whole image by TFP
    python benchmarks/pixelcnn.py --json=pixelcnn.json   # and the ratios, for a machine to read
    python benchmarks/pixelcnn.py --quick                # 3 rounds, no whole image by TFP
    python benchmarks/pixelcnn.py --smoke                # tiny sizes: does it run?

Both have the same weights (`pixelcnn.to_tfp`). Timed in turns, A B A B:

  pixelcnn_sample      `model.sample(n)`, against `tfd.PixelCNN.sample(n)`, which passes through its whole
                       network H W + 1 times. Its time is extrapolated: H W + 1 times the median of
                       `PASSES` measured passes of its network in a `tf.function`, in each round, without
                       the work that it does between them; so it is less than the whole. Without --quick
                       one whole `sample(1)` of TFP is timed too, in a `tf.function`.
  pixelcnn_train_step  A step of `tfp_flows.training`, with its moving average of the weights, against
                       TFP's documented way: `tf_keras.Model.add_loss`, `compile`, `train_on_batch`.
"""

import argparse
import dataclasses
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_probability as tfp  # noqa: E402
import tf_keras  # noqa: E402

import pixelcnn  # noqa: E402
from benchmarks import entries  # noqa: E402
from tfp_flows import training  # noqa: E402
from tfp_flows.models import registry  # noqa: E402

tfd = tfp.distributions
PASSES = 20


@dataclasses.dataclass(frozen=True)
class Size:
    """The networks that are measured; the sampler's is that of TFP's tutorial size at 28x28x1."""

    image: tuple = (28, 28, 1)
    sampler: tuple = (5, 3, 64)  # num_resnet, num_hierarchies, num_filters
    trained: tuple = (2, 2, 32)
    num_logistic_mix: int = 10
    sample_batches: tuple = (1, 16)
    train_batch: int = 32


TINY = Size((4, 4, 1), (1, 2, 4), (1, 2, 4), 2, (2,), 4)


def _settings(size, network):
    names = ("num_resnet", "num_hierarchies", "num_filters")
    return {**dict(zip(names, network, strict=True)), "num_logistic_mix": size.num_logistic_mix}


def _images(size, count):
    return np.random.default_rng(0).integers(0, 256, [count, *size.image]).astype(np.uint8)


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _versions():
    return {"tensorflow": tf.__version__, "tensorflow-probability": tfp.__version__}


def sampling(size, rounds, whole):
    """Yields the entries of `pixelcnn_sample`."""
    settings = _settings(size, size.sampler)
    model = pixelcnn.PixelCNN(size.image, **settings)
    model.initialize(_images(size, 16))
    theirs = pixelcnn.to_tfp(model)
    num_passes = size.image[0] * size.image[1] + 1
    one_pass = tf.function(lambda x: theirs.network(x, training=False)[0])
    for n in size.sample_batches:
        config = {"image": size.image, **settings, "batch": n, **_versions()}
        x = tf.constant(2.0 * _images(size, n) / 255.0 - 1.0, tf.float32)
        first = _seconds(lambda n=n: model.sample(n, seed=0, progress=False).numpy())
        one_pass(x)
        ours, extrapolated = [], []
        for seed in range(rounds):
            ours.append(_seconds(lambda n=n, s=seed: model.sample(n, seed=s, progress=False).numpy()))
            passes = [_seconds(lambda x=x: one_pass(x).numpy()) for _ in range(PASSES)]
            extrapolated.append(num_passes * statistics.median(passes))
        against = f"tfd.PixelCNN.sample, extrapolated from {PASSES} passes a round"
        yield {
            **entries.entry("pixelcnn_sample", ours, extrapolated, against, config, n),
            "first_call_seconds": first,
        }
    if whole:
        sample = tf.function(lambda: theirs.sample(1))
        sample.get_concrete_function()  # traced, as ours is
        seconds = [_seconds(lambda: sample().numpy())]
        ours = [_seconds(lambda: model.sample(1, seed=0, progress=False).numpy())]
        config = {"image": size.image, **settings, "batch": 1, **_versions()}
        yield entries.entry("pixelcnn_sample_whole", ours, seconds, "tfd.PixelCNN.sample", config, 1)


def train_step(size, rounds):
    """The entry of `pixelcnn_train_step`."""
    settings = _settings(size, size.trained)
    images = tf.constant(_images(size, size.train_batch))
    family = registry.family("pixelcnn")
    model_config = family.config_class(**settings)
    config = training.TrainingConfig(steps=1_000, batch_size=size.train_batch, optimizer="adam")
    model = family.build(model_config, size.image, family.training_protocol(model_config))
    model.initialize(images)
    subject = training.subject_of_family(family, model)
    step = training.make_train_step(subject, training.TrainingState(model, config), config)
    theirs = _documented_training(size, settings)
    as_floats = tf.cast(images, tf.float32)
    functions = {
        "ours": lambda: float(step(images)[0]),
        "theirs": lambda: theirs.train_on_batch(as_floats),
    }
    seconds = {name: [] for name in functions}
    for round_ in range(-2, rounds):
        for name, function in functions.items():
            taken = _seconds(function)
            if round_ >= 0:
                seconds[name].append(taken)
    config = {"image": size.image, **settings, "batch": size.train_batch, **_versions()}
    against = "tfd.PixelCNN, tf_keras train_on_batch"
    return entries.entry(
        "pixelcnn_train_step", seconds["ours"], seconds["theirs"], against, config, size.train_batch
    )


def _documented_training(size, settings):
    """The model of the example in `tfd.PixelCNN`'s docstring."""
    distribution = tfd.PixelCNN(size.image, dropout_p=0.0, **settings)
    image_input = tf_keras.layers.Input(shape=size.image)
    log_prob = distribution.log_prob(image_input)
    model = tf_keras.Model(inputs=image_input, outputs=log_prob)
    model.add_loss(-tf.reduce_mean(log_prob))
    model.compile(optimizer=tf_keras.optimizers.Adam(0.001), metrics=[])
    return model


def main(arguments=None):
    """Measures, prints the ratios and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument("--quick", action="store_true", help="3 rounds, no whole image by TFP")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    options = parser.parse_args(arguments)
    size = TINY if options.smoke else Size()
    rounds = 1 if options.smoke else 3 if options.quick else 5
    found = []
    for one in [*sampling(size, rounds, whole=not options.quick), train_step(size, 3 * rounds)]:
        found.append(one)
        print(entries.line(one), flush=True)
    entries.write(found, options.json)


if __name__ == "__main__":
    main()
