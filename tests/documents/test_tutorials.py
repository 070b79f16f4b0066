"""The notebooks of docs/tutorials run from the first cell to the last, and come to what they say."""

import json
from contextlib import chdir

import numpy as np
import pytest

from tests.documents import notebooks, pages


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A function that runs a notebook, once, in an empty folder, and gives the names at its end."""
    done = {}

    def of(name):
        if name not in done:
            (path,) = [path for path in notebooks.NOTEBOOKS if path.stem == name]
            with chdir(tmp_path_factory.mktemp(name)):
                done[name] = notebooks.run(json.loads(path.read_text(encoding="utf-8")))
        return done[name]

    return of


def test_these_are_the_notebooks():
    assert {path.stem for path in notebooks.NOTEBOOKS} == {"paradox", "folder", "two_moons"}


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=pages.name)
def test_outputs_are_stored(path):
    """They are what a reader of the repository's page sees."""
    cells = notebooks.code_cells(json.loads(path.read_text(encoding="utf-8")))
    assert all(cell["execution_count"] == number for number, cell in enumerate(cells, start=1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert not any(output["output_type"] == "error" for output in outputs)


def test_the_likelihood_is_fooled_and_the_default_is_not(names):
    found = names("paradox")
    assert found["by_likelihood"] < 0.35 and found["by_default"] > 0.95
    assert found["detector"].predict(found["clothes"]["test"], alpha=0.05).mean() < 0.1


def test_a_folder_becomes_a_detector(names):
    found = names("folder")
    assert found["detector"].predict(found["strange"], alpha=0.05).mean() > 0.9
    assert found["detector"].predict(found["good"]["test"], alpha=0.05).mean() < 0.2
    assert found["explanation"].verdict == "out" and found["explanation"].map.shape == (16, 16)


def test_two_moons_a_condition_and_a_posterior(names):
    found = names("two_moons")
    grid = found["grid"].astype(np.float64)
    cell = (grid[0, 1, 0] - grid[0, 0, 0]) * (grid[1, 0, 1] - grid[0, 0, 1])
    density = np.exp(found["flow"].log_prob(found["grid"]).numpy().astype(np.float64))
    assert density.sum() * cell == pytest.approx(1.0, abs=0.05), "it is a density"
    assert found["history"].validation[-1].loss < 0.8 and found["accuracy"] > 0.97
    assert np.median(found["posterior"].prod(axis=1)) == pytest.approx(1.0, abs=0.15)
