"""The examples of docs/vectors.md run, and do what they say."""

import contextlib
import csv
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tests import forked

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "vectors.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    found = {"folder": folder}
    with contextlib.chdir(folder):
        for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL):
            exec(code, found)
    return found


def test_the_flow_of_two_moons_is_much_better_than_a_normal_distribution(names):
    points, new = names["points"].astype(np.float32), names["new"]
    normal = tfd.MultivariateNormalTriL(points.mean(0), np.linalg.cholesky(np.cov(points.T)).astype("f4"))
    assert np.mean(names["log_probs"]) > np.mean(normal.log_prob(new)) + 0.6
    assert np.isfinite(names["samples"]).all() and names["foreign"].shape == (500,)
    assert names["foreign"].mean() < 0.1, "own points are not foreign"
    between = np.array([[0.5, 0.25]], np.float32) + 0.02 * np.random.default_rng(0).normal(size=[50, 2])
    assert names["detector"].predict(between).mean() > 0.5, "between the moons is nothing"


def test_a_row_of_another_class_is_foreign_and_says_why(names):
    assert names["explanation"].verdict in ("in", "out")
    assert "strangest columns" in str(names["explanation"]) and names["residuals"].shape == (178, 13)
    foreign = names["of_table"].score(names["rows"][names["labels"] == 2])
    assert _share_above(names["of_table"].calibration_scores, foreign) > 0.75


def _share_above(own, foreign):
    """The probability that a foreign score is higher."""
    return np.mean(foreign[:, None] > own)


def test_features_and_conditions(names):
    assert _share_above(names["judge"].score(names["parts"][3]), names["fours"]) > 0.8
    np.testing.assert_allclose(names["drawn"].numpy().mean((0, 1)), [np.sin(1.5), 0.25], atol=0.1)
    shuffled = names["conditional"].log_prob(names["y"], bijector_kwargs={"condition": names["x"][::-1]})
    assert np.mean(names["given_x"]) > np.mean(shuffled) + 1.0


def test_the_commands_do_what_the_document_says(names):
    """As they are written, one after the other."""
    folder = names["folder"]
    (commands,) = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    for command in commands.splitlines():
        python, m, module, *flags = command.split()
        assert (python, m) == ("python", "-m")
        result = forked.command(module, *flags, cwd=folder)
        assert result.returncode == 0, result.stderr
    judged, scores = (_rows(folder / name) for name in ("judged.csv", "scores.csv"))
    assert len(judged) == len(scores) == 48
    assert np.mean([row["verdict"] == "out" for row in judged]) > 0.5
    for one, other in zip(judged, scores, strict=True):
        assert one["verdict"] == other["verdict"]
        np.testing.assert_allclose(float(one["p_value"]), float(other["p_value"]), rtol=1e-5)
        assert bool(one["columns"]) == (one["verdict"] == "out")


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_served_score_is_the_detectors(names):
    loaded = tf.saved_model.load(str(names["folder"] / "exported_moons"))
    found = loaded.signatures["serving_default"](vectors=tf.constant(names["new"]))
    np.testing.assert_allclose(found["score"], names["detector"].score(names["new"]), rtol=1e-4)
    np.testing.assert_allclose(names["p_values"], names["detector"].p_value(names["new"]), rtol=1e-5)
