"""Pages walked through in a real browser, on a phone and on a desk, in light and in dark."""

import numpy as np
import pytest

from analysis import detector_chapters, detector_study, detectors_page, separation
from tests.pages import browser, walk
from tfp_flows import detectors, pages
from tfp_flows.pages import pictures


@pytest.fixture(scope="module")
def opened():
    path = browser.find()
    if path is None:
        pytest.skip("no Chromium on PATH: no page was opened in a browser")
    with browser.started(path) as found:
        yield found


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A page with all that a page can have, and words that do not fit a phone."""
    rng = np.random.default_rng(0)
    made = pages.Page(tmp_path_factory.mktemp("page"), "A title of several words", "What it is about.")
    made.section("Numbers", "numbers")
    made.facts([("1,204,312", "parameters"), ("4 min", "on 2 cores"), ("720", "images to train on")])
    made.text("unbroken" * 30)
    made.callout("12 files could not be read: " + "path/" * 40)
    made.code("python -m tfp_flows.score --model=runs/mine/detector \\\n    --images=folder:new", "Score")
    made.heading("A table")
    row = {f"column {i}": i / 7 for i in range(20)}
    made.table("t", [{"set": "own < & $", **row}], "Many columns.", marks=lambda r, c: "wrong")
    made.section("Pictures", "pictures")
    sets = {name: rng.normal(i, 1, 200) for i, name in enumerate("abcdef")}
    made.figure("many", pictures.likelihood_figure(sets, "$ title"), "Histograms of six sets", "Caption.")
    made.figure("few", pictures.score_figure({"a": sets["a"]}), "Histogram of one set")
    images = rng.integers(0, 256, [5, 8, 8, 3]).astype(np.uint8)
    made.figure("grid", pictures.image_figure(images), "Five images")
    made.images("pairs", images, [("photo.jpg", "score 1.5, p 0.01")] * 5, images[::-1], "With maps.")
    made.images("plain", images[..., :1], ["long_name_" * 12] * 5)
    return made.write(["/a/very/long/path" * 20])


def test_all_that_a_page_can_have(opened, everything):
    walk.everywhere(opened, everything.as_uri())


def test_an_image_opens_large_and_keeps_its_pixels(opened, everything):
    for width in (390, 1280):
        opened.open(everything.as_uri(), width)
        walk.opens_large(opened, width, "figure.card")
        assert (
            opened.run("getComputedStyle(document.querySelector('.card img')).imageRendering") == "pixelated"
        )
    opened.open(everything.as_uri(), 390)
    columns = "new Set([...document.querySelectorAll('.images:not(.pairs) .card')]"
    assert opened.run(f"{columns}.map(c => c.getBoundingClientRect().left)).size") == 2


def test_a_command_is_chosen_whole_with_one_click(opened, everything):
    opened.open(everything.as_uri(), 390)
    opened.click("pre code")
    command = "python -m tfp_flows.score --model=runs/mine/detector \\\n    --images=folder:new"
    assert opened.run("getSelection().toString()").strip() == command


def test_all_can_be_reached_with_the_keyboard(opened, everything):
    opened.open(everything.as_uri(), 1280)
    seen = []
    while True:
        opened.press("Tab")
        found = opened.run(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.className || e.tagName, parseFloat(s.outlineWidth), s.outlineStyle] })()"
        )
        if found[0] == "BODY" or len(seen) > 60:
            break
        assert found[1] >= 2 and found[2] == "solid", found
        seen.append(found[0])
    assert seen.count("A") == 3 and seen.count("open") == 13 and "table" in seen and "PRE" in seen
    opened.run("document.querySelector('figure.drawn .open').focus()")
    opened.press("Enter")
    assert opened.run("document.querySelector('figure:target') !== null")


def test_a_table_scrolls_in_its_own_box(opened, everything):
    opened.open(everything.as_uri(), 390)
    box = "document.querySelector('.table')"
    inside, outside = opened.run(f"[{box}.scrollWidth, {box}.clientWidth]")
    assert inside > 2 * outside
    opened.run(f"{box}.scrollLeft = 300")
    cells = f"[...{box}.querySelectorAll('td')].slice(0, 2).map(e => e.getBoundingClientRect().left)"
    first, second = opened.run(cells)
    assert second < 0 <= first, "the first column, which says what a row is of, stays"


class _Study:
    own = "own"

    def scores(self, candidate, name):
        return np.random.default_rng(len(name)).normal(len(name) / 3, 1, 60)

    def log_probs(self, candidate, name, split):
        return self.scores(candidate, name)

    def images(self, name, split, limit):
        raise AssertionError("no map is asked for")


def test_the_comparison_of_detectors(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(detector_chapters, "maps", lambda *_: None)
    results = []
    for foreign in ("folder:strange", "noise"):
        for kind, area in ((detectors.Likelihood, 0.41), (detectors.Typicality, 0.98)):
            found = separation.Separation(*[separation.Estimate(area, area - 0.03, area + 0.02)] * 3)
            candidate = detector_study.Candidate(kind.name, "glow", kind, {}, (), None)
            results.append(
                detector_study.Result(candidate, foreign, (60, 60), 20, 20, found, 0.05, 0.9, 0.001, 2.0)
            )
    page = detectors_page.write(tmp_path, _Study(), results, ["few images"], "Held out: half of them.")
    walk.everywhere(opened, page.as_uri())
