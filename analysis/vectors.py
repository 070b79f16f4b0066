"""The figures of docs/vectors.md: what flows over vectors say of points, tables and features.

    python -m analysis.vectors [--out docs/images]

Three minutes or ten, on two cores. Nothing is downloaded: data are scikit-learn's own.
"""

import argparse
import dataclasses
import pathlib
from typing import Any

import numpy as np
import sklearn.covariance
import sklearn.datasets
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

import tfp_flows
from analysis import vector_figure
from tfp_flows import detectors
from tfp_flows.numerics import roc

SPLITS = 2
FIT: dict[str, Any] = dict(optimizer="adam", progress=False)
POINTS: dict[str, Any] = dict(steps=1_500, batch_size=256, learning_rate=3e-3, ema_decay=0.99)
ROWS: dict[str, Any] = dict(
    steps=1_500, batch_size=64, learning_rate=1e-3, ema_decay=0.9, validate_every=25, early_stopping=6
)
HELD_OUT_CLASSES = (0, 4, 8)


@dataclasses.dataclass(frozen=True)
class Parts:
    """Rows `[N, D]` to train on, to choose the step and to fit a detector, to calibrate it, and to test."""

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray
    test: np.ndarray


def parts_of(rows: np.ndarray, seed: int) -> Parts:
    """50 % to train on, 20 % validation, 10 % calibration, 20 % test."""
    order = np.random.default_rng(seed).permutation(len(rows))
    bounds = (np.array([0.5, 0.7, 0.8]) * len(rows)).astype(int)
    return Parts(*(rows[part].astype(np.float32) for part in np.split(order, bounds)))


def moons(seed: int, count: int = 2_000) -> np.ndarray:
    """Two moons with noise 0.1: `[count, 2]`."""
    return sklearn.datasets.make_moons(count, noise=0.1, random_state=seed)[0].astype(np.float32)


def normal_nats(train: np.ndarray, test: np.ndarray, shrunk: bool = False) -> float:
    """-mean log p of the normal distribution of the training rows' means and covariance."""
    loc, scale = train.mean(0), train.std(0)
    standardised = ((train - loc) / scale).astype(np.float64)
    covariance = np.cov(standardised.T, bias=True)
    if shrunk:
        covariance = sklearn.covariance.ledoit_wolf(standardised, assume_centered=True)[0]
    normal = tfd.MultivariateNormalTriL(np.zeros(len(loc)), np.linalg.cholesky(covariance))
    log_probs = normal.log_prob(((test - loc) / scale).astype(np.float64)) - np.log(scale).sum()
    return -float(tf.reduce_mean(log_probs))


def nats(flow: tfd.Distribution, test: np.ndarray) -> float:
    """-mean log p."""
    return -float(tf.reduce_mean(flow.log_prob(test)))


def fitted(parts: Parts, **settings: Any) -> tfd.Distribution:
    """A flow that was trained until the validation rows got no likelier."""
    flow = tfp_flows.vector_flow(parts.train.shape[1], **settings)
    tfp_flows.fit(flow, parts.train, parts.validation, **FIT, **ROWS)
    return flow


def aurocs(flow: tfd.Distribution, parts: Parts, foreign: np.ndarray) -> dict[str, float]:
    """AUROC of a few detectors, and of the default's tests, for foreign rows against test rows."""
    kinds = (detectors.Default, detectors.Likelihood, detectors.Typicality, detectors.DensityOfStates)
    foreign, count = foreign.astype(np.float32), len(parts.test)
    found = {}
    for kind in kinds:
        detector = kind(flow).fit(parts.validation).calibrate(parts.calibration)
        found[kind.name] = roc.area_under(detector.score(parts.test), detector.score(foreign))
        if kind is detectors.Default:
            each = detector.tests(np.concatenate([parts.test, foreign]))
            for name, fractions in each.items():
                found[f"default: {name}"] = roc.area_under(-fractions[:count], -fractions[count:])
    return found


