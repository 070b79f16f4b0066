"""The Python of the documents runs, page by page, in a folder that has what they speak of."""

import io
import json
import pathlib
import shutil
from contextlib import chdir

import numpy as np
import pytest
from PIL import Image

import tfp_flows
from tests.documents import pages
from tfp_flows import data, detectors

HERE = pathlib.Path(__file__).resolve().parent
# Pages whose code has tests of its own, tests/documents/test_PAGE.py, which run it.
ELSEWHERE = {path.stem.removeprefix("test_") + ".md" for path in HERE.glob("test_*.py")}
WITH_CODE = [
    document
    for document in pages.DOCUMENTS
    if pages.blocks(document, "python")
    and document.name not in ELSEWHERE
    and not document.is_relative_to(
        pages.ROOT / "models"
    )  # cards of weights: tests/runs/test_weights_file.py
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory, make_run):
    """A function that gives what a reader has, new for each page: names, and a folder to work in."""
    folder = tmp_path_factory.mktemp("reader")
    make_run(folder / "made", "glow")
    model = tfp_flows.load(folder / "made" / "glow")
    images = {split: data.load("digits", split).images for split in ("validation", "calibration", "test")}
    fitted = detectors.Typicality(model).fit(images["validation"]).calibrate(images["calibration"])

    def make(name):
        work = folder / name
        work.mkdir()
        shutil.copytree(folder / "made" / "glow", work / "runs" / "mine")
        with chdir(work):
            mine = tfp_flows.load("runs/mine")
            again = detectors.Typicality(mine).fit(images["validation"]).calibrate(images["calibration"])
            again.save("runs/mine/detector")
        for i, picture in enumerate(("photo.jpg", "a.jpg", "b.png")):
            Image.fromarray(images["test"][i, ..., 0]).save(work / picture)
        for day, ranks in (("monday", [2, 2500]), ("tuesday", [1000, 1])):  # of 5,000 calibration images
            rows = [f"{day}{i}.png,-1.0,2.0,3.0,{k / 5001:.9g},in" for i, k in enumerate(ranks)]
            header = "key,log_prob,bits_per_dim,score,p_value,verdict"
            (work / f"scores-{day}.csv").write_text("\n".join([header, *rows]) + "\n")
        names = {
            "detector": fitted,
            "model": model,
            "images": images["test"][:40],
            "images_of_today": images["test"][40:80],
            "validation_images": images["validation"],
            "calibration_images": images["calibration"],
            "file": io.StringIO(),
            "json": json,
            "np": np,
            "detectors": detectors,
            "tfp_flows": tfp_flows,
        }
        return names, work

    return make


@pytest.mark.parametrize("document", WITH_CODE, ids=pages.name)
def test_python_runs(document, reader):
    names, work = reader(pages.name(document).replace("/", "_"))
    with chdir(work):
        for code in pages.blocks(document, "python"):
            exec(code, names)
    if document.name == "README.md":
        assert names["log_prob"].shape == [4] and names["latent"].shape[0] == 4
    if document.name == "bijectors.md":
        assert names["log_prob"].shape == [4]


@pytest.mark.parametrize("document", pages.DOCUMENTS, ids=pages.name)
def test_python_is_called_python(document):
    """Code without its language would not be run."""
    for language in ("", "text"):
        for code in pages.blocks(document, language):
            assert not code.lstrip().startswith(("import ", "from ", ">>> ")), code