def features_of(images: np.ndarray, labels: np.ndarray, seed: int) -> tf_keras.Model:
    """The last hidden layer of a small classifier of digits `[N, 64]`, trained on them: a fixed network."""
    tf_keras.utils.set_random_seed(seed)
    layers = tf_keras.layers
    inputs = layers.Input([64])
    hidden = layers.Dense(128, "relu")(layers.Rescaling(1 / 16.0)(inputs))
    hidden = layers.Dense(16)(hidden)
    network = tf_keras.Model(inputs, layers.Dense(10)(tf.nn.relu(hidden)))
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(tf_keras.optimizers.legacy.Adam(2e-3), loss)
    network.fit(images, labels, epochs=40, batch_size=64, verbose=0)
    return tf_keras.Model(inputs, hidden)


def _report(name: str, values: dict[str, float]) -> None:
    print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()), flush=True)


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


def two_moons() -> tfd.Distribution:
    """Prints nats of held-out points; the flow with mixtures."""
    train, test = moons(0), moons(1)
    print(f"two moons: normal distribution {normal_nats(train, test):.3f} nats")
    for coupling in ("affine", "spline", "mixture"):
        flow = tfp_flows.vector_flow(2, coupling=coupling)
        tfp_flows.fit(flow, train, moons(2), **FIT, **POINTS)
        samples = flow.sample(10_000, seed=0)
        back = flow.bijector.forward(tf.identity(flow.bijector.inverse(tf.identity(test))))
        finite = bool(np.isfinite(flow.log_prob(tf.identity(samples))).all())
        error = np.abs(back - test).max()
        print(f"two moons, {coupling}: {nats(flow, test):.3f} nats; samples finite: {finite}, {error:.1e}")
    return flow


def tables() -> None:
    """Prints nats of held-out rows of two tables, and how well detectors find a class left out."""
    for name, own in (("wine", (0, 1)), ("breast_cancer", (1,))):
        rows, labels = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        found, found_classes = [], []
        for seed in range(SPLITS):
            parts = parts_of(rows, seed)
            small = fitted(parts, num_steps=4, hidden_units=16, prior="student_t")
            found.append(
                {
                    "normal": normal_nats(parts.train, parts.test),
                    "normal, shrunk": normal_nats(parts.train, parts.test, shrunk=True),
                    "flow": nats(small, parts.test),
                }
            )
            inside = np.isin(labels, own)
            parts = parts_of(rows[inside], seed)
            found_classes.append(
                aurocs(fitted(parts, num_steps=4, hidden_units=16, prior="student_t"), parts, rows[~inside])
            )
        _report(f"{name} {rows.shape}, nats of held-out rows", _mean(found))
        _report(f"{name}, AUROC of classes left out", _mean(found_classes))


def digits() -> None:
    """Prints AUROC for a class of digits left out, by their pixels and by features of a fixed network."""
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    by_pixels, by_features = [], []
    for left_out in HELD_OUT_CLASSES:
        inside = labels != left_out
        noise = np.random.default_rng(left_out).random(images.shape)
        own, foreign = (images + noise)[inside], (images + noise)[~inside]
        parts = parts_of(own, 0)
        by_pixels.append(aurocs(fitted(parts, prior="student_t"), parts, foreign))
        order = np.random.default_rng(0).permutation(inside.sum())[: inside.sum() // 2]
        network = features_of(images[inside][order], labels[inside][order], left_out)
        parts = parts_of(network.predict(images[inside], verbose=0), 0)  # the same rows in each part
        by_features.append(
            aurocs(fitted(parts, prior="student_t"), parts, network.predict(images[~inside], verbose=0))
        )
    _report("digits, a class left out, pixels", _mean(by_pixels))
    _report("digits, a class left out, features", _mean(by_features))


def main() -> None:
    """Prints all of it, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/images"))
    arguments = parser.parse_args()
    flow = two_moons()
    vector_figure.draw(flow, moons(1), arguments.out / "two_moons.png")
    tables()
    digits()


if __name__ == "__main__":
    main()
